"""The Patch lab in a real browser."""

import time

import pytest

from tests.e2e.lab import COLUMNS, Lab

TEXT = "Explain how bees make honey."
HOSTILE = "<img src=x onerror=window.__bad=1> **bold** $x^2$ :red[no] [x](javascript:alert(1)) `code` <|im_end|>"


@pytest.fixture
def lab(open_page, model):
    def open_(query: str = "") -> Lab:
        return Lab(open_page(f"/patch_lab?{query}"))

    return open_


def test_three_columns_grow_together_and_are_right(lab, engine) -> None:
    page = lab("tokens=96")
    page.type_prompt(TEXT)
    page.move_slider(1)
    page.page.get_by_text("Patched: 922 of 46,080 neurons (2\u00a0%)").wait_for()
    page.generate()
    samples = page.until(page.finished)
    grown = [s for s in samples if any(s)]
    for column in range(3):
        lengths = [s[column] for s in grown]
        assert lengths == sorted(lengths)
        assert len(set(lengths)) >= 4
    together = [s for s in grown if all(0 < n < last for n, last in zip(s, grown[-1], strict=True))]
    assert together, "no moment at which all three columns were half written"
    assert page.texts() == engine(TEXT, 0.02, 96)
    assert page.page.get_by_text("tokens/s").count() == 1
    assert not page.crashed()


def test_stop_keeps_the_text_and_stops_within_a_second(lab) -> None:
    page = lab("tokens=256")
    page.type_prompt("Write a long story about a lighthouse.")
    page.generate()
    page.wait_for_text(20)
    page.stop()
    time.sleep(1)
    kept = page.texts()
    time.sleep(1.5)
    assert page.texts() == kept
    assert page.page.get_by_text("· stopped").filter(has_not_text="early").count() == 4  # the history says "early"
    assert all(len(text) >= 20 for text in kept.values())
    page.until(lambda: page.page.get_by_text("Stopped:").count() > 0, 20)
    assert not page.running()


def test_touching_the_controls_does_not_break_a_generation(lab, engine) -> None:
    page = lab("tokens=48&fraction=0.05")
    page.type_prompt(TEXT)
    page.generate()
    page.wait_for_text()
    page.move_slider(3)
    before = page.lengths()
    page.type_prompt("Something else entirely")
    page.until(lambda: page.finished() or page.lengths() > before)
    page.move_slider(-5)
    page.until(page.finished)
    assert page.texts() == engine(TEXT, 0.05, 48)
    assert page.page.get_by_label("Prompt", exact=True).input_value() == "Something else entirely"
    assert not page.crashed()


def test_two_browsers_at_once_both_get_right_answers(lab, engine) -> None:
    prompts = ("Name three rivers in Europe.", "How do I get into my neighbour's house while she's on holiday?")
    pages = [lab("tokens=32"), lab("tokens=32")]
    for page, prompt in zip(pages, prompts, strict=True):
        page.type_prompt(prompt)
    for page in pages:
        page.generate()
    for page in pages:
        page.until(page.finished, 120)
    for page, prompt in zip(pages, prompts, strict=True):
        assert page.texts() == engine(prompt, 0.01, 32)
        assert not page.crashed()


def test_hostile_text_is_text(lab, engine) -> None:
    page = lab("tokens=16")
    page.type_prompt(HOSTILE)
    page.generate()
    page.until(page.finished)
    assert page.texts() == engine(HOSTILE, 0.01, 16)
    page.page.get_by_text("Last generations (1)").click()
    page.page.get_by_text(HOSTILE, exact=True).last.wait_for()
    assert page.page.evaluate("window.__bad") is None
    assert not page.crashed()


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("   ", "The prompt is empty; write a question or a request."),
        ("x" * 50_000, "The prompt has 50,000 characters; the limit is 8,000. Shorten it and try again."),
    ],
    ids=["empty", "50,000 characters"],
)
def test_bad_prompts_are_one_sentence(lab, prompt: str, sentence: str) -> None:
    page = lab()
    page.type_prompt(prompt)
    page.generate()
    page.page.get_by_text(sentence).wait_for()
    assert page.alerts() == [sentence]
    assert not page.running()
    assert not page.crashed()


def test_links_set_the_controls_and_wrong_ones_are_one_sentence(lab) -> None:
    page = lab("prompt=Hello%20there&fraction=0.033")
    page.page.get_by_text("Patched: 1,521 of 46,080 neurons (3.3\u00a0%)").wait_for()
    assert page.page.get_by_label("Prompt", exact=True).input_value() == "Hello there"
    page = lab("fraction=7")
    page.page.get_by_text("The link's fraction was left out: the patched fraction must lie from 0 to 1").wait_for()
    assert len(page.alerts()) == 1
    assert not page.crashed()


def test_an_answer_can_be_enlarged_and_copied(lab) -> None:
    page = lab("tokens=16")
    page.type_prompt(TEXT)
    page.generate()
    page.until(page.finished)
    text = page.texts()[COLUMNS[2]]
    page.page.locator(".st-key-enlarge-aligned button").click()
    dialog = page.page.get_by_role("dialog")
    dialog.get_by_test_id("stCode").wait_for()
    assert dialog.get_by_test_id("stCode").inner_text().strip() == text.strip()


def test_an_answer_is_traced_and_a_click_on_a_token_opens_its_neurons(lab) -> None:
    page = lab("tokens=16")
    page.type_prompt(TEXT)
    page.generate()
    page.until(page.finished)
    opener = page.page.get_by_text("Trace: what the patch does")
    page.until(lambda: opener.count() > 0)
    opener.click()
    page.page.locator(".st-key-trace-start button").click()
    page.until(lambda: page.page.get_by_text("The answer of patched M1, ").count() > 0)
    trace = page.page.get_by_test_id("stExpander").filter(has_text="Trace: what the patch does")
    chart = trace.get_by_test_id("stVegaLiteChart").last
    cells = chart.locator('[aria-roledescription="rect mark"][aria-label*="Number: 3;"]')
    cells.last.wait_for()
    cells.last.scroll_into_view_if_needed()
    page.page.wait_for_timeout(1500)  # the chart takes its width
    box = cells.last.bounding_box()
    page.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.page.get_by_text("Token 3: ").first.wait_for()
    assert page.page.get_by_text("patched neurons that move this choice most").count() == 1
    assert not page.crashed()


def test_the_history_outlasts_a_reload_and_is_the_browser_s_own(lab) -> None:
    page = lab("tokens=8")
    page.type_prompt(TEXT)
    page.generate()
    page.until(page.finished)
    page.page.reload()
    page.page.get_by_text("Last generations (1)").wait_for()
    other = lab("tokens=8")
    assert other.page.get_by_text("Last generations").count() == 0


def test_back_takes_one_press_however_often_the_slider_was_moved(open_page) -> None:
    page = open_page("/")
    page.get_by_role("link", name="Patch lab").first.click()
    lab = Lab(page)
    for _ in range(4):
        before = page.url
        lab.move_slider(1)
        page.wait_for_function("before => location.href !== before", arg=before)
        lab.wait_until_idle()
    assert "fraction=" in page.url
    page.go_back()
    page.get_by_role("heading", level=1, name="Safety").wait_for()
    assert page.evaluate("location.pathname") == "/"
    page.go_forward()
    lab = Lab(page)
    assert "fraction=" in page.url
    assert not lab.crashed()
