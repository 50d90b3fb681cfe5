"""The charts of a run by name, as its pages begin with them.

charts(run)                      # ["effect", "refusals", "break", …], as far as the run holds them
chart(run, "effect").save("effect.html")
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import altair as alt
import pandas as pd

from explorer.charts import Layered, effect, matrix, overlap, scores
from explorer.charts.checkpoints import likeness_chart, refusal_chart
from explorer.errors import ExplorerError
from explorer.neurons.overlap import layer_share
from explorer.report import (
    causal,
    depth,
    dose,
    facts,
    kinds,
    leave_out,
    logits,
    overview,
    paths,
    ranking_scores,
    refusal_direction,
    safeguard,
    seeds_and_methods,
    sentences,
    single_neurons,
    tax,
    transfer,
)
from explorer.report.by import BREAK, RESTORE
from explorer.report.first_choices import FirstResults, first_results, holds, main_rows
from explorer.report.ranking_names import main_method, model_label, rankings_by_method
from explorer.report.ranking_pairs import pairs_of, sizes
from explorer.report.results import patched_rankings, table_of, titles
from explorer.runs.reader import Run
from explorer.studies.words import score_words, usual_fraction

Chart = alt.Chart | Layered
"""What Altair draws."""


@dataclass(frozen=True)
class _Figure:
    """One chart, and the tables that a run must hold to draw it; every run holds rankings."""

    tables: tuple[str, ...]
    draw: Callable[[Run], Chart]


def charts(run: Run) -> list[str]:
    """The names of the charts that a run holds the numbers of.

    Raises:
        ExplorerError: a table of the run is damaged.
    """
    return [name for name, figure in _FIGURES.items() if run.rankings and holds(run, *figure.tables)]


def chart(run: Run, name: str) -> Chart:
    """One chart of a run, an Altair chart: a notebook shows it, `.save(file)` writes it, `.to_dict()` gives Vega-Lite.

    Args:
        run: the run.
        name: one of `charts(run)`.

    Raises:
        ExplorerError: there is no such chart, the run lacks what it needs, or there is nothing to draw.
    """
    if name not in _FIGURES:
        raise ExplorerError(f"There is no chart “{str(name)[:40]}”; choose one of {', '.join(_FIGURES)}.")
    lacking = [table for table in _FIGURES[name].tables if not holds(run, table)]
    if lacking or not run.rankings:
        what = f"the table “{lacking[0]}”" if lacking else "a ranking"
        raise ExplorerError(
            f"Run {run.name} does not hold {what}, which the chart “{name}” shows; it has {', '.join(charts(run))}."
        )
    return _FIGURES[name].draw(run)


def source_table(name: str) -> str:
    """The table that a chart's numbers come from; "" where they are the rankings'."""
    return next(iter(_FIGURES[name].tables), "") if name in _FIGURES else ""


# -- what patching does ------------------------------------------------------------------------------


def _first(run: Run, direction: str = RESTORE) -> FirstResults:
    found = first_results(run, direction)
    if found is None:
        raise ExplorerError(f"Run {run.name} patched no neurons; build it with fractions under [[answers]].")
    return found


def _curve(run: Run, score: str, direction: str = RESTORE) -> Chart:
    """A score against the share that is patched: of the main ranking and the paper's, or of all when breaking."""
    first = _first(run, direction)
    models, by = first.results.models, first.results.by
    measure = effect.turned(effect.MEASURES[score], by.giver)
    shown = overview.curves(run) if direction == RESTORE else titles(run, patched_rankings(run, direction))
    table = run.whole_table(table_of("effect", direction))
    lines = effect.rankings_frame(
        table[table["ranking"].isin(list(shown))], models, first.suite, measure, first.results.ranking
    )
    _check_drawn(run, lines)
    series = effect.ranking_series(shown, effect.BREAKING if by.breaks else effect.SERIES)
    return effect.effect_chart(lines, effect.reference_frame(models, first.suite, measure), measure, series)


def _fewest(run: Run) -> Chart:
    first = _first(run)
    measure, names = effect.effect_on("refusal"), titles(run, patched_rankings(run))
    models, main = first.results.models, first.results.ranking
    lines = effect.rankings_frame(run.whole_table("effect"), models, first.suite, measure, main)
    _check_drawn(run, lines)
    references = effect.reference_frame(models, first.suite, measure)
    return effect.effect_chart(lines, references, measure, effect.ranking_series(names))


