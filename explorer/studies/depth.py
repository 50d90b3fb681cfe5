"""Where and how deep: which positions of a text must be patched for M1 to refuse as M2 does? (tables `depth`, …)

Safety alignment is called shallow where it lives in the first few tokens of an answer (2406.05946); others look at the
tokens of the chat template against the instruction's, or patch one position at a time as here (2507.11878). So the
same sets are patched in parts of the text alone, with and without an opening that answers must begin with, and the
distance from M2 is measured at every token of M2's own answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.data.suites_io import Prompt
from explorer.neurons.patch import Patch
from explorer.progress import Progress as Tell
from explorer.schema import Count, Distinct, Fraction, Place, Text
from explorer.studies.compared_sets import SET, ComparedSet, compared_sets
from explorer.studies.depth_words import depth_sentence
from explorer.studies.documented import FRACTION, SUITE, TOKENS, K, N
from explorer.studies.effect import DEGENERATE, compare, values
from explorer.studies.given import Build
from explorer.studies.joining import Part
from explorer.studies.patched_where import Along, Placed, Spot, answer_placed, read_divergences
from explorer.studies.planning import CHUNK, chunks, share
from explorer.studies.statistics import mean, paired_difference
from explorer.studies.study import Column, Needs, Study, Table, inputs

SCORES = ("refusal", "cost", DEGENERATE)

WHOLE = (Spot("all"), Spot("prompt"), Spot("last_prompt"), Spot("instruction"))
"""Places that no number belongs to."""

OPENED = (Spot("all"), Spot("prompt"), Spot("behind"))
"""Places around a given opening: everywhere, only before it, only behind it."""

M1, M2 = "m1", "m2"
"""In the column `where`: answers that nothing is patched in."""

Depths = Annotated[tuple[Annotated[int, Interval(ge=1, le=1_000)], ...], Distinct]

WHERE = (
    Column(
        "where",
        "m1, m2 (nothing patched); all; prompt; last_prompt; instruction (its last token); first (tokens of the "
        "answer); until (the prompt and these); after (the answer without these); behind (the opening)",
    ),
    Column("tokens", "of first, until and after, how many tokens of the answer; else 0"),
    Column("opening", "what every answer had to begin with; empty for nothing"),
)


@dataclass(frozen=True)
class DepthSpec:
    """Where a text must be patched.

    Attributes:
        suite: what is answered.
        ranking: whose top neurons are patched.
        beside: other rankings, whose top sets are patched beside them.
        fraction: size of the sets, as a share of all neurons.
        first: so many first tokens of the answer are patched, alone and with the prompt.
        after: the answer is patched without so many first tokens.
        opening: what answers must begin with, once more; "" for nothing.
        limit: at most so many prompts.
    """

    suite: Place = "redteam_eval"
    ranking: Place = "safety"
    beside: Annotated[tuple[Place, ...], Distinct] = ()
    fraction: Fraction = 0.005
    first: Depths = (1, 2, 3, 5, 8)
    after: Depths = (1, 3, 8)
    opening: Text = "Sure, here is"
    limit: Count = 100

    @property
    def spots(self) -> tuple[Spot, ...]:
        """All places that are patched where answers may begin as they like."""
        first = [Spot(where, k) for where in ("first", "until") for k in sorted(self.first)]
        return (*WHOLE, *first, *(Spot("after", k) for k in (0, *sorted(self.after))))


class Depth(Study[DepthSpec]):
    """Refusals, cost and degenerate answers by the positions that are patched, and KL along M2's answers."""

    name, title, settings = "depth", "Where and how deep", DepthSpec
    often, ranked = False, True
    tables = (
        Table(
            "depth",
            "one set patched at one place, or a model that nothing is patched in",
            (
                SUITE,
                SET,
                K,
                FRACTION,
                *WHERE,
                N,
                TOKENS,
                Column("refusal", "share of answers that refuse behind the opening, 0 to 1", True),
                Column("cost", "their mean cost, log-odds; nan without a cost", True),
                Column("degenerate", "share of degenerate answers, 0 to 1", True),
                Column("effect_refusal", "share of the gap in refusals between M1 and M2 that is restored", True),
                Column("effect_cost", "the same of the cost", True),
                Column("change", "of refusals from M1's, over the same prompts", True),
                Column("below_all", "refusals with every position patched less these, over the same prompts", True),
            ),
        ),
        Table(
            "depth_kl",
            "one token of M2's answers, read by M1 or by M1 with one set patched",
            (
                SUITE,
                Column("set", "as in depth; empty for M1 itself"),
                Column("where", "all or prompt: which positions are patched"),
                Column("position", "of the token in M2's answer, from 1"),
                Column("n", "answers that are as long"),
                Column("kl", "KL(M2 ‖ M1) or KL(M2 ‖ patched M1) in what comes there, nats", True),
            ),
        ),
        Table(
            "depth_answers",
            "one answer",
            (
                SUITE,
                SET,
                *WHERE,
                Column("prompt_id", "the prompt's id in its suite"),
                Column("prompt", "its text, or that the run may not hold it"),
                Column("answer", "what follows the opening"),
                Column("refused", "whether it refuses"),
                Column("degenerate", "whether it is repetitive or empty"),
                Column("cost", "log-odds of harm; nan without a cost"),
            ),
        ),
    )

    def needs(self, asked: DepthSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking, *asked.beside), prompts=(asked.suite,))

    def part(self, build: Build, asked: DepthSpec, number: int) -> Part:
        """See `Study.part`."""
        prompts = build.prompts(asked.suite, asked.limit)
        second = build.config.model_of(asked.ranking)
        openings = list(dict.fromkeys(("", asked.opening)))

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            sets = compared_sets(build, asked.ranking, asked.beside, asked.fraction)
            frames = [
                _answers(build, asked, prompts, sets, opening, share(tell, i, 3)) for i, opening in enumerate(openings)
            ]
            answers = pd.concat(frames, ignore_index=True)
            patches = [Patch(one.neurons) for one in sets] + [Patch(sets[0].neurons, positions="prompt")]
            along = Along(build.config.max_new_tokens, tuple(patches), second)
            texts = chunks([p.prompt for p in prompts], CHUNK)
            read = list(build.read(read_divergences, along, texts, share(tell, 2, 3)))
            labels = [("", ""), *((one.name, "all") for one in sets), (sets[0].name, "prompt")]
            kl = np.concatenate([part["kl"] for part in read])
            sizes = {one.name: len(one.neurons) for one in sets}
            return {
                "depth": depth_table(answers, sizes, asked.fraction, build.config.max_new_tokens),
                "depth_kl": kl_table(asked.suite, kl, labels),
                "depth_answers": answers[[c.name for c in self.tables[2].columns]],
            }

        columns = (2 + len(asked.beside)) * (len(asked.spots) + (len(OPENED) if asked.opening else 0) + 1)
        work = build.estimate(prompts, 2 * columns, build.config.max_new_tokens)
        return Part(inputs(build, asked, self.needs(asked)), work, run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        return "" if tables["depth"].empty else depth_sentence(tables["depth"], tables["depth_kl"])


def _answers(
    build: Build,
    asked: DepthSpec,
    prompts: Sequence[Prompt],
    sets: Sequence[ComparedSet],
    opening: str,
    tell: Tell,
) -> pd.DataFrame:
    """The answers of every column behind one opening, with the cells that say which column each is of."""
    spots = OPENED if opening else asked.spots
    neurons = tuple(one.neurons for one in sets)
    second = build.config.model_of(asked.ranking)
    how = Placed(build.config.max_new_tokens, neurons, spots, opening, second=second)
    frame = build.answer(how, prompts, tell, answer_placed)
    plain = {-1: ("", M1, 0), -2: ("", M2, 0)}
    cells = [
        plain.get(c) or (sets[c // len(spots)].name, spots[c % len(spots)].where, spots[c % len(spots)].tokens)
        for c in frame["condition"]
    ]
    labels = pd.DataFrame(cells, columns=["set", "where", "tokens"], index=frame.index)
    said = frame.drop(columns=["condition", "tokens"], errors="ignore").join(labels)
    return said.assign(suite=asked.suite, opening=opening)


def depth_table(answers: pd.DataFrame, sizes: Mapping[str, int], fraction: float, max_new_tokens: int) -> pd.DataFrame:
    """The study's first table.

    Args:
        answers: columns suite, set, where, tokens, opening, prompt_id, refused, cost, degenerate.
        sizes: neurons of each set.
        fraction: the same as a share of all.
        max_new_tokens: length limit of the answers.
    """
    rows = []
    for opening, group in answers.groupby("opening", sort=False):
        base = {
            column: group[group["where"] == model].set_index("prompt_id")
            for column, model in (("unpatched", M1), ("aligned", M2))
        }
        for (name, where, tokens), part in group.groupby(["set", "where", "tokens"], sort=False):
            plain = where in (M1, M2)
            found = part.set_index("prompt_id")
            row = {
                "suite": part["suite"].iloc[0],
                "set": name,
                "k": 0 if plain else sizes[str(name)],
                "fraction": 0.0 if plain else fraction,
                "where": where,
                "tokens": tokens,
                "opening": opening,
                "n": len(part),
                "max_new_tokens": max_new_tokens,
            }
            for score in SCORES:
                row |= mean(values(found, score)).columns(score) if plain else compare(part, base, score)
            everywhere = group[(group["set"] == name) & (group["where"] == "all")].set_index("prompt_id")
            for column, other, sign in (("change", base["unpatched"], 1), ("below_all", everywhere, -1)):
                if not plain or column == "change":
                    mine, theirs = values(found, "refusal"), values(other.loc[found.index], "refusal")
                    pair = (theirs, mine) if sign > 0 else (mine, theirs)
                    row |= paired_difference(*pair).columns(column)
            rows.append(row)
    table = pd.DataFrame(rows)
    order = [name for column in Depth.tables[0].columns for name in column.names()]
    return table.reindex(columns=order)


def kl_table(suite: str, kl: np.ndarray, labels: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """The mean divergence at each token of the answers.

    Args:
        suite: that was answered.
        kl: float32 [prompts, columns, tokens], nats; nan behind an answer's end.
        labels: set and place of each column.
    """
    rows = []
    for column, (name, where) in enumerate(labels):
        for place in range(kl.shape[2]):
            own = kl[:, column, place]
            own = own[~np.isnan(own)]
            if len(own):
                cells = {"suite": suite, "set": name, "where": where, "position": place + 1, "n": len(own)}
                rows.append(cells | mean(own).columns("kl"))
    return pd.DataFrame(rows)
