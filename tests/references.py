"""Reference screenshots of every view, on five screens: taken, kept, and compared.

python -m tests.references              # what is seen now beside the references, as a page; 1 where something differs
python -m tests.references --write      # what is seen now becomes the references
python -m tests.references --only mechanism --screen 390x844-dark

Pictures are small on purpose (all together a few MB): they show places, colours and what is cut off, not each letter.
"""

import argparse
import html
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from explorer.paths import PROJECT
from tests.e2e.conftest import ARGUMENTS, chromium
from tests.e2e.serving import served
from tests.e2e.walk import Screen, open_view
from tests.views import VIEWS, View

FOLDER = PROJECT / "tests" / "pictures"
SCREENS = (Screen(), Screen(scheme="dark"), Screen(1440, 900), Screen(390, 844), Screen(390, 844, "dark"))

WIDTHS = {1280: 640, 1440: 640, 390: 260}
"""Pixels of a kept picture, by those of the screen."""

QUALITY = 55
LOUD = 40
"""Levels (of 255) by which a pixel must differ to count."""

ALLOWED = 0.01
"""Share of pixels that may count."""


@dataclass(frozen=True)
class Compared:
    """One view on one screen.

    Attributes:
        name: of the file.
        share: of the pixels that differ; 1 where there is no reference.
        kept, now: the two pictures.
    """

    name: str
    share: float
    kept: Path
    now: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures, and keep or compare them; the exit code."""
    asked = _parser().parse_args(arguments)
    out = FOLDER if asked.write else asked.out
    out.mkdir(parents=True, exist_ok=True)
    screens = [screen for screen in SCREENS if asked.screen in screen.name]
    views = [view for view in VIEWS if asked.only in view.name]
    with served() as app:
        taken = list(_pictures(app, screens, views, out))
    if asked.write:
        size = sum(file.stat().st_size for file in FOLDER.glob("*.webp"))
        print(f"{len(taken)} pictures in {FOLDER}, with those that stay {size / 1e6:.1f} MB")
        return 0
    compared = sorted((compare(FOLDER / file.name, file) for file in taken), key=lambda found: -found.share)
    page = out / "index.html"
    page.write_text(report(compared), encoding="utf-8")
    differ = [found for found in compared if found.share > ALLOWED]
    print(f"{len(differ)} of {len(compared)} views differ from their reference: {page}")
    return 1 if differ else 0


def compare(kept: Path, now: Path) -> Compared:
    """How much two pictures differ."""
    if not kept.is_file():
        return Compared(now.stem, 1.0, kept, now)
    first, second = (Image.open(file).convert("L") for file in (kept, now))
    if first.size != second.size:
        return Compared(now.stem, 1.0, kept, now)
    counts = ImageChops.difference(first, second).histogram()
    return Compared(now.stem, sum(counts[LOUD:]) / sum(counts), kept, now)


def report(compared: Sequence[Compared]) -> str:
    """A page with both pictures of every view, those that differ most first."""
    rows = "".join(
        f"<h2>{html.escape(one.name)}: {100 * one.share:.1f} % of the pixels differ</h2>"
        f"<p>{_image(one.kept, 'reference')} {_image(one.now, 'now')}</p>"
        for one in compared
    )
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>Screenshots</title>{rows}</html>"


def _image(file: Path, what: str) -> str:
    if not file.is_file():
        return f"<b>no {what}</b>"
    return f'<img src="{html.escape(file.resolve().as_uri())}" alt="{what}">'


def _pictures(app: str, screens: Sequence[Screen], views: Sequence[View], folder: Path) -> Iterator[Path]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for screen in screens:
            context = browser.new_context(
                viewport={"width": screen.width, "height": screen.height},
                color_scheme=screen.scheme,
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.set_default_timeout(60_000)
            for view in views:
                open_view(page, app, view)
                page.wait_for_timeout(700)  # charts take their width
                yield _keep(page.screenshot(), screen, folder / f"{view.name}-{screen.name}.webp")
            context.close()
        browser.close()


def _keep(picture: bytes, screen: Screen, target: Path) -> Path:
    width = WIDTHS[screen.width]
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    small = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    small.save(target, quality=QUALITY, method=6)
    return target


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.references", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep what is seen now as the references")
    parser.add_argument("--only", default="", metavar="PART", help="views whose name has this in it")
    parser.add_argument("--screen", default="", metavar="PART", help="screens whose name has this in it")
    parser.add_argument("--out", type=Path, default=Path("screenshots"), help="where to, when comparing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