def _suites(run: Run) -> Chart:
    first = _first(run)
    cells = causal.matrix_frame(first.results.effect, "refusal")
    _check_drawn(run, cells)
    return matrix.matrix_chart(cells, causal.matrix("refusal"), (first.fraction, first.suite))


def _prompts(run: Run) -> Chart:
    first = _first(run)
    return effect.rates_chart(effect.rates_frame(first.results.models, first.results.effect, first.fraction))


def _controls(run: Run) -> Chart:
    first = _first(run)
    others = causal.other_sets(first.results.effect, first.suite, "refusal")
    _check_drawn(run, others)
    return matrix.interval_chart(others, effect.effect_on("refusal").axis, share=True)


def _capability(run: Run) -> Chart:
    table = run.whole_table("capability")
    mine = causal.ability_of(table, run.main_ranking)
    frame = causal.capability_frame(table if mine.empty else mine)
    return matrix.interval_chart(frame, "Change from M1 (accuracy, or relative change of perplexity)", share=True)


def _check_drawn(run: Run, frame: pd.DataFrame) -> None:
    if frame.empty:
        raise ExplorerError(f"Run {run.name} has nothing to draw here: its two models are not distinguishable.")


# -- the studies -------------------------------------------------------------------------------------


def _transfer(run: Run, table: str) -> Chart:
    rows = main_rows(run, table, "fraction")
    score = next(iter(sentences.scores_in(rows, "effect_")), "refusal")
    cells = transfer.cells(rows, score)
    first = cells.iloc[0]
    return matrix.matrix_chart(cells, transfer.MATRIX, (first["target"], first["source"]))


def _tax(run: Run) -> Chart:
    rows = main_rows(run, "tax", "a", "b", "fraction")
    score = "cost" if (rows["score"] == "cost").any() else str(rows["score"].iloc[0])
    frame = tax.swap_frame(rows[rows["score"] == score], partial(model_label, run))
    return matrix.interval_chart(frame, f"Change of {score_words(score)}", share=score in tax.SHARES)


def _ablation(run: Run) -> Chart:
    rows = main_rows(run, "ablation", "a", "b", "fraction", "score", "suite")
    score = str(rows["score"].iloc[0])
    frame = tax.ablation_frame(rows, partial(model_label, run))
    return matrix.interval_chart(frame, f"Change of {score_words(score)}", share=score in tax.SHARES)


def _safeguard(run: Run) -> Chart:
    frame = safeguard.curve(main_rows(run, "safeguard", "ranking"), "accuracy")
    return matrix.curve_chart(frame, "Neurons read", safeguard.MEASURES["accuracy"], share=False)


def _seeds(run: Run) -> Chart:
    frame = seeds_and_methods.seed_curves(main_rows(run, "seeds"), "overlap")
    return matrix.curve_chart(frame, "Size of both top sets", seeds_and_methods.LIKENESS["overlap"])


def _identification(run: Run) -> Chart:
    frame = seeds_and_methods.identification_frame(main_rows(run, "identification", "reference"))
    return matrix.interval_chart(frame, "Causal effect (share of the gap)", share=True)


def _sparsity(run: Run) -> Chart:
    alike = rankings_by_method(run)[main_method(run)]
    table = run.whole_table("sparsity")
    frame = seeds_and_methods.energy(table[table["ranking"].isin(alike)])
    return matrix.curve_chart(frame, "Size of the top set", "Share of the squared scores it holds")


def _place(run: Run) -> Chart:
    cells = seeds_and_methods.place_frame(run.whole_table("place"), run.main_ranking)
    _check_drawn(run, cells)
    first = cells.iloc[0]
    return matrix.matrix_chart(cells, seeds_and_methods.PLACE, (first["layer"], first["group"]))


def _single_neurons(run: Run) -> Chart:
    rows = main_rows(run, "single_neurons", "ranking")
    measure = single_neurons.measures_of(rows)[0]
    frame, about = single_neurons.change_frame(rows, measure), single_neurons.MEASURES[measure]
    return matrix.interval_chart(frame, about.axis, share=about.share)


def _logit_attribution(run: Run) -> Chart:
    return logits.direct_chart(run.whole_table("logit_attribution"))


def _logit_lens(run: Run) -> Chart:
    return logits.lens_lines(run.whole_table("logit_lens"), "change")


def _depth(run: Run) -> Chart:
    frame, measure = depth.curve_frame(run.whole_table("depth"), "refusal"), depth.MEASURES["refusal"]
    return matrix.curve_chart(frame, "k, first tokens of the answer", measure.axis, share=False, log=False)


