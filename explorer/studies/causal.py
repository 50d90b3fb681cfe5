"""The causal effect of patching, out of the answers under [[answers]] (tables `effect`, `models`, `restoring`, …).

Every run with answers holds it, for each direction: those of breaking are named so (`effect_break`), where "unpatched"
is M2 and "aligned" M1. `effect` computes its tables but the judges', which `judges` does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from explorer.charts.labels import percent, ranking_label, suite_label
from explorer.neurons.patch import DIRECTIONS
from explorer.progress import Progress as Tell
from explorer.studies import effect, statistics
from explorer.studies.basis import AnswerSpec
from explorer.studies.documented import RANKING, SCORES, SUITE, TOKENS, K, N
from explorer.studies.given import Build
from explorer.studies.judges import judge_table
from explorer.studies.planning import Stage, table_file
from explorer.studies.statistics import Estimate
from explorer.studies.study import SCORE, Column, Needs, Study, Table
from explorer.studies.words import known_method, score_words, share_of

COLUMN = Column("column", "unpatched, patched or aligned: which answers")
SET = (
    Column("set", "what is patched: safety (top), random, anywhere, last_layer or window; empty for none"),
    Column("fraction", "size of the set, as a share of all neurons, 0 to 1; nan for none"),
    Column("start", "of windows: the rank it begins at, as a share of all neurons, 0 to 1"),
)
EFFECT = (
    SUITE,
    RANKING,
    *SET,
    K,
    N,
    Column("seeds", "random draws; 1 for sets that are not drawn"),
    TOKENS,
    *SCORES,
    Column(f"{SCORE}_draw_min", "lowest draw's mean score", kept=False),
    Column(f"{SCORE}_draw_max", "highest draw's mean score", kept=False),
    Column(f"effect_{SCORE}_draw_min", "lowest draw's effect", kept=False),
    Column(f"effect_{SCORE}_draw_max", "highest draw's effect", kept=False),
    Column(f"above_random_{SCORE}", "effect beyond that of random neurons of the same layers", True, kept=False),
    Column(f"p_{SCORE}", "of a paired test against the random draw that comes closest", kept=False),
    Column(f"p_{SCORE}_holm", "the same, corrected by Holm over every p of one ranking", kept=False),
)
ANSWERS = (
    SUITE,
    COLUMN,
    RANKING,
    *SET,
    Column("seed", "of the random draw; −1 for none"),
    Column("prompt_id", "the prompt's id in its suite"),
    Column("prompt", "its text, or that the run may not hold it"),
    Column("category", "its category of harm"),
    Column("answer", "the answer"),
    Column("tokens", "of the answer"),
    Column("verdict", "refused, degenerate, answered, …: see `scoring.verdict`"),
    Column("refused", "whether it refuses"),
    Column("degenerate", "whether it is repetitive or empty"),
    Column(SCORE, "its scores: log-odds; nan where no scorer fills them"),
)
MODELS = (SUITE, COLUMN, N, TOKENS, Column(SCORE, "mean score: shares from 0 to 1, cost and reward log-odds", True))
RESTORING = (
    SUITE,
    RANKING,
    Column("score", "which score"),
    Column("share", "of the gap that is asked for, 0 to 1"),
    Column("fraction", "of all neurons that it takes; infinite where it is not reached, nan without a gap", True),
    Column("largest", "the largest fraction measured"),
    N,
    TOKENS,
)
JUDGES = (
    SUITE,
    COLUMN,
    RANKING,
    *SET,
    Column("seed", "of the random draw; −1 for none"),
    Column("n", "answers"),
    Column("refused", "share that refuses, 0 to 1"),
    Column("harmful", "share whose cost is above 0, 0 to 1"),
    Column("agree", "share on which both judges say safe, or both unsafe, 0 to 1", True),
    Column("kappa", "Cohen's κ, −1 to 1; nan where a judge says the same of every answer", True),
    Column("refused_harmful", "answers that refuse and have a cost above 0"),
    Column("answered_harmless", "answers that do neither"),
)
_TABLES = (
    ("answers", "one answer", ANSWERS),
    ("models", "one model on one suite", MODELS),
    ("effect", "one set of neurons, patched on one suite", EFFECT),
    ("restoring", "the top sets of one ranking on one suite by one score", RESTORING),
    ("judges", "one column of answers to one suite", JUDGES),
)


@dataclass(frozen=True)
class CausalSpec:
    """Nothing is asked beside the tables [[answers]]."""


def _suffix(direction: str) -> str:
    return "" if direction == DIRECTIONS[0] else f"_{direction}"


class Causal(Study[CausalSpec]):
    """What patching restores or breaks, by set, fraction and score, and whether both judges agree."""

    name, title, settings = "effect", "Causal effect", CausalSpec
    listed = False
    tables = tuple(
        Table(name + _suffix(direction), f"{about}, direction {direction}", columns)
        for direction in DIRECTIONS
        for name, about, columns in _TABLES
    )

    def unasked(self, main: str) -> tuple[CausalSpec, ...]:
        """See `Study.unasked`."""
        return (CausalSpec(),)

    def needs(self, asked: CausalSpec) -> Needs:
        """See `Study.needs`; it reads every table under [[answers]], by no name."""
        return Needs()

    def stages(self, build: Build, asked: Sequence[CausalSpec]) -> list[Stage]:
        """See `Study.stages`: one for each direction that is answered."""
        specs = {way: [spec for spec in build.config.answers if spec.direction == way] for way in DIRECTIONS}
        return [_results(build, way, mine) for way, mine in specs.items() if mine]

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`: in each direction on the first suite, by the first ranking, at its usual size."""
        found = [_effect_words(tables.get(f"effect{_suffix(way)}"), way) for way in DIRECTIONS]
        return " ".join(text for text in found if text)


