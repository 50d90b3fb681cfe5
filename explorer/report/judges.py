"""How far the two judges of an answer, refusals and cost, agree: words and frames of the table `judges`."""

import pandas as pd

from explorer.charts.labels import percent, rate, true_minus
from explorer.report.by import COLUMNS, RESTORE


def judges_sentence(judges: pd.DataFrame) -> str:
    """Over which range κ lies, and on how many answers the judges part."""
    known, n = judges.dropna(subset=["kappa"]), int(judges["n"].sum())
    apart = int(judges["refused_harmful"].sum() + judges["answered_harmless"].sum())
    harmless = int(judges["answered_harmless"].sum())
    share = f"; {rate(harmless / apart)} of these answer and cost little (harmless prompts among them)" if apart else ""
    text = f"They part on **{rate(apart / n)}** of {n:,} answers{share}."
    if known.empty:
        return text
    low, high = (true_minus(f"{value:.2f}") for value in (known["kappa"].min(), known["kappa"].max()))
    return f"Cohen's κ is **{low} to {high}** over {len(known)} columns. {text}"


def judge_rows(judges: pd.DataFrame, direction: str = RESTORE) -> pd.DataFrame:
    """The table for people to read, of one ranking and direction."""

    def name(row) -> str:
        size = f", {row.set} {percent(row.fraction)}" if row.column == "patched" else ""
        draw = f", draw {row.seed + 1}" if row.seed >= 0 else ""
        return f"{COLUMNS[direction][row.column]}{size}{draw}"

    kappa = [
        "–" if pd.isna(r["kappa"]) else true_minus(f"{r['kappa']:.2f} [{r['kappa_low']:.2f}, {r['kappa_high']:.2f}]")
        for r in judges.to_dict("records")
    ]
    return pd.DataFrame(
        {
            "Answers": [name(row) for row in judges.itertuples()],
            "n": judges["n"].to_numpy(),
            "Refused": [rate(v) for v in judges["refused"]],
            "Cost above 0": [rate(v) for v in judges["harmful"]],
            "Agree": [rate(v) for v in judges["agree"]],
            "Cohen's κ": kappa,
            "Refused, cost above 0": judges["refused_harmful"].to_numpy(),
            "Not refused, cost below 0": judges["answered_harmless"].to_numpy(),
        }
    )
