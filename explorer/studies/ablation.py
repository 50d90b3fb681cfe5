"""Shared and specific neurons of two rankings, and what they can be set to (table `ablation`).

Can safety and helpfulness be moved apart? Activations of either aligned model are put into M1; in the aligned model A
the same neurons are held at zero, or at their mean over M1's answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from explorer.charts.labels import ranking_label, signed, suite_label
from explorer.data.suites_io import Prompt
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress as Tell
from explorer.schema import Count, Fraction, Place, PlaceOrNone, Places
from explorer.studies.answering import Fixing, answer_fixed
from explorer.studies.documented import CHANGE, FRACTION, METHOD, SUITE, K
from explorer.studies.effect import with_holm
from explorer.studies.given import Build, BuildFile, Task
from explorer.studies.joining import Part, answering_inputs
from explorer.studies.planning import LATER, share, with_method
from explorer.studies.study import Column, Needs, Study, Table, differ
from explorer.studies.tax import tax_rows
from explorer.studies.words import by_method, first_rows, score_words


@dataclass(frozen=True)
class AblationSpec:
    """Shared and specific neurons of two rankings, set to zero, to their mean, and to each model's activations.

    Attributes:
        a, b: the two rankings.
        suites: what is answered.
        fraction: the size of the top sets.
        limit: at most so many prompts of each suite.
        means: the ranking that M1's mean activations are taken from, one of the same adapter as `a`; `a` itself where
            empty. A ranking by attribution knows them only where 0 is among its steps, and then over the answers that
            it read; without means, nothing is set to them.
    """

    a: Place = "safety"
    b: Place = "helpful"
    suites: Places = ("redteam_eval", "everyday_eval")
    fraction: Fraction = 0.05
    limit: Count = 50
    means: PlaceOrNone = field(default="", metadata=LATER)


class Ablation(Study[AblationSpec]):
    """Shared and specific neurons: activations of both aligned models put into M1, and held at constants in A."""

    name, title, settings = "ablation", "Shared and specific neurons", AblationSpec
    tables = (
        Table(
            "ablation",
            "the change of one score on one suite when one set is set to one value",
            (
                METHOD,
                Column("a", "the one ranking"),
                Column("b", "the other"),
                SUITE,
                Column("into", "the model that answers: m1, or the ranking whose aligned model does"),
                Column("set", "shared, only_a or only_b: in both top sets, only in A's, only in B's"),
                Column("value", "what the neurons are set to: activations of a ranking's model, zero, mean"),
                FRACTION,
                K,
                *CHANGE,
            ),
        ),
    )

    def needs(self, asked: AblationSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=tuple(filter(None, (asked.a, asked.b, asked.means))), prompts=asked.suites)

    def check(self, file: BuildFile, asked: Sequence[AblationSpec]) -> None:
        """See `Study.check`."""
        for one in asked:
            differ(file.source, self.name, "a and b", one.a, one.b)

    def part(self, build: Build, asked: AblationSpec, number: int) -> Part:
        """See `Study.part`."""
        prompts = {suite: build.prompts(suite, asked.limit) for suite in asked.suites}

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            rows = []
            for i, (suite, ps) in enumerate(prompts.items()):
                rows += _ablated(build, asked, suite, ps, share(tell, i, len(prompts)))
            return {"ablation": with_method(pd.DataFrame(rows), build.config.method_of(asked.a, asked.b))}

        tokens = sum(build.estimate(ps, 21, build.config.max_new_tokens) for ps in prompts.values())
        return Part(answering_inputs(build, asked, self.needs(asked).rankings, prompts), tokens, run)

    def finish(self, table: pd.DataFrame) -> pd.DataFrame:
        """See `Study.finish`: p-values corrected for their number."""
        return with_holm(table, ["p"], by="method")

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`: of the first pair and suite of each method, by every score."""

        def said(rows: pd.DataFrame) -> str:
            mine = first_rows(rows[rows["delta"].notna()], "a", "b", "suite")
            parts = mine[mine["score"] != "degenerate"].groupby("score", sort=False)
            return " ".join(ablation_sentence(part, str(score)) for score, part in parts)

        return by_method(tables["ablation"], said)


