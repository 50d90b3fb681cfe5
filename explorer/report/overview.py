"""What stands beside the main ranking on the Overview: the paper's ranking, and the other direction."""

from typing import TYPE_CHECKING

from explorer.charts.labels import percent, rate
from explorer.report import claims, facts
from explorer.report.by import BREAK
from explorer.report.ranking_names import default_fraction
from explorer.report.results import patched_rankings, results_of, titles
from explorer.runs.columns import MAIN
from explorer.runs.reader import Run

if TYPE_CHECKING:
    import pandas as pd


def papers_words(run: Run, suite: str) -> str:
    """What change scores, the paper's ranking, do at the paper's fraction; "" where they are the main ranking."""
    ranked = patched_rankings(run)
    if MAIN not in ranked[1:]:
        return ""
    papers = results_of(run, MAIN)
    fractions = facts.fractions_of(papers.effect, suite)
    if not fractions:
        return ""
    fraction = facts.nearest(fractions, default_fraction(MAIN, run.manifest["rankings"]))
    lead = f"By {papers.by.words}, **{percent(fraction)}** restore"
    said = claims.claim_at(papers.effect, suite, fraction, lead)
    return f"{said} {claims.reached_sentence(papers.effect, suite)}"


def breaking_words(run: Run, suite: str, fraction: float) -> str:
    """What taking the main ranking's neurons away from M2 does; "" where the run did not.

    Args:
        run: the run.
        suite: a prompt suite.
        fraction: which share of the neurons; the closest one that was patched stands for it.
    """
    ranking = next(iter(patched_rankings(run)), "")
    if ranking not in patched_rankings(run, BREAK):
        return ""
    broken = results_of(run, ranking, BREAK)
    fractions = facts.fractions_of(broken.effect, suite)
    if not fractions:
        return ""
    shape = (run.n_layers, run.n_neurons)
    found = facts.headline(shape, broken.models, broken.effect, suite, facts.nearest(fractions, fraction))
    m2, patched, random = found.unpatched, found.patched, found.random
    if m2 is None or patched is None:
        return ""
    beside = f" (with random neurons to {rate(random.value)})" if random is not None else ""
    lead = (
        f"The other way round, M1's activations in the top **{percent(found.fraction)}** take M2's refusals from "
        f"**{rate(m2.value)}** to **{rate(patched.value)}**{beside}, and so break"
    )
    return claims.claim_at(broken.effect, suite, found.fraction, lead)


def curves(run: Run) -> dict[str, str]:
    """The rankings whose curves are drawn, in words: the main one, and the paper's."""
    ranked = patched_rankings(run)
    return titles(run, [name for name in ranked if name in (ranked[0], MAIN)])


def of_curves(run: Run, shown: dict[str, str]) -> "pd.DataFrame":
    """The effects of these rankings."""
    effect = run.whole_table("effect")
    return effect[effect["ranking"].isin(list(shown))]