def _dose(run: Run) -> Chart:
    frame, measure = dose.curve_frame(run.whole_table("dose"), "refusal"), dose.MEASURES["refusal"]
    return matrix.curve_chart(frame, "Strength of the patch", measure.axis, share=False, log=False)


def _leave_out(run: Run) -> Chart:
    alone = run.whole_table("single_neurons") if holds(run, "single_neurons") else None
    frame = leave_out.change_frame(run.whole_table("leave_out"), alone)
    return matrix.interval_chart(frame, "Margin of M2's answer over M1's, nats a prompt", share=False)


def _paths(run: Run) -> Chart:
    return matrix.interval_chart(paths.parts_frame(run.whole_table("paths")), paths.MARGIN_AXIS, share=False)


def _refusal_direction(run: Run) -> Chart:
    frame = refusal_direction.effect_frame(run.whole_table("refusal_direction"))
    return matrix.interval_chart(frame, "Share of answers that refuse", share=True)


def _kinds(run: Run) -> Chart:
    frame = kinds.causal_frame(run.whole_table("kinds"))
    return matrix.interval_chart(frame, "Share of answers that refuse", share=True)


def _series(run: Run, draw: Callable[[pd.DataFrame], Chart]) -> Chart:
    rows = main_rows(run, "series")
    wanted = usual_fraction(str(rows["method"].iloc[0]))
    near = facts.nearest(sorted(rows["fraction"].unique().tolist()), wanted)
    return draw(rows[rows["fraction"] == near])


# -- the rankings ------------------------------------------------------------------------------------


def _scores(run: Run) -> Chart:
    ranking = run.ranking(run.main_ranking)
    histogram = scores.score_histogram(ranking.scores)
    _check_drawn(run, histogram)
    return scores.histogram_chart(histogram, scores.score_thresholds(ranking), title=ranking_scores.axis(ranking))


def _layers(run: Run) -> Chart:
    return scores.layer_heatmap(layer_share(run.ranking(run.main_ranking), sizes(run)), run.n_layers)


def _overlap(run: Run) -> Chart:
    method = main_method(run)
    names = rankings_by_method(run)[method]
    size = facts.nearest(list(sizes(run)), usual_fraction(method))
    pairs = pairs_of({name: run.ranking(name) for name in names}, size)
    return overlap.matrix_chart(pairs, overlap.LIKENESSES["overlap"], (names[0], names[-1]))


_PATCHED = ("effect", "models", "answers")
_BROKEN = tuple(table_of(name, BREAK) for name in _PATCHED)
_FIGURES = {
    "effect": _Figure(_PATCHED, partial(_curve, score="effect_refusal")),
    "refusals": _Figure(_PATCHED, partial(_curve, score="refusal")),
    "break": _Figure(_BROKEN, partial(_curve, score="effect_refusal", direction=BREAK)),
    "fewest": _Figure(("fewest", *_PATCHED), _fewest),
    "suites": _Figure(_PATCHED, _suites),
    "prompts": _Figure(_PATCHED, _prompts),
    "controls": _Figure(_PATCHED, _controls),
    "capability": _Figure(("capability",), _capability),
    "transfer": _Figure(("transfer",), partial(_transfer, table="transfer")),
    "categories": _Figure(("categories",), partial(_transfer, table="categories")),
    "tax": _Figure(("tax",), _tax),
    "ablation": _Figure(("ablation",), _ablation),
    "safeguard": _Figure(("safeguard",), _safeguard),
    "seeds": _Figure(("seeds",), _seeds),
    "identification": _Figure(("identification",), _identification),
    "sparsity": _Figure(("sparsity",), _sparsity),
    "place": _Figure(("place",), _place),
    "single_neurons": _Figure(("single_neurons",), _single_neurons),
    "logit_attribution": _Figure(("logit_attribution",), _logit_attribution),
    "logit_lens": _Figure(("logit_lens",), _logit_lens),
    "depth": _Figure(("depth",), _depth),
    "dose": _Figure(("dose",), _dose),
    "leave_out": _Figure(("leave_out",), _leave_out),
    "paths": _Figure(("paths",), _paths),
    "refusal_direction": _Figure(("refusal_direction",), _refusal_direction),
    "kinds": _Figure(("kinds",), _kinds),
    "checkpoints": _Figure(("series",), partial(_series, draw=likeness_chart)),
    "checkpoint_refusals": _Figure(("series",), partial(_series, draw=refusal_chart)),
    "scores": _Figure((), _scores),
    "layers": _Figure((), _layers),
    "overlap": _Figure((), _overlap),
}
