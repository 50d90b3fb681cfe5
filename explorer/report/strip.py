"""A text as a strip of coloured tokens: the background says in which model a neuron was higher.

Tokens are a model's text: every one is escaped, whatever stands in it.
"""

import html

import pandas as pd

from explorer.charts import palette


def strip_html(words: pd.DataFrame) -> str:
    """HTML for `st.html`: green where the neuron is higher in M2, orange where it is higher in M1.

    Args:
        words: columns token, part, m1, m2; the strongest difference is the fullest colour.
    """
    difference = (words["m2"] - words["m1"]).astype(float)
    strongest = float(difference.abs().max()) or 1.0
    pieces = []
    for token, part, m1, m2, change in zip(
        words["token"], words["part"], words["m1"], words["m2"], difference, strict=True
    ):
        colour = palette.ALIGNED if change > 0 else palette.UNPATCHED
        alpha = f"{round(200 * abs(change) / strongest):02x}"
        weight = "600" if part == "answer" else "400"
        style = f"background:{colour}{alpha};border-radius:3px;font-weight:{weight}"
        about = html.escape(f"M1 {m1:.3f}, M2 {m2:.3f}, difference {change:+.3f}", quote=True)
        pieces.append(f'<span style="{style}" title="{about}">{html.escape(token)}</span>')
    return f'<div style="white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.7">{"".join(pieces)}</div>'
