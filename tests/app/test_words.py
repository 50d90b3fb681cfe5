"""No view of the run that ships says a raw name, a hyphen for a minus sign, or "nan" and "None"."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from streamlit.testing.v1 import AppTest

from explorer.paths import PROJECT
from explorer.ui.pages import PAGES
from tests.views import VIEWS, View
from tests.words import said, wrong_words

MODELS = "pages/models.py"
"""People type the names of adapters and of a training's settings, so they stand there as they are."""


@dataclass(frozen=True)
class Shown:
    """What a view showed: how many titles, which errors, and the words that are none."""

    titles: int
    errors: list[str]
    wrong: list[str]


@pytest.fixture(scope="module")
def shown() -> Iterator[dict[str, Shown]]:
    """All views, one after another, by name: what one has read of the run the next need not read again."""
    if not (PROJECT / "cache" / "demo" / "manifest.json").is_file():
        pytest.skip("cache/demo is not built yet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPLORER_RUNS", str(PROJECT / "cache"))
        yield {view.name: _show(view) for view in VIEWS}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_of_the_run_that_ships_says_nothing_raw(shown, view) -> None:
    assert shown[view.name] == Shown(1, [], [])


def _show(view: View) -> Shown:
    app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=120)
    if view.page != PAGES[0].file:
        app.run().switch_page(view.page)
    for name, value in view.query.items():
        app.query_params[name] = value
    app.run()
    errors = [e.value for e in (*app.exception, *app.error) if "not installed" not in e.value]
    return Shown(len(app.title), errors, wrong_words(said(app), _typed() if view.page == MODELS else ()))


def _typed() -> set[str]:
    from explorer.report.adapter_cards import read_adapters

    adapters = read_adapters()
    settings = (name for adapter in adapters.values() for stage in adapter.record.stages for name in stage)
    return {*adapters, *settings}


def test_what_is_wrong_is_found() -> None:
    texts = ["64 prompts of redteam_eval", "it falls by -0.5 or .5 to -3", "nan", "Trained: None", "p = 1e-05", "5%"]
    wrong = [found.split(" in ")[0] for found in wrong_words(texts)]
    assert wrong == ["redteam_eval", "-0.5", "-3", "nan", "None", "1e-05", "5%"]


def test_numbers_that_the_browser_would_write_are_found() -> None:
    def table() -> None:
        import pandas as pd
        import streamlit as st

        from explorer.ui.typeset import SHARE, Typeset, decimals

        frame = pd.DataFrame({"share": [0.05, 0.1], "loss": [-0.5, 0.25], "n": [1, 2]})
        numbers = Typeset(frame, {"share": SHARE, "loss": decimals(2)})
        percent = {"share": st.column_config.NumberColumn(format="percent")}
        st.dataframe(numbers.data, alt="Right")
        st.dataframe(frame, alt="A bare table")
        st.dataframe(numbers.data, alt="A format beside texts", column_config=percent)

    wrong = wrong_words(said(AppTest.from_function(table).run()))
    assert wrong == ["-0.5 in “-0.5, in the column loss”", "5% in “5%, in the column share”"]


def test_what_people_write_is_let_through() -> None:
    texts = ["`run_name` and down_proj", "seed-1, 5–27 %, −0.5, %2F", "none of them; L19.61", "<|im_start|>user"]
    assert wrong_words(texts) == []
