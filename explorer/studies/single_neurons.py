"""The top-ranked neurons one by one: what each does when it alone is patched (tables `single_…`).

Restoring patches M2's activation of the one neuron into M1, breaking M1's into M2. Few greedy answers change by one
neuron of tens of thousands, so the margin log p(M2's answer) − log p(M1's answer), both read as given, is measured too.
Any step towards M2 may raise M2's answer: the margins of as many random neurons of the same layers, and of the top
neurons of other rankings, say how much of it is the choice of neurons.
"""

from collections.abc import Iterable, Mapping, Sequence
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
from explorer.schema import Count, Distinct, Place
from explorer.studies import statistics
from explorer.studies.compared_sets import RANDOM, SET, by_words
from explorer.studies.documented import NEURON, RANKING, SUITE, TOKENS, N
from explorer.studies.effect import by_prompt
from explorer.studies.given import Build, LoadedModels
from explorer.studies.planning import CHUNK, Stage, chunks, share
from explorer.studies.statistics import Estimate, mean, paired_difference
from explorer.studies.study import Column, Needs, Study, Table
from explorer.studies.words import first_rows

SCORES = ("refusal", "cost")

BESIDE = "single_beside"

DIRECTION = Column("direction", "restore (M2's activation into M1) or break (M1's into M2)")

MARGIN = Column("margin", "change of log p(M2's answer) − log p(M1's answer), nats a prompt", True)


@dataclass(frozen=True)
class SingleNeuronsSpec:
    """The top neurons of a ranking, each patched alone, in both directions.

    Attributes:
        suite: what is answered, under [[answers]] or not.
        ranking: whose top neurons.
        beside: other rankings, whose top neurons' margins are measured beside those of random ones.
        neurons: how many of each.
        limit: at most so many prompts.
    """

    suite: Place
    ranking: Place = "safety"
    beside: Annotated[tuple[Place, ...], Distinct] = ()
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
                DIRECTION,
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
                MARGIN,
            ),
        ),
        Table(
            BESIDE,
            "one neuron to compare with, patched alone in one direction",
            (
                RANKING,
                SET,
                DIRECTION,
                SUITE,
                Column("rank", "of the neuron in its set, from 1; random neurons in the order of their layers"),
                *NEURON,
                N,
                TOKENS,
                MARGIN,
            ),
            kept=False,
        ),
    )

    def needs(self, asked: SingleNeuronsSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking, *asked.beside), prompts=(asked.suite,))

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
            "rankings": [build.key_of(f"ranking-{name}") for name in (one.ranking, *one.beside)],
            "prompts": digest([p.prompt for p in prompts]),
            "statistics": statistics.VERSION,
        }

        def run(tell: Tell) -> None:
            ranking = build.ranking(one.ranking)
            top = ranking.top(min(one.neurons, len(ranking.order)))
            sets, texts = singles(top), chunks([p.prompt for p in prompts], CHUNK)
            parts = 3 + 1 + len(one.beside)
            how = Margins(tokens, second, sets)
            margins = margins_of(build, how, texts, share(tell, 0, parts))
            rows = []
            for number, direction in enumerate(DIRECTIONS):
                first, other = ("m1", second) if number == 0 else (second, "m1")
                patching = build.patching(sets=sets, first=first, second=other, aligned=False)
                frame = build.answer(patching, prompts, share(tell, 1 + number, parts))
                cells: dict[str, object] = {"ranking": one.ranking, "direction": direction, "suite": one.suite}
                rows += single_rows(cells, sets, frame, margins[direction], tokens)
            build.writer.table(self.name, pd.DataFrame(rows))
            compared = {RANDOM: NeuronSet.random_like(top)}
            compared |= {name: build.ranking(name).top(len(top)) for name in one.beside}
            rows = []
            for number, (name, chosen) in enumerate(compared.items()):
                how = Margins(tokens, second, singles(chosen))
                margins = margins_of(build, how, texts, share(tell, 3 + number, parts))
                for direction, found in margins.items():
                    cells = {"ranking": one.ranking, "set": name, "direction": direction, "suite": one.suite}
                    rows += beside_rows(cells, how.sets, found, tokens)
            build.writer.table(BESIDE, pd.DataFrame(rows))

        work = build.estimate(prompts, 2 * 2 * ((3 + len(one.beside)) * one.neurons + 1), tokens)
        stage = Stage(self.name, inputs, run, self.outputs, work)
        return [stage]

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        table = tables["single_neurons"]
        return "" if table.empty else summary(first_rows(table, "ranking"), tables.get(BESIDE))


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


