"""Numbers of tables: what is shown, what stays beneath it, and what is left to the browser."""

import numpy as np
import pandas as pd
import pytest
from pandas.io.formats.style import Styler
from streamlit.elements.lib.pandas_styler_utils import marshall_styler
from streamlit.proto.ArrowData_pb2 import ArrowData

from explorer.ui.typeset import AS_IS, COUNT, FINE_SHARE, MOST_CELLS, P_VALUE, SHARE, Typeset, decimals, digits, signed
from tests.words import displayed

INF = float("inf")


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (decimals(3), -0.1234, "−0.123"),
        (decimals(2), -0.001, "0.00"),
        (decimals(2), INF, "∞"),
        (signed(2), 0.5, "+0.50"),
        (signed(2), -0.5, "−0.50"),
        (signed(2), -INF, "−∞"),
        (digits(3), -0.0012345, "−0.00123"),
        (digits(3), 1.5e-7, "1.5 × 10⁻⁷"),
        (digits(3), -123456.0, "−123,000"),
        (P_VALUE, 1.4e-15, "1.4 × 10⁻¹⁵"),
        (COUNT, 2304, "2,304"),
        (COUNT, -1, "−1"),
        (SHARE, 0.05, "5 %"),
        (SHARE, -0.0125, "−1.25 %"),
        (SHARE, 0.617, "61.7 %"),
        (FINE_SHARE, 0.99984, "99.98 %"),
        (AS_IS, np.int64(-2304), "−2304"),
        (AS_IS, 0.25, "0.25"),
        (AS_IS, 3.0, "3"),
        (AS_IS, -0.00001, "0"),
        (AS_IS, np.float32(-1.5), "−1.5"),
        (COUNT, pd.NA, ""),
        (SHARE, float("nan"), ""),
    ],
)
def test_a_number_is_written_as_in_texts(form, value, text) -> None:
    assert form(value).replace("\u00a0", " ") == text


def test_a_table_shows_texts_and_keeps_its_numbers() -> None:
    frame = pd.DataFrame(
        {
            "word": ["a", None],
            "loss": [-0.5, float("nan")],
            "rank": pd.array([2304, None], "Int64"),
            "layer": [3, 12],
            "share": [0.05, -0.5],
            "same": [True, False],
        },
        index=[7, 7],
    )
    numbers = Typeset(frame, {"loss": decimals(2), "rank": COUNT, "share": SHARE, "not there": SHARE})
    data = numbers.data
    assert isinstance(data, Styler)
    assert data.data["loss"].iloc[0] == -0.5
    proto = ArrowData()
    marshall_styler(proto, data, "table")
    shown = displayed(proto)
    assert shown is not None
    assert {name: shown.column(name).to_pylist() for name in frame} == {
        "word": ["a", ""],
        "loss": ["−0.50", ""],
        "rank": ["2,304", ""],
        "layer": ["3", "12"],
        "share": ["5\u00a0%", "−50\u00a0%"],
        "same": ["True", "False"],
    }
    assert numbers.column("loss", "Loss")["type_config"]["format"] is None


def test_a_large_table_is_left_to_the_browser() -> None:
    numbers = Typeset(pd.DataFrame({"loss": np.zeros(MOST_CELLS + 1)}), {"loss": decimals(3)})
    assert isinstance(numbers.data, pd.DataFrame)
    assert numbers.column("loss")["type_config"]["format"] == "%.3f"
    assert numbers.column("other")["type_config"]["format"] is None
