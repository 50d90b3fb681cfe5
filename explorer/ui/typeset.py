"""Numbers in tables as texts write them ("−0.5", "2,304", "5 %"), while tables still sort by value.

numbers = Typeset(rows, {"rank": COUNT, "loss": decimals(3)})
st.dataframe(numbers.data, hide_index=True, column_config={"rank": numbers.column("rank", "Rank"), …})

The browser writes a column's `format` itself, with a hyphen for a minus sign and "5.00%"; what a pandas Styler displays
it writes as it stands, in columns without a format. A Styler takes about 10 µs a cell, and each text is sent beside
its value, so tables of more than MOST_CELLS cells are left to the browser.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from explorer.charts.labels import NBSP, p_value, percent, significant, true_minus
from explorer.charts.labels import signed as signed_text

MOST_CELLS = 10_000
"""Cells of the largest table that is typeset: a tenth of a second for each visitor at each look."""


@dataclass(frozen=True)
class Form:
    """How the numbers of a column are written.

    Attributes:
        text: of a finite number.
        browser: the nearest `format` of `st.column_config.NumberColumn`, for tables that are too large; None for its
            default.
    """

    text: Callable[[float], str]
    browser: str | None = None

    def __call__(self, value: float) -> str:
        """The text of any number; "" where it is missing, so that the table's placeholder shows."""
        if pd.isna(value):
            return ""
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        return self.text(value)


def decimals(places: int) -> Form:
    """So many places: "−0.123"; no sign before 0."""
    return Form(partial(_decimals, places=places), f"%.{places}f")


def signed(places: int) -> Form:
    """So many places and always a sign: "+0.12"."""
    return Form(partial(signed_text, decimals=places), f"%+.{places}f")


def digits(count: int) -> Form:
    """So many significant digits: "−0.00123", "1.2 × 10⁻⁷"."""
    return Form(partial(significant, digits=count), f"%.{count}g")


def _decimals(value: float, places: int) -> str:
    return true_minus(f"{value:z.{places}f}")


def _fine_share(value: float) -> str:
    return f"{_decimals(100 * value, 2)}{NBSP}%"


def _count(value: float) -> str:
    return true_minus(f"{int(value):,}")


def _as_is(value: float) -> str:
    """Up to four places and no thousands separators, as the browser writes it."""
    if isinstance(value, Integral):
        return true_minus(str(value))
    return _decimals(value, 4).rstrip("0").rstrip(".")


COUNT = Form(_count, "localized")
"""Ranks and counts: "2,304"."""

SHARE = Form(percent, "percent")
"""Shares in percent with three digits at most, as `charts.labels.percent`: "5 %", "61.7 %"."""

FINE_SHARE = Form(_fine_share, "percent")
"""Shares in percent with two places, for columns whose values lie close together: "99.98 %"."""

P_VALUE = Form(p_value, "%.2g")
"""p values with two digits: "0.032", "1.4 × 10⁻¹⁵"."""

AS_IS = Form(_as_is)
"""Columns that name no form: "12", "−1", "0.25"."""


@dataclass(frozen=True)
class Typeset:
    """A table with the forms of its numbers.

    Attributes:
        frame: the table; its index is not shown.
        forms: for each column of numbers that has one, its form; columns that are not in the table may be named.
    """

    frame: pd.DataFrame
    forms: Mapping[str, Form]

    @property
    def whole(self) -> bool:
        """Whether the table is small enough to be typeset."""
        return self.frame.size <= MOST_CELLS

    @property
    def data(self) -> pd.DataFrame | Styler:
        """For `st.dataframe` and `st.data_editor`: the numbers, beside the texts that are shown for them."""
        frame = self.frame.reset_index(drop=True)  # a Styler takes no index that says a name twice
        if not self.whole:
            return frame
        return frame.style.format({name: self._written(str(name)) for name in frame.columns}, na_rep="")

    def column(self, name: str, label: str | None = None, **options: Any) -> Any:
        """The column's configuration, with a `format` only where the browser writes the numbers.

        Args:
            name: of the column.
            label: its title; the name when left out.
            options: others of `st.column_config.NumberColumn`.
        """
        form = None if self.whole else self.forms.get(name, AS_IS).browser
        return st.column_config.NumberColumn(label, format=form, **options)

    def _written(self, name: str) -> Callable[[Any], str]:
        types, values = pd.api.types, self.frame[name]
        numbers = types.is_numeric_dtype(values) and not types.is_bool_dtype(values)
        return self.forms.get(name, AS_IS if numbers else str)
