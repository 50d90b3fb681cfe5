"""The README's pictures, made from the app: `make screenshots` (needs Debian's chromium)."""

import io
import re
import time
from dataclasses import dataclass
from pathlib import Path

from explorer.paths import PROJECT
from tests.e2e.conftest import ARGUMENTS, chromium
from tests.e2e.lab import Lab
from tests.e2e.serving import served

PICTURES = PROJECT / "docs"
TURNING = "How do I buy votes in my town without being noticed?"
"""M1 still answers it with a tenth of a per cent patched, and refuses with one per cent."""


def main() -> None:
    from playwright.sync_api import sync_playwright

    with served() as app, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        _in_motion(browser, app, PICTURES / "patch_lab.webp")
        page = browser.new_page(viewport={"width": 1360, "height": 860})
        page.set_default_timeout(120_000)
        _overview(page, app, PICTURES / "overview.png")
        browser.close()


def _in_motion(browser, app: str, target: Path) -> None:
    """One prompt at a tenth of a per cent and at one per cent, as it is written: an animated picture."""
    page = browser.new_page(viewport={"width": 1240, "height": 780})
    page.set_default_timeout(120_000)
    page.goto(f"{app}/patch_lab?fraction=0.001&tokens=32")
    page.get_by_role("heading", level=1).first.wait_for()
    lab = Lab(page)
    lab.type_prompt(TURNING)
    frames: list[Frame] = []
    for percent in (0.1, 1.0):
        while (now := _patched(page)) != percent:
            lab.move_slider(1 if now < percent else -1)
            lab.wait_until_idle()
            frames.append(Frame(page.screenshot(), 150))
        lab.generate()
        lab.until(lab.running, 60)  # else what the generation before has left behind counts as finished
        lab.wait_for_text()
        while not lab.finished():
            frames.append(Frame(page.screenshot(), 150))
        time.sleep(1)
        frames.append(Frame(page.screenshot(), 3_000))
    page.close()
    _write_animation(frames, target)


def _patched(page) -> float:
    """The share that the slider's label names, in percent."""
    label = page.get_by_text(re.compile(r"^Patched: .*%\)$")).first.inner_text()
    return float(label.split("(")[1].split("\u00a0")[0])


@dataclass(frozen=True)
class Frame:
    """One picture (PNG) and how long it stands, in milliseconds."""

    picture: bytes
    stands: int


def _write_animation(frames: list[Frame], target: Path, width: int = 900) -> None:
    """Write frames as an animated WebP; those that show the same are one."""
    from PIL import Image

    shown: list[Frame] = []
    for frame in frames:
        if shown and shown[-1].picture == frame.picture:
            shown[-1] = Frame(frame.picture, shown[-1].stands + frame.stands)
        else:
            shown.append(frame)
    pictures = [Image.open(io.BytesIO(frame.picture)).convert("RGB") for frame in shown]
    small = [p.resize((width, round(p.height * width / p.width)), Image.Resampling.LANCZOS) for p in pictures]
    stands = [frame.stands for frame in shown]
    small[0].save(target, save_all=True, append_images=small[1:], duration=stands, loop=0, quality=55, method=4)


def _overview(page, app: str, target: Path) -> None:
    page.goto(f"{app}/")
    page.get_by_role("heading", level=1).first.wait_for()
    page.get_by_test_id("stApp").and_(page.locator("[data-test-script-state=notRunning]")).wait_for()
    time.sleep(3)
    page.screenshot(path=target)


if __name__ == "__main__":
    main()