def _ablated(build: Build, asked: AblationSpec, suite: str, prompts: list[Prompt], tell: Tell) -> list[dict[str, Any]]:
    """The rows of one suite."""
    a, b = build.ranking(asked.a), build.ranking(asked.b)
    sets = {kind: ns for kind, ns in parts_of(a, b, asked.fraction).items() if len(ns)}
    model_a, model_b = build.config.model_of(asked.a), build.config.model_of(asked.b)
    tokens = build.config.max_new_tokens
    kept, zero = tuple(sets.values()), (None,) * len(sets)
    plans: list[tuple[str, str, Task | None, Any]] = [
        ("m1", f"activations of {asked.a}", None, build.patching(sets=kept, second=model_a, aligned=False)),
        ("m1", f"activations of {asked.b}", None, build.patching(sets=kept, second=model_b, aligned=False)),
        (asked.a, "zero", answer_fixed, Fixing(tokens=tokens, model=model_a, sets=kept, values=zero)),
    ]
    means = _means(build.ranking(asked.means) if asked.means else a, kept)
    if means is not None:
        plans.append((asked.a, "mean", answer_fixed, Fixing(tokens=tokens, model=model_a, sets=kept, values=means)))
    plain = build.patching(first=model_a, second=model_a, aligned=False)
    before = {asked.a: build.answer(plain, prompts, share(tell, 0, 5))}
    rows = []
    for number, (into, what, task, how) in enumerate(plans):
        frame = build.answer(how, prompts, share(tell, number + 1, 5), task)
        before.setdefault(into, frame[frame["condition"] == -1])
        for condition, (kind, ns) in enumerate(sets.items()):
            cells: dict[str, Any] = {"a": asked.a, "b": asked.b, "suite": suite, "into": into}
            cells |= {"set": kind, "value": what, "fraction": asked.fraction, "k": len(ns)}
            after = frame[frame["condition"] == condition]
            rows += tax_rows(cells, before[into], after, build.score_columns, tokens)
    return rows


def _means(ranking: Ranking, sets: tuple[NeuronSet, ...]) -> tuple[np.ndarray, ...] | None:
    """M1's mean activations of each set; None where the ranking does not know them."""
    means = tuple(means_at(ranking, ns) for ns in sets)
    return means if all(np.isfinite(values).all() for values in means) else None


SETS = ("shared", "only_a", "only_b")
"""In both top sets, only in A's, only in B's."""


def parts_of(a: Ranking, b: Ranking, fraction: float) -> dict[str, NeuronSet]:
    """The three sets of `SETS` for top sets of one size."""
    first, second = a.top(fraction=fraction), b.top(fraction=fraction)
    found = (first & second, first - second, second - first)
    return {name: ns.relabel(name.replace("_", " ")) for name, ns in zip(SETS, found, strict=True)}


def means_at(changes: Ranking, ns: NeuronSet) -> np.ndarray:
    """float32 [k]: M1's mean activations of a set, over the positions that the ranking compared."""
    means: np.ndarray = changes.mean1[ns.layers, ns.neurons].astype(np.float32)
    return means


def ablation_sentence(rows: pd.DataFrame, score: str, label: Callable[[str], str] = ranking_label) -> str:
    """Which changes of a score are distinguishable from 0.

    Args:
        rows: of `ablation`, of one score and suite.
        score: its name.
        label: the aligned model that a ranking is of, in words.
    """
    if rows.empty:
        return ""
    sure = [row for row in rows.to_dict("records") if row["delta_low"] > 0 or row["delta_high"] < 0]
    head = f"Of {len(rows)} changes of {score_words(score)} on {suite_label(str(rows['suite'].iloc[0]))}"
    n = f"n = {int(rows['n'].iloc[0]):,}"
    if not sure:
        return f"{head} none is distinguishable from 0 ({n})."
    strongest = max(sure, key=lambda row: abs(row["delta"]))
    sets = {"shared": "shared neurons", "only_a": f"neurons of {label(str(strongest['a']))} alone"}
    sets["only_b"] = f"neurons of {label(str(strongest['b']))} alone"
    into = "M1" if strongest["into"] == "m1" else label(str(strongest["into"]))
    return (
        f"{head} **{len(sure)}** {'is' if len(sure) == 1 else 'are'} distinguishable from 0; the largest, "
        f"{ablated_words(str(strongest['value']), label)} at the {sets[strongest['set']]} in {into}, is "
        f"**{signed(strongest['delta'], 2)}** ({signed(strongest['delta_low'], 2)} to "
        f"{signed(strongest['delta_high'], 2)}, {n})."
    )


def ablated_words(value: str, label: Callable[[str], str] = ranking_label) -> str:
    """What neurons were set to: "zero", "mean", "activations of Helpfulness"."""
    lead = "activations of "
    return f"{lead}{label(value.removeprefix(lead))}" if value.startswith(lead) else value