def split_margins(models: LoadedModels, how: Margins, prompts: list[str]) -> list[dict[str, Any]]:
    """Both models' answers, in the batches that each direction reads: direction, number of prompts, texts."""
    from explorer.engine.margins import margin_batches
    from explorer.engine.options import Columns, Decoding
    from explorer.engine.patching import sweep

    pair = models.pair("m1", how.second)
    out = sweep(pair, prompts, Columns(), Decoding(how.tokens))
    ids = [pair.encode(prompt, how.tokens) for prompt in prompts]
    first, second = ([answer.token_ids for answer in answers] for answers in (out.unpatched, out.aligned))
    texts = [
        [[list(text.prompt), list(text.answer), text.number, text.sign] for text in batch]
        for batch in margin_batches(ids, second, first) or [[]]
    ]
    return [{"way": way, "prompts": len(prompts), "texts": batch} for way in how.directions for batch in texts]


def read_margins(models: LoadedModels, how: Margins, piece: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What one batch of `split_margins` adds to its direction, float64 [1 + sets, prompts]: to the margin of M2's
    answer over M1's, unpatched and patched."""
    from explorer.engine.margins import Counted, batch_margins

    pair, way = models.pair("m1", how.second), piece["way"]
    batch = [Counted(*text) for text in piece["texts"]]
    patched = pair if way == DIRECTIONS[0] else pair.reversed()
    return {way: batch_margins(patched, batch, how.sets, piece["prompts"])}


def add_margins(found: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """For each direction float64 [1 + sets, prompts], of what its batches add."""
    margins: dict[str, np.ndarray] = {}
    for piece in found:
        for way, added in piece.items():
            margins[way] = margins[way] + added if way in margins else added
    return margins


def margins_of(build: Build, how: Margins, prompts: Sequence[list[str]], tell: Tell) -> dict[str, np.ndarray]:
    """The margins of all prompts, which are given in chunks: for each direction float64 [1 + sets, prompts]."""
    parts = list(build.read_in_pieces(split_margins, read_margins, how, prompts, add_margins, tell))
    return {way: np.concatenate([part[way] for part in parts], axis=1) for way in parts[0]}


def singles(chosen: NeuronSet) -> tuple[NeuronSet, ...]:
    """Each neuron of a set by itself, in the set's order."""
    return tuple(NeuronSet.from_flat(np.array([place]), chosen) for place in chosen.flat())


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
    rows = beside_rows(cells, sets, margins, max_new_tokens)
    for number, row in enumerate(rows):
        after = answers[answers["condition"] == number]
        for score in SCORES:
            first = by_prompt(before, score)
            second = by_prompt(after, score).loc[first.index]
            row |= mean(second.to_numpy()).columns(score)
            row[f"{score}_before"] = float(first.mean())
            row |= paired_difference(first.to_numpy(), second.to_numpy()).columns(f"{score}_change")
    return rows


def beside_rows(
    cells: dict[str, object], sets: Sequence[NeuronSet], margins: np.ndarray, max_new_tokens: int
) -> list[dict[str, Any]]:
    """What each neuron does to the margin in one direction.

    Args:
        cells: lead each row.
        sets: one neuron each, in the order of their rank.
        margins: float64 [1 + sets, n], in nats: of the unpatched model, then patched with each set.
        max_new_tokens: length limit of the answers.

    Returns:
        Rows of cells, rank, layer, neuron, n, max_new_tokens and margin, its change in nats, with _low and _high.
    """
    rows = []
    for number, ns in enumerate(sets):
        place = {"rank": number + 1, "layer": int(ns.layers[0]), "neuron": int(ns.neurons[0])}
        row: dict[str, Any] = {**cells, **place, "n": margins.shape[1], "max_new_tokens": max_new_tokens}
        rows.append(row | paired_difference(margins[0], margins[number + 1]).columns("margin"))
    return rows


@dataclass(frozen=True)
class _Way:
    """A direction: its name in tables, how it is said, the sign of the margin's change that it is for, and the verb."""

    name: str
    lead: str
    sign: int
    verb: str

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of this direction."""
        return table[table["direction"] == self.name]


_WAYS = (_Way("restore", "patched into M1", 1, "raise"), _Way("break", "taken from M2", -1, "lower"))


def summary(table: pd.DataFrame, beside: pd.DataFrame | None = None) -> str:
    """What single neurons do in both directions, in words, and what the neurons do that they are compared with.

    Args:
        table: the run's, of one ranking.
        beside: the run's table `single_beside`; None or empty where it holds none.
    """
    first = table.iloc[0]
    mine = (
        {} if beside is None else dict(iter(beside[beside["ranking"] == first["ranking"]].groupby("set", sort=False)))
    )
    control = mine.pop(RANDOM, None)
    ways = [
        f"**{_moved(rows, way)} of {len(rows)}** {way.verb} the margin of M2's answer over M1's {way.lead} alone "
        f"({_mean_words(rows)} on average){_beside(control, way)}"
        for way in _WAYS
        if not (rows := way.of(table)).empty
    ]
    text = (
        f"Of the {table['rank'].max()} top-ranked neurons, {'; '.join(ways)}; {suite_label(first['suite'])}, "
        f"n = {int(first['n']):,}, answers of up to {int(first['max_new_tokens'])} tokens. Counted are neurons whose "
        "95 % interval excludes 0, not corrected for their number."
    )
    most = [f"{_most(rows, way)} {way.lead}" for way in _WAYS if not (rows := way.of(table)).empty]
    text += f" The one that changes it most is {' and '.join(most)}."
    if control is None:
        text += " Random neurons were not patched alone, so how much of this any neuron does is not known."
    for name, rows in mine.items():
        text += f" Of neurons at the top by {by_words(str(name))}, {_compared(rows)}."
    return text


def _beside(control: pd.DataFrame | None, way: _Way) -> str:
    """What random neurons do in one direction."""
    if control is None or (rows := way.of(control)).empty:
        return ""
    who = "random neurons of the same layers"
    return f", beside **{_moved(rows, way)} of {len(rows)}** {who} ({_mean_words(rows)})"


def _compared(rows: pd.DataFrame) -> str:
    """What the neurons of one set do that the top ones are compared with."""
    return ", ".join(
        f"{_moved(part, way)} of {len(part)} {way.verb} it {way.lead} ({_mean_words(part)} on average)"
        for way in _WAYS
        if not (part := way.of(rows)).empty
    )


def _most(rows: pd.DataFrame, way: _Way) -> str:
    """The neuron that moves the margin furthest this way."""
    best = rows.iloc[int((way.sign * rows["margin"]).to_numpy().argmax())]
    return f"{neuron_label(int(best['layer']), int(best['neuron']))} ({margin_words(best)})"


def _moved(rows: pd.DataFrame, way: _Way) -> int:
    """How many of these neurons change the margin this way, by an interval that excludes 0."""
    return sum(Estimate.of(row, "margin").sign == way.sign for _, row in rows.iterrows())


def _mean_words(rows: pd.DataFrame) -> str:
    """The mean change of the margin over these neurons, with its 95 % interval over them, in nats a prompt."""
    found = mean(rows["margin"].to_numpy())
    return f"{signed(found.value, 2)} nats [{signed(found.low, 2)}, {signed(found.high, 2)}]"


def margin_words(row: pd.Series) -> str:
    """The change of the margin with its interval, in nats a prompt."""
    value, low, high = (signed(row[c], 2) for c in ("margin", "margin_low", "margin_high"))
    return f"**{value}** nats a prompt, {low} to {high}"
