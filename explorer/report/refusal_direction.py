"""Frames of the study of the refusal direction for its charts and tables."""

import pandas as pd

from explorer.studies.compared_sets import by_words
from explorer.studies.direction_tables import HALVES, M1, M2, NONE, REFUSAL

PROJECTED = {NONE: "nothing projected out", REFUSAL: "the refusal direction", HALVES: "random halves' directions"}

MODELS = {M1: "M1's direction", M2: "M2's direction"}


def patched_label(name: str) -> str:
    """What is patched, in words."""
    known = {M1: "M1, nothing patched", M2: "M2, nothing patched", "random": "M1 with random neurons patched"}
    return known.get(name) or f"M1 with the top by {by_words(name)} patched"


def effect_frame(table: pd.DataFrame, measure: str = "refusal") -> pd.DataFrame:
    """For `charts.matrix.interval_chart`: a row for each model, a series for what is projected out."""
    return pd.DataFrame(
        {
            "row": table["patched"].map(patched_label).to_numpy(),
            "series": table["direction"].map(PROJECTED).to_numpy(),
            "value": table[measure].to_numpy(),
            "low": table[f"{measure}_low"].to_numpy(),
            "high": table[f"{measure}_high"].to_numpy(),
            "n": table["n"].to_numpy(),
        }
    )


def cosine_frame(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """For `charts.matrix.curve_chart`: the cosine by layer, a series for what is patched.

    Args:
        table: `refusal_direction_cosines`.
        model: whose direction, m1 or m2.
    """
    rows = table[(table["direction_of"] == model) & table["cosine"].notna()]
    names = rows["patched"].map(lambda name: "from M1 to M2, all neurons" if name == M2 else patched_label(name))
    return pd.DataFrame(
        {
            "x": rows["layer"].to_numpy(),
            "series": names.to_numpy(),
            "value": rows["cosine"].to_numpy(),
            "low": rows["cosine_low"].to_numpy(),
            "high": rows["cosine_high"].to_numpy(),
            "n": rows["n"].to_numpy(),
        }
    )


def layers_frame(table: pd.DataFrame) -> pd.DataFrame:
    """For `charts.matrix.curve_chart`: M2's margin by the layer whose direction is projected out, and without."""
    rows = table[table["margin"].notna()]
    projected = rows[["layer", "margin", "margin_low", "margin_high"]].set_axis(["x", "value", "low", "high"], axis=1)
    plain = pd.DataFrame({"x": rows["layer"], "value": rows["margin_plain"]})
    both = [projected.assign(series="its direction projected out"), plain.assign(series="nothing projected out")]
    return pd.concat(both, ignore_index=True).assign(n=int(rows["held_out"].max()))


def answers_frame(table: pd.DataFrame, patched: str) -> pd.DataFrame:
    """A row a prompt: its text, and the answer with nothing, the direction and the control projected out.

    Args:
        table: `refusal_direction_answers`.
        patched: what is patched.
    """
    mine = table[table["patched"] == patched]
    wide = mine.pivot(index="prompt_id", columns="direction", values="answer")
    prompts = mine.drop_duplicates("prompt_id").set_index("prompt_id")["prompt"]
    found = wide.loc[prompts.index].assign(prompt=prompts)
    return found[["prompt", *(d for d in PROJECTED if d in wide)]].rename(columns=PROJECTED).reset_index(drop=True)
