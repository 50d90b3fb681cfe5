"""The Patch lab's film strip, on a tiny random pair that really answers."""

import pytest

from tests.app.test_trace import PATCH_LAB, keys, says, tiny_run, until

__all__ = ["tiny_run"]


def test_a_strip_shows_eight_frames_and_any_of_them_opens(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.2", tokens="16")
    app.button(key="film").click().run()
    until(app, lambda app: says(app, "greedy, up to 16 tokens"))
    until(app, lambda app: says(app, "M1 alone "))
    opens = [key for key in keys(app, "button") if key.startswith("frame-open-")]
    assert opens == [f"frame-open-{f}" for f in (0.001, 0.005, 0.01, 0.02, 0.05, 0.2, 1.0)]
    assert app.button(key="frame-open-0.2").disabled  # it is in the columns already
    app.button(key="frame-open-0.05").click().run()
    assert app.select_slider(key="patch_fraction").value == 0.05
    assert "trace-start" in keys(app, "button")  # its answers stand in the columns, nothing was generated
    app.number_input(key="patch_tokens").set_value(32).run()
    assert says(app, "the settings have changed since")
    assert app.button(key="frame-open-0.2").disabled


@pytest.mark.parametrize("kind", ["list", "layer"])
def test_a_set_without_a_share_is_refused_in_a_sentence(tiny_run, open_page, kind) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", set=kind, neurons="1.2")
    app.button(key="film").click().run()
    assert any("A film strip needs a set that has a share" in e.value for e in app.error)
