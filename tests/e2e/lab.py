"""The Patch lab as a person handles it."""

import time
from collections.abc import Callable

COLUMNS = ("unpatched", "patched", "aligned")

_READ = """names => names.map(name => {
    const text = document.querySelector(`.st-key-text-${name} div[style*="pre-wrap"]`);
    return text ? text.textContent : "";
})"""


class Lab:
    """One browser page that shows the Patch lab."""

    def __init__(self, page) -> None:
        self.page = page
        self._generate = page.locator(".st-key-generate button")
        self._stop = page.locator(".st-key-stop button")  # Streamlit's own header has a "Stop" as well
        self._generate.wait_for()
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait for the page's script to end: what is typed before the first run ends can be lost."""
        self.page.get_by_test_id("stApp").and_(self.page.locator("[data-test-script-state=notRunning]")).wait_for()

    def type_prompt(self, prompt: str) -> None:
        self.page.get_by_label("Prompt", exact=True).fill(prompt)

    def generate(self) -> None:
        self._generate.click()

    def stop(self) -> None:
        self._stop.click()

    def move_slider(self, steps: int) -> None:
        """Move the fraction by so many stops, to the right or (negative) to the left."""
        slider = self.page.locator(".st-key-patch_fraction input[type=range]")
        slider.focus()
        for _ in range(abs(steps)):
            slider.press("ArrowRight" if steps > 0 else "ArrowLeft")

    def texts(self) -> dict[str, str]:
        return dict(zip(COLUMNS, self.page.evaluate(_READ, list(COLUMNS)), strict=True))

    def lengths(self) -> tuple[int, ...]:
        return tuple(len(text) for text in self.texts().values())

    def until(self, condition: Callable[[], bool], seconds: float = 200.0) -> list[tuple[int, ...]]:
        """Wait, and sample the columns' lengths on the way."""
        end, samples = time.monotonic() + seconds, []
        while not condition():
            assert time.monotonic() < end, f"it did not come to that: {self.page.inner_text('body')[:2000]}"
            samples.append(self.lengths())
            time.sleep(0.05)
        return samples

    def running(self) -> bool:
        """Whether a generation goes on: only then Stop can be pressed. While the page is drawn anew, the old button may
        stand beside the new one."""
        return bool(self._stop.evaluate_all("buttons => buttons.some(button => !button.disabled)"))

    def finished(self) -> bool:
        return not self.running() and self.page.get_by_text("Done:").count() > 0

    def wait_for_text(self, characters: int = 1) -> None:
        self.until(lambda: min(self.lengths()) >= characters)

    def alerts(self) -> list[str]:
        """The sentences that are shown; an icon's name stands on a line of its own before them."""
        return [text.rpartition("\n")[2] for text in self.page.get_by_test_id("stAlert").all_inner_texts()]

    def crashed(self) -> bool:
        return self.page.get_by_test_id("stException").count() > 0