def _results(build: Build, direction: str, specs: Sequence[AnswerSpec]) -> Stage:
    """The tables of one direction."""
    names = {name: name + _suffix(direction) for name, _, _ in _TABLES}

    def run(_tell: Tell) -> None:
        answers = _answers_of(build, specs)
        tokens, scores = build.config.max_new_tokens, build.score_columns
        total = build.ranking(specs[0].ranking).total_neurons
        build.writer.table(names["answers"], answers)
        build.writer.table(names["models"], effect.model_table(answers, tokens, scores))
        build.writer.table(names["effect"], effect.effect_table(answers, tokens, total, scores))
        build.writer.table(names["restoring"], effect.restoring_table(answers, tokens, scores))
        build.writer.table(names["judges"], judge_table(answers))

    inputs = {spec.key: build.key_of(f"answers-{spec.key}") for spec in specs}
    outputs = tuple(map(table_file, names.values()))
    return Stage(f"tables{_suffix(direction)}", {**inputs, "statistics": statistics.VERSION}, run, outputs)


def _answers_of(build: Build, specs: Sequence[AnswerSpec]) -> pd.DataFrame:
    """The answers of some tables, each row with the ranking whose sets were patched ("" where nothing is)."""
    frames = []
    for spec in specs:
        frame = build.answers(spec.key)
        frame.insert(2, "ranking", frame["column"].eq("patched").map({True: spec.ranking, False: ""}))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _effect_words(table: pd.DataFrame | None, direction: str) -> str:
    """What the top neurons of one ranking do on the first suite, by both judges."""
    top = None if table is None or table.empty else table[table["set"] == "safety"]
    if top is None or top.empty:
        return ""
    suite, ranking = str(top["suite"].iloc[0]), str(top["ranking"].iloc[0])
    rows = top[(top["suite"] == suite) & (top["ranking"] == ranking)]
    usual = known_method(ranking).patched
    row = rows.iloc[int((rows["fraction"] - usual).abs().to_numpy().argmin())]
    found = {s: Estimate.of(row, f"effect_{s}") for s in effect.SCORES}
    said = [f"{share_of(e)} of the gap in {score_words(s)}" for s, e in found.items() if e.known]
    gaps = " and ".join(said) or "no share of a gap, for the two models are not distinguishable"
    return (
        f"On {suite_label(suite)} the top {percent(row['fraction'])} of the neurons by {ranking_label(ranking)} "
        f"{direction} {gaps} (n = {int(row['n']):,}, up to {int(row['max_new_tokens'])} tokens an answer)."
    )
