"""Sentences and frames of the page "Which ranking finds the fewest?", out of the table `fewest`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from explorer.charts.effect import BANDS
from explorer.charts.labels import percent, rate, span, suite_label
from explorer.report.addresses import lab_address
from explorer.report.by import BREAK, By
from explorer.report.ranking_names import RANDOM, ranking_title
from explorer.studies.fewest import SCORES, fewest_sentence
from explorer.studies.words import score_words

DASH = "–"

COSTS = (
    "With 95 % intervals over prompts; of random neurons they span all draws. What is sparse must also be clean: at "
    "the smallest measured share that is enough, how many of the patched answers are degenerate, how many everyday "
    "prompts the patched model refuses, and its perplexity against M1's; – was not measured."
)
"""What the table's columns are."""


def answer_sentence(
    table: pd.DataFrame, rankings: Mapping[str, Any], suite: str, direction: str, score: str, last: str = ""
) -> str:
    """The study's finding, with rankings and suites by the names that pages give them, and whether both judges agree.

    Args:
        table: the run's.
        rankings: what the manifest says of each.
        suite, direction, score: what is asked.
        last: a sentence to end with.
    """
    named = table.assign(
        ranking=[name if name == RANDOM else ranking_title(name, rankings) for name in table["ranking"]],
        suite=table["suite"].map(suite_label),
    )
    found = fewest_sentence(named, suite_label(suite), direction, score)
    return " ".join(part for part in (found, judges_words(named, suite_label(suite), direction), last) if part)


def judges_words(table: pd.DataFrame, suite: str, direction: str) -> str:
    """Whether refusals and cost name the same ranking, and both say that it gets there.

    Args:
        table: the run's.
        suite, direction: what is asked.
    """
    best = {score: _best(table, suite, direction, score) for score in SCORES}
    known = {score: row for score, row in best.items() if row is not None}
    if not known:
        return ""
    if len(known) == 1:
        there, gone = next(iter(known)), next(score for score in SCORES if score not in known)
        return (
            f"This rests on {score_words(there)} alone: by {score_words(gone)} nothing was measured here, or the two "
            "models are not distinguishable."
        )
    reach = {score: bool(np.isfinite(row["fraction"])) for score, row in known.items()}
    if not any(reach.values()):
        return "Both judges, refusals and cost, say so."
    said = [
        f"by {score_words(score)} “{row['ranking']}” with {percent(row['fraction'])}"
        if reach[score]
        else f"by {score_words(score)} no ranking up to {percent(row['largest'])}"
        for score, row in known.items()
    ]
    same = len({row["ranking"] for row in known.values()}) == 1 and all(reach.values())
    start = "Both judges name the same ranking" if same else "**The two judges disagree**"
    return f"{start}: {' and '.join(said)}."


def curves_caption(lines: pd.DataFrame, main: str, by: By) -> str:
    """What the curves were measured on; rankings may have been tested on fewer prompts than the main one.

    Args:
        lines: of `charts.effect.rankings_frame`.
        main: the main ranking, in words.
        by: the direction.
    """
    n = lines.loc[lines["fraction"] > 0, "n"]
    random = f" Random neurons: as many in each layer as the top by {main} has there." * bool(
        (lines["series"] == RANDOM).any()
    )
    return (
        f"{by.patched} with {by.giver}'s activations in its top neurons; n = {span(n.min(), n.max())} "
        f"prompts, up to {int(lines['max_new_tokens'].max())} tokens an answer. {BANDS}{random}"
    )


def fewest_rows(table: pd.DataFrame, rankings: Mapping[str, Any], direction: str) -> pd.DataFrame:
    """The table for people to read: every suite, score and ranking of one direction, each with a way to the lab.

    Args:
        table: the run's.
        rankings: what the manifest says of each.
        direction: "restore" or "break".
    """
    rows = table[table["direction"] == direction]
    records = [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]
    return pd.DataFrame(
        [
            {
                "Prompts": suite_label(row["suite"]),
                "Judge": score_words(row["score"]),
                "Ranking": ranking_title(row["ranking"], rankings),
                f"Neurons for {percent(row['share'])} of the gap": needed(row),
                "n": int(row["n"]),
                "Measured at": _cell(row["at"], percent),
                "Degenerate": _cell(row["degenerate"], rate),
                "Everyday prompts refused": _cell(row["everyday"], rate),
                "Perplexity against M1": _cell(row["perplexity"], "×{:.2f}".format),
                "lab": _lab(row, rankings),
            }
            for row in records
        ]
    )


def needed(row: Mapping[str, Any]) -> str:
    """The fraction of a row with its interval: "0.5 % (0.2 % to 1 %)", or that it is not reached."""
    if pd.isna(row["fraction"]):
        return "no gap to speak of"
    if np.isinf(row["fraction"]):
        return f"more than {percent(row['largest'])}"
    high = row["fraction_high"]
    upper = f"more than {percent(row['largest'])}" if np.isinf(high) else percent(high)
    low = row["fraction_low"]
    lower = f"more than {percent(row['largest'])}" if np.isinf(low) else percent(low)
    return f"{percent(row['fraction'])} ({lower} to {upper})"


def _best(table: pd.DataFrame, suite: str, direction: str, score: str) -> pd.Series | None:
    """The row of the ranking that needs the fewest; None where there is no gap or the score was not measured."""
    asked = (table["suite"] == suite) & (table["direction"] == direction) & (table["score"] == score)
    rows = table[asked & table["fraction"].notna() & (table["ranking"] != RANDOM)]
    return None if rows.empty else rows.sort_values("fraction", kind="stable").iloc[0]


def _cell(value: float, words: Any) -> str:
    return DASH if pd.isna(value) else words(value)


def _lab(row: Mapping[str, Any], rankings: Mapping[str, Any]) -> str | None:
    """The Patch lab with these neurons; None where no measured set gets there, or the run does not hold the ranking."""
    if pd.isna(row["at"]) or row["ranking"] not in rankings:
        return None
    way = {"direction": BREAK} if row["direction"] == BREAK else {}
    return lab_address(ranking=row["ranking"], fraction=f"{row['at']:g}", **way)
