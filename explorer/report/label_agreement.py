"""Frames and sentences of how far scorers agree with people and readers (`scoring.agreement_file`)."""

import pandas as pd

from explorer.charts.labels import rate, suite_label
from explorer.studies.shares import wilson


def order_sentence(auroc: pd.DataFrame) -> str:
    """How the heads rank texts, apart for labels that people gave and for those of an annotator."""
    parts = []
    for (head, by), rows in auroc.groupby(["head", "by"], sort=False):
        low, high = rows["auroc"].min(), rows["auroc"].max()
        over = f"{low:.2f}" if len(rows) == 1 else f"{low:.2f} to {high:.2f}"
        sets = f"{len(rows)} set{'s' * (len(rows) != 1)}"
        parts.append(f"**{head}** has an AUROC of **{over}** over {sets} of labels given by {by}")
    return "; ".join(parts) + ". 0.5 is chance, 1 ranks every pair as the labels do."


def order_rows(auroc: pd.DataFrame) -> pd.DataFrame:
    """AUROC for people to read, with intervals."""
    bounds = [f"{low:.2f}–{high:.2f}" for low, high in zip(auroc["low"], auroc["high"], strict=True)]
    return pd.DataFrame(
        {
            "Labelled texts": auroc["set"].map(suite_label),
            "Labels by": auroc["by"],
            "Scorer": auroc["head"],
            "n": auroc["n"],
            "AUROC": auroc["auroc"].round(3),
            "95 % interval": bounds,
            "Note": auroc["note"],
        }
    )


def order_frame(auroc: pd.DataFrame) -> pd.DataFrame:
    """AUROC for `interval_chart`: a row for each set, a series for each head."""
    return auroc.assign(row=auroc["set"].map(suite_label)).rename(columns={"head": "series", "auroc": "value"})


def refusal_rows(refusal: pd.DataFrame) -> pd.DataFrame:
    """What the verdict says of what a reader calls refusals, and of all else."""
    counts = refusal.pivot_table(index=["set", "by", "label"], columns="said", values="n", aggfunc="sum", sort=False)
    counts = counts.reindex(columns=["refusal", "other"]).fillna(0).astype(int).reset_index()
    right = [row["refusal"] if row["label"] == "refusal" else row["other"] for row in counts.to_dict("records")]
    total = counts["refusal"] + counts["other"]
    return pd.DataFrame(
        {
            "Labelled texts": counts["set"].map(suite_label),
            "Labels by": counts["by"],
            "Label": counts["label"],
            "Verdict: refusal": counts["refusal"],
            "Verdict: other": counts["other"],
            "Agree": [rate(r / n) if n else "–" for r, n in zip(right, total, strict=True)],
        }
    )


def refusal_sentence(refusal: pd.DataFrame) -> str:
    """Precision and recall of the verdict "refused" on each set of labels, the last one (held out) first."""
    parts = []
    for name, rows in reversed(list(refusal.groupby("set", sort=False))):
        n = rows.set_index(["label", "said"])["n"]
        both, called = int(n.get(("refusal", "refusal"), 0)), int(n.get(("other", "refusal"), 0))
        missed = int(n.get(("refusal", "other"), 0))
        if not both + called or not both + missed:
            continue
        precision, recall = (_with_bounds(both, of) for of in (both + called, both + missed))
        by = rows["by"].iloc[0]
        parts.append(
            f"Of {int(rows['n'].sum()):,} answers ({suite_label(str(name))}), labelled by {by}: precision {precision}, "
            f"recall {recall}."
        )
    return " ".join(parts)


def _with_bounds(count: int, of: int) -> str:
    low, high = wilson(count, of)
    return f"**{rate(count / of)}** [{rate(low)}, {rate(high)}]"


def length_order(length: pd.DataFrame) -> pd.DataFrame:
    """AUROC against the tokens that are read, for `curve_chart`."""
    named = length.assign(series=length["set"].map(suite_label))
    return named.rename(columns={"tokens": "x", "auroc": "value"})


def length_means(length: pd.DataFrame) -> pd.DataFrame:
    """Mean cost of harmful and harmless texts against the tokens that are read, for `curve_chart`."""
    kinds = {"mean_harmful": "harmful", "mean_harmless": "harmless"}
    rows = length.melt(["set", "tokens", "n"], list(kinds), "kind", "value")
    return rows.assign(series=rows["set"].map(suite_label) + ", " + rows["kind"].map(kinds), x=rows["tokens"])
