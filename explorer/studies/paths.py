"""Through attention or through MLPs: by which paths patching a set changes the refusal margin (five tables).

`paths`: parts that add up (`path_parts`). `paths_kept`: what is left of margin and refusals while a part of the model
stays M1's. `paths_heads`: the same of single attention heads. `paths_attention`: where the heads that matter most look.
`paths_answers`: the answers behind it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.data.suites_io import Prompt
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress as Tell
from explorer.schema import Count, Distinct, Fraction, Place, Seed
from explorer.studies import statistics
from explorer.studies.answering import answer_rows
from explorer.studies.compared_sets import SET, ComparedSet, compared_sets
from explorer.studies.documented import FRACTION, SUITE, TOKENS, K
from explorer.studies.effect import by_prompt
from explorer.studies.first_tokens import ReadsMargin, margin_of
from explorer.studies.given import Build, LoadedModels
from explorer.studies.joining import Part
from explorer.studies.path_parts import CHOICES, WAYS, change_cells, parts_of
from explorer.studies.path_words import paths_sentence
from explorer.studies.planning import CHUNK, chunks, share
from explorer.studies.statistics import mean, paired_difference
from explorer.studies.study import Column, Needs, Table, inputs

if TYPE_CHECKING:
    from explorer.engine.token_margin import TokenMargin

KEPT_ORDER = tuple(WAYS.values())
HEAD_PASSES = 85
"""About how many whole passes the heads of a set come to, of 30 layers of 9 heads: half the layers of each, and none in
front of the first patched one."""

MARGIN = Column("margin", "change of the refusal margin from M1's at the answer's first token, logits", True)
SHARE = Column("share", "of the whole change, 1 = all; nan where that is not distinguishable from 0", True)
N_READ = Column("n", "prompts")
KEPT = Column("kept", "what stays M1's: nothing, patterns, values, attention (both), mlps (others' activations), all")


@dataclass(frozen=True)
class PathsSpec:
    """Sets that are patched while a part of the model stays M1's.

    Attributes:
        suite: the prompts.
        ranking: whose top set; its random neurons stand beside it.
        beside: further rankings.
        fraction: of all neurons, the size of the sets.
        limit: at most so many prompts.
        heads_limit: the same for single heads, which take the most time by far.
        heads_beside: the same for single heads with the other sets patched.
        random_seed: of the random set.
        heads: of the heads that matter most, how many have their attention kept in the run.
        examples: prompts whose attention is kept.
    """

    suite: Place = "redteam_eval"
    ranking: Place = "safety"
    beside: Annotated[tuple[Place, ...], Distinct] = ()
    fraction: Fraction = 0.005
    limit: Count = 100
    heads_limit: Count = 100
    heads_beside: Count = 24
    random_seed: Seed = 0
    heads: Annotated[int, Interval(ge=1, le=100)] = 12
    examples: Annotated[int, Interval(ge=0, le=20)] = 3


class Paths(ReadsMargin[PathsSpec]):
    """Shares of a patch's effect by path, and what is left of it without one."""

    name, title, settings = "paths", "Paths", PathsSpec
    often, ranked = False, True
    tables = (
        Table(
            "paths",
            "one part of the change that patching a set makes",
            (
                SET,
                SUITE,
                FRACTION,
                K,
                Column("part", "direct, patterns, values and mlps add up to whole; attention is patterns and values"),
                MARGIN,
                SHARE,
                N_READ,
            ),
        ),
        Table(
            "paths_kept",
            "one set, patched while a part of the model stays M1's",
            (
                SET,
                SUITE,
                FRACTION,
                K,
                KEPT,
                MARGIN,
                SHARE,
                N_READ,
                TOKENS,
                Column("refusal", "share of the answers that refuse, 0 to 1", True),
                Column("refusal_change", "the same less that of the set's answers with nothing kept", True),
                Column("degenerate", "share of degenerate answers, 0 to 1", True),
                Column("refusal_m1", "share of M1's answers that refuse, 0 to 1"),
                Column("refusal_m2", "the same of M2's"),
                Column("margin_m2", "M2's refusal margin less M1's, logits"),
            ),
        ),
        Table(
            "paths_heads",
            "one attention head, kept at M1's while patching a set changes all else",
            (
                SET,
                SUITE,
                Column("layer", "from 0"),
                Column("head", "within the layer, from 0"),
                Column("lost", "of the refusal margin, logits; below 0 where keeping the head raises it", True),
                N_READ,
            ),
        ),
        Table(
            "paths_attention",
            "one token of a prompt, as one head attends to it from the prompt's last token",
            (
                SET,
                SUITE,
                Column("prompt_id", "of the prompt, in its suite"),
                Column("prompt", "as text"),
                Column("layer", "from 0"),
                Column("head", "within the layer, from 0"),
                Column("column", "unpatched (M1), patched or aligned (M2)"),
                Column("position", "from 0"),
                Column("token", "as text"),
                Column("weight", "of attention, 0 to 1"),
            ),
        ),
        Table(
            "paths_answers",
            "one answer of M1, patched with a set while a part of the model stays M1's",
            (
                SET,
                SUITE,
                KEPT,
                Column("prompt_id", "of the prompt, in its suite"),
                Column("prompt", "as text"),
                Column("margin", "change of the refusal margin from M1's at the answer's first token, logits"),
                Column("answer", "as text"),
                Column("refused", "whether it refuses"),
                Column("degenerate", "whether it is degenerate"),
            ),
        ),
    )

    def needs(self, asked: PathsSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking, *asked.beside), prompts=(asked.suite,), tables=("first_tokens",))

    def part(self, build: Build, asked: PathsSpec, number: int) -> Part:
        """See `Study.part`."""
        prompts, tokens = build.prompts(asked.suite, asked.limit), build.config.max_new_tokens
        second = build.config.model_of(asked.ranking)

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            sets = compared_sets(build, asked.ranking, asked.beside, asked.fraction, asked.random_seed)
            how = Reading(second, tuple(s.neurons for s in sets), margin_of(build.table("first_tokens")))
            asks = [p.prompt for p in prompts]
            texts = chunks(asks, CHUNK)
            parts = list(build.read(read_margins, how, texts, share(tell, 0, 4)))
            margins = np.concatenate([part["margins"] for part in parts], axis=-1)
            lost = []
            for place, (some, limit) in enumerate(
                ((how.sets[:1], asked.heads_limit), (how.sets[1:], asked.heads_beside))
            ):
                few, of = chunks(asks[:limit], CHUNK), replace(how, sets=some)
                done = share(share(tell, 1, 4), place, 2)
                parts = list(build.read(read_heads, of, few, done))
                lost += list(np.concatenate([part["lost"] for part in parts], axis=-1))
            plain = build.patching(sets=how.sets, second=second)
            free = build.answer(plain, prompts, share(tell, 2, 4))
            keeping = Keeping(tokens, how.sets, second=second)
            kept = build.answer(keeping, prompts, share(tell, 3, 4), answer_with_kept)
            common = {"suite": asked.suite}
            sized = common | {"fraction": asked.fraction}
            answers = answers_table(common, sets, margins, free, kept, [p.id for p in prompts])
            looked = Looking(how, strongest_heads(lost[0], asked.heads), {p.prompt: p.id for p in prompts})
            shown = [p.prompt for p in prompts if not build.is_withheld(p)][: asked.examples]
            rows = [row for prompt in shown for row in build.once(read_attention, (looked, prompt))]
            return {
                "paths": paths_table(sized, sets, margins),
                "paths_kept": kept_table(sized, sets, margins, answers, free, tokens),
                "paths_heads": heads_table(common, sets, lost),
                "paths_attention": attention_table(common | {"set": sets[0].name}, rows),
                "paths_answers": answers,
            }

        sets = 2 + len(asked.beside)
        work = build.estimate(prompts, 2 + 8 * sets, 0) + build.estimate(prompts, 3 * 5 * sets, tokens)
        work += build.estimate(prompts[: asked.heads_limit], HEAD_PASSES, 0)
        work += build.estimate(prompts[: asked.heads_beside], HEAD_PASSES * (sets - 1), 0)
        return Part(inputs(build, asked, self.needs(asked)) | {"statistics": statistics.VERSION}, work, run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        return "" if tables["paths"].empty else paths_sentence(tables["paths"], tables["paths_kept"])


# -- tasks -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """Sets that are patched from the model named `second` into M1, and the margin that is read."""

    second: str
    sets: tuple[NeuronSet, ...]
    margin: "TokenMargin"


@dataclass(frozen=True)
class Keeping:
    """The same sets, each patched in all of `WAYS` but the first, while answers of so many tokens are written."""

    tokens: int
    sets: tuple[NeuronSet, ...]
    first: str = "m1"
    second: str = "m2"


@dataclass(frozen=True)
class Looking:
    """Heads, as (layer, head), whose attention is read with the first set patched; ids of prompts by their text."""

    how: Reading
    heads: tuple[tuple[int, int], ...]
    ids: Mapping[str, Any]


def read_margins(models: LoadedModels, how: Reading, prompts: list[str]) -> dict[str, np.ndarray]:
    """Margins float64 [2 + 8 × sets, prompts]: of M1, of M2, and of each set by what stays M1's (`CHOICES`)."""
    from explorer.engine.keeping import KeptColumn
    from explorer.engine.paths import path_margins

    pair = models.pair("m1", how.second)
    columns = [KeptColumn(ns, kept) for ns in how.sets for kept in CHOICES]
    return {"margins": path_margins(pair, [pair.encode(prompt) for prompt in prompts], how.margin, columns)}


def read_heads(models: LoadedModels, how: Reading, prompts: list[str]) -> dict[str, np.ndarray]:
    """What of the margin is lost without each head, float64 [sets, layers, heads, prompts]."""
    from explorer.engine.heads import head_losses

    pair = models.pair("m1", how.second)
    ids = [pair.encode(prompt) for prompt in prompts]
    return {"lost": np.stack([head_losses(pair, ids, how.margin, ns) for ns in how.sets])}


def answer_with_kept(models: LoadedModels, how: Keeping, prompts: list[Prompt]) -> list[dict[str, Any]]:
    """Rows of answers; "condition" counts through the sets and, within each, through `WAYS` but the first."""
    from explorer.engine.keeping import KeptColumn
    from explorer.engine.keeping_answers import answers_with_kept

    columns = [KeptColumn(ns, kept) for ns in how.sets for kept in KEPT_ORDER[1:]]
    texts = [p.prompt for p in prompts]
    found = answers_with_kept(models.pair(how.first, how.second), texts, columns, how.tokens)
    return answer_rows(prompts, list(enumerate(found)))


def read_attention(models: LoadedModels, asked: tuple[Looking, str], _item: None) -> list[dict[str, Any]]:
    """Rows of one prompt for `attention_table`."""
    from explorer.engine.head_patterns import head_patterns

    looking, prompt = asked
    pair = models.pair("m1", looking.how.second)
    ids = pair.encode(prompt)
    words = [pair.tokenizer.decode([token]) for token in ids]
    found = head_patterns(pair, ids, looking.how.sets[0], looking.heads)
    return [
        {
            "prompt_id": looking.ids[prompt],
            "prompt": prompt,
            "layer": layer,
            "head": head,
            "column": column,
            "position": position,
            "token": word,
            "weight": float(weights[number, position]),
        }
        for number, (layer, head) in enumerate(looking.heads)
        for column, weights in found.items()
        for position, word in enumerate(words)
    ]


# -- tables ------------------------------------------------------------------------------------------


def changes_of(margins: np.ndarray, number: int) -> dict[frozenset[str], np.ndarray]:
    """A set's change of the margin [n] by what stays M1's.

    Args:
        margins: of `read_margins`.
        number: of the set, from 0.
    """
    first = 2 + number * len(CHOICES)
    return {kept: margins[first + i] - margins[0] for i, kept in enumerate(CHOICES)}


def paths_table(cells: dict[str, Any], sets: Sequence[ComparedSet], margins: np.ndarray) -> pd.DataFrame:
    """The table `paths`.

    Args:
        cells: suite and fraction.
        sets: that were patched.
        margins: of `read_margins`.
    """
    rows = []
    for number, one in enumerate(sets):
        parts = parts_of(changes_of(margins, number))
        lead = {"set": one.name, **cells, "k": len(one.neurons)}
        rows += [
            lead | {"part": part} | change_cells(change, parts["whole"]) | {"n": len(change)}
            for part, change in parts.items()
        ]
    return pd.DataFrame(rows)


def answers_table(
    cells: dict[str, Any],
    sets: Sequence[ComparedSet],
    margins: np.ndarray,
    free: pd.DataFrame,
    kept: pd.DataFrame,
    ids: Sequence[Any],
) -> pd.DataFrame:
    """The table `paths_answers`.

    Args:
        cells: suite.
        sets: that were patched.
        margins: of `read_margins`.
        free: scored answers with nothing kept; column condition is the set's number.
        kept: scored answers of `answer_with_kept`.
        ids: of the prompts, in the order of the margins.
    """
    frames = []
    for number, one in enumerate(sets):
        changes = changes_of(margins, number)
        for way, (name, paths) in enumerate(WAYS.items()):
            frame, condition = (free, number) if not way else (kept, number * (len(WAYS) - 1) + way - 1)
            rows = frame[frame["condition"] == condition].set_index("prompt_id").loc[list(ids)].reset_index()
            rows = rows.assign(set=one.name, **cells, kept=name, margin=changes[paths])
            frames.append(
                rows[["set", *cells, "kept", "prompt_id", "prompt", "margin", "answer", "refused", "degenerate"]]
            )
    return pd.concat(frames, ignore_index=True)


def kept_table(
    cells: dict[str, Any],
    sets: Sequence[ComparedSet],
    margins: np.ndarray,
    answers: pd.DataFrame,
    plain: pd.DataFrame,
    max_new_tokens: int,
) -> pd.DataFrame:
    """The table `paths_kept`.

    Args:
        cells: suite and fraction.
        sets: that were patched.
        margins: of `read_margins`.
        answers: of `answers_table`.
        plain: scored answers of M1 (condition −1) and M2 (−2).
        max_new_tokens: length limit of the answers.
    """
    models = {name: float(by_prompt(plain[plain["condition"] == c], "refusal").mean()) for name, c in _MODELS.items()}
    models["margin_m2"] = float((margins[1] - margins[0]).mean())
    rows = []
    for number, one in enumerate(sets):
        changes, mine = changes_of(margins, number), answers[answers["set"] == one.name]
        refused = {name: by_prompt(mine[mine["kept"] == name], "refusal") for name in WAYS}
        before = refused["nothing"]
        for name, paths in WAYS.items():
            after = refused[name].loc[before.index].to_numpy()
            garbled = by_prompt(mine[mine["kept"] == name], "degenerate").to_numpy()
            rows.append(
                {"set": one.name, **cells, "k": len(one.neurons), "kept": name}
                | change_cells(changes[paths], changes[frozenset()])
                | {"n": len(after), "max_new_tokens": max_new_tokens}
                | mean(after).columns("refusal")
                | paired_difference(before.to_numpy(), after).columns("refusal_change")
                | mean(garbled).columns("degenerate")
                | models
            )
    return pd.DataFrame(rows)


_MODELS = {"refusal_m1": -1, "refusal_m2": -2}


def heads_table(cells: dict[str, Any], sets: Sequence[ComparedSet], lost: Sequence[np.ndarray]) -> pd.DataFrame:
    """The table `paths_heads`.

    Args:
        cells: suite.
        sets: that were patched.
        lost: of each set float64 [layers, heads, prompts], of `read_heads`.
    """
    return pd.DataFrame(
        [
            {"set": one.name, **cells, "layer": layer, "head": head}
            | paired_difference(np.zeros(found.shape[-1]), found[layer, head]).columns("lost")
            | {"n": found.shape[-1]}
            for one, found in zip(sets, lost, strict=True)
            for layer in range(found.shape[0])
            for head in range(found.shape[1])
        ]
    )


def strongest_heads(lost: np.ndarray, count: int) -> tuple[tuple[int, int], ...]:
    """The heads, as (layer, head), without which most is lost or gained on average.

    Args:
        lost: float64 [layers, heads, prompts].
        count: how many.
    """
    size = np.abs(lost.mean(axis=-1))
    order = np.argsort(-size, axis=None, kind="stable")[:count]
    return tuple((int(i) // size.shape[1], int(i) % size.shape[1]) for i in order)


_LOOKED = ("prompt_id", "prompt", "layer", "head", "column", "position", "token", "weight")


def attention_table(cells: dict[str, Any], rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The table `paths_attention`; `rows` are of `read_attention`."""
    frame = pd.DataFrame(list(rows), columns=list(_LOOKED)).assign(**cells)
    return frame[["set", "suite", *_LOOKED]]
