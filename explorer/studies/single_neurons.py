"""The top-ranked neurons one by one: what each does when it alone is patched (table `single_neurons`).

Restoring patches M2's activation of the one neuron into M1, breaking M1's into M2. Few greedy answers change by one
neuron of tens of thousands, so the margin log p(M2's answer) − log p(M1's answer), both read as given, is measured too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.charts.labels import signed, suite_label
from explorer.digests import digest
from explorer.neurons.patch import DIRECTIONS
from explorer.neurons.sets import NeuronSet
from explorer.neurons.tables import neuron_label
from explorer.progress import Progress as Tell
from explorer.schema import Count, Place
from explorer.studies import statistics
from explorer.studies.documented import NEURON, RANKING, SUITE, TOKENS, N
from explorer.studies.effect import by_prompt
from explorer.studies.given import Build, LoadedModels
from explorer.studies.planning import CHUNK, Stage, chunks, share
from explorer.studies.statistics import Estimate, mean, paired_difference
from explorer.studies.study import Column, Needs, Study, Table
from explorer.studies.words import first_rows

SCORES = ("refusal", "cost")


@dataclass(frozen=True)
class SingleNeuronsSpec:
    """The top neurons of a ranking, each patched alone, in both directions.

    Attributes:
        suite: what is answered, under [[answers]] or not.
        ranking: whose top neurons.
        neurons: how many.
        limit: at most so many prompts.
    """

    suite: Place
    ranking: Place = "safety"
    neurons: Annotated[int, Interval(ge=1, le=1_000)] = 20
    limit: Count = 50


class SingleNeurons(Study[SingleNeuronsSpec]):
    """Refusals, cost and margin with each of the top neurons patched alone."""

    name, title, settings = "single_neurons", "Single neurons", SingleNeuronsSpec
    often, ranked = False, True
    tables = (
        Table(
            "single_neurons",
            "one neuron, patched alone in one direction",
            (
                RANKING,
                Column("direction", "restore (M2's activation into M1) or break (M1's into M2)"),
                SUITE,
                Column("rank", "of the neuron, from 1"),
                *NEURON,
                N,
                TOKENS,
                Column("refusal", "share of the patched model's answers that refuse, 0 to 1", True),
                Column("refusal_before", "the same of the unpatched model's"),
                Column("refusal_change", "its change over the same prompts", True),
                Column("cost", "mean cost of the patched model's answers, log-odds; nan without a cost", True),
                Column("cost_before", "the same of the unpatched model's"),
                Column("cost_change", "its change over the same prompts", True),
                Column("margin", "change of log p(M2's answer) − log p(M1's answer), nats a prompt", True),
            ),
        ),
    )

    def needs(self, asked: SingleNeuronsSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking,), prompts=(asked.suite,))

    def stages(self, build: Build, asked: Sequence[SingleNeuronsSpec]) -> list[Stage]:
        """See `Study.stages`."""
        (one,) = asked
        prompts, tokens = build.prompts(one.suite, one.limit), build.config.max_new_tokens
        second = build.config.model_of(one.ranking)
        inputs: dict[str, Any] = {
            "options": asdict(one),
            "tokens": tokens,
            "scorers": build.scorer_keys(),
            "models": build.models_key("m1", second),
            "ranking": build.key_of(f"ranking-{one.ranking}"),
            "prompts": digest([p.prompt for p in prompts]),
            "statistics": statistics.VERSION,
        }

        def run(tell: Tell) -> None:
            ranking = build.ranking(one.ranking)
            sets = tuple(ranking.window(i, 1) for i in range(min(one.neurons, len(ranking.order))))
            texts = chunks([p.prompt for p in prompts], CHUNK)
            how = Margins(tokens, second, sets)
            read = build.read(read_margins, how, texts, share(tell, 0, 3))
            margins = list(read)
            rows = []
            for number, direction in enumerate(DIRECTIONS):
                first, other = ("m1", second) if number == 0 else (second, "m1")
                patching = build.patching(sets=sets, first=first, second=other, aligned=False)
                frame = build.answer(patching, prompts, share(tell, 1 + number, 3))
                cells: dict[str, object] = {"ranking": one.ranking, "direction": direction, "suite": one.suite}
                found = np.concatenate([part[direction] for part in margins], axis=1)
                rows += single_rows(cells, sets, frame, found, tokens)
            build.writer.table(self.name, pd.DataFrame(rows))

        work = build.estimate(prompts, 2 * 2 * (2 * one.neurons + 1), tokens)
        stage = Stage(self.name, inputs, run, self.outputs, work)
        return [stage]

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        table = tables["single_neurons"]
        return "" if table.empty else summary(first_rows(table, "ranking"))


@dataclass(frozen=True)
class Margins:
    """Sets whose effect on the margin between both models' answers is measured.

    Attributes:
        tokens: length limit of the answers.
        second: name of the aligned model.
        sets: what is patched, from either model into the other.
        directions: which ways.
    """

    tokens: int
    second: str
    sets: tuple[NeuronSet, ...]
    directions: tuple[str, ...] = DIRECTIONS


def read_margins(models: LoadedModels, how: Margins, prompts: list[str]) -> dict[str, np.ndarray]:
    """For each direction float64 [1 + sets, prompts]: the margin of M2's answer over M1's, unpatched and patched."""
    from explorer.engine.margins import answer_margins
    from explorer.engine.options import Columns, Decoding
    from explorer.engine.patching import sweep

    pair = models.pair("m1", how.second)
    out = sweep(pair, prompts, Columns(), Decoding(how.tokens))
    ids = [pair.encode(prompt, how.tokens) for prompt in prompts]
    first, second = ([answer.token_ids for answer in answers] for answers in (out.unpatched, out.aligned))
    ways = {name: pair if name == DIRECTIONS[0] else pair.reversed() for name in how.directions}
    return {name: answer_margins(way, ids, second, first, how.sets) for name, way in ways.items()}


def single_rows(
    cells: dict[str, object], sets: Sequence[NeuronSet], answers: pd.DataFrame, margins: np.ndarray, max_new_tokens: int
) -> list[dict[str, Any]]:
    """What each neuron does in one direction.

    Args:
        cells: ranking, direction and suite; they lead each row.
        sets: one neuron each, in the order of the ranking.
        answers: columns condition (the set's number, −1 unpatched), prompt_id and the scores.
        margins: float64 [1 + sets, n], in nats: of the unpatched model, then patched with each set.
        max_new_tokens: length limit of the answers.

    Returns:
        Rows of cells, rank, layer, neuron, n, max_new_tokens; for refusal and cost the patched model's mean, …_before
        (the unpatched model's) and …_change over the same prompts; margin, the change of the margin in nats. Means and
        changes have _low and _high.
    """
    before = answers[answers["condition"] == -1]
    rows = []
    for number, ns in enumerate(sets):
        after = answers[answers["condition"] == number]
        place = {"rank": number + 1, "layer": int(ns.layers[0]), "neuron": int(ns.neurons[0])}
        row: dict[str, Any] = {**cells, **place, "n": margins.shape[1], "max_new_tokens": max_new_tokens}
        for score in SCORES:
            first = by_prompt(before, score)
            second = by_prompt(after, score).loc[first.index]
            row |= mean(second.to_numpy()).columns(score)
            row[f"{score}_before"] = float(first.mean())
            row |= paired_difference(first.to_numpy(), second.to_numpy()).columns(f"{score}_change")
        rows.append(row | paired_difference(margins[0], margins[number + 1]).columns("margin"))
    return rows


def summary(table: pd.DataFrame) -> str:
    """What single neurons do in both directions, in words.

    Args:
        table: the run's, of one ranking.
    """
    first = table.iloc[0]
    parts = []
    for direction, lead, wanted in (("restore", "patched into M1", 1), ("break", "taken from M2", -1)):
        rows = table[table["direction"] == direction]
        if rows.empty:
            continue
        signs = [Estimate(*cells).sign for cells in rows[["margin", "margin_low", "margin_high"]].to_numpy()]
        moved = sum(sign == wanted for sign in signs)
        best = rows.iloc[int((wanted * rows["margin"]).to_numpy().argmax())]
        name = neuron_label(int(best["layer"]), int(best["neuron"]))
        verb = "raise" if wanted > 0 else "lower"
        parts.append(
            f"{lead} alone, **{moved} of {len(rows)}** {verb} the margin of M2's answer over M1's, with an "
            f"interval that excludes 0; {name} changes it most ({margin_words(best)})"
        )
    text = f"Of the {table['rank'].max()} top-ranked neurons, " + "; ".join(parts)
    return (
        f"{text}; {suite_label(first['suite'])}, n = {int(first['n']):,}, answers of up to "
        f"{int(first['max_new_tokens'])} tokens. The 95 % intervals are not corrected for the number of neurons; "
        "random neurons were not patched alone, so how much of this any neuron does is not known."
    )


def margin_words(row: pd.Series) -> str:
    """The change of the margin with its interval, in nats a prompt."""
    value, low, high = (signed(row[c], 2) for c in ("margin", "margin_low", "margin_high"))
    return f"**{value}** nats a prompt, {low} to {high}"
