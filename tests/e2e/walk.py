"""A walk over views of the app in one browser: what goes wrong in each, and what axe-core says of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.views import View

SERIOUS = ("serious", "critical")

STREAMLITS_OWN: dict[tuple[str, str], str] = {}
"""Violations that cannot be mended from here, by axe's rule and a part of the element's HTML: why."""

_CONTRAST = """() => {
    const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const page = numbers(getComputedStyle(document.querySelector("[data-testid=stApp]")).backgroundColor);
    const selector = ".role-axis-label text, .role-axis-title text, .role-legend-label text, .role-legend-title text," +
        ".xtick text, .ytick text, .xtitle, .ytitle, .legendtext";
    return [...document.querySelectorAll(selector)].flatMap(text => {
        const style = getComputedStyle(text), opacity = style.fillOpacity * style.opacity;
        const ink = numbers(style.fill), alpha = (ink[3] ?? 1) * opacity;
        if (!alpha || !text.textContent.trim()) return [];
        const drawn = page.slice(0, 3).map((back, i) => alpha * ink[i] + (1 - alpha) * back);
        const [low, high] = [luminance(drawn), luminance(page)].sort((a, b) => a - b);
        const contrast = (high + 0.05) / (low + 0.05);
        return contrast < 4.5 ? [`“${text.textContent}” has a contrast of ${contrast.toFixed(1)}`] : [];
    });
}"""
"""Text of charts, which axe-core does not judge: it is drawn on the page's own colour."""

_NAMELESS = """() => [...document.querySelectorAll(
    "[data-testid=stVegaLiteChart], [data-testid=stPlotlyChart]"
)].filter(chart => !chart.getAttribute("aria-label")).map(chart => chart.textContent.slice(0, 60))"""
"""Charts that say nothing to a screen reader."""


@dataclass(frozen=True)
class Screen:
    """What a view is looked at with."""

    width: int = 1280
    height: int = 720
    scheme: str = "light"

    @property
    def name(self) -> str:
        return f"{self.width}x{self.height}-{self.scheme}"


@dataclass
class Seen:
    """What was found in one view; all lists are empty where it is as it should be."""

    console: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    contrast: list[str] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)


def walk(browser, app: str, views: Iterable[View], screen: Screen) -> dict[str, Seen]:
    """Open each view in one window, and look at it once its charts are drawn; by the views' names."""
    from axe_playwright_python.base import AXE_SCRIPT

    context = browser.new_context(
        viewport={"width": screen.width, "height": screen.height}, color_scheme=screen.scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    found: dict[str, Seen] = {}
    now = Seen()
    page.on("pageerror", lambda error: now.console.append(str(error)))
    page.on("console", lambda message: now.console.extend(_told(message)))
    for view in views:
        now = found[view.name] = Seen()
        open_view(page, app, view)
        now.failures += page.get_by_test_id("stException").all_inner_texts()
        now.failures += page.get_by_test_id("stAlertContentError").all_inner_texts()
        page.evaluate(AXE_SCRIPT)
        now.violations += [line for v in page.evaluate(_AXE)["violations"] for line in _serious(v)]
        now.contrast += page.evaluate(_CONTRAST)
        now.nameless += page.evaluate(_NAMELESS)
    context.close()
    return found


_AXE = "axe.run(document, {resultTypes: ['violations']})"


def open_view(page, app: str, view: View) -> None:
    """Open a view and wait until its script has ended and its charts are drawn."""
    page.goto(app + view.address)
    page.get_by_role("heading", level=1).first.wait_for()
    page.get_by_test_id("stApp").and_(page.locator("[data-test-script-state=notRunning]")).wait_for()
    page.wait_for_function("""() => [...document.querySelectorAll("[data-testid=stVegaLiteChart]")]
        .every(chart => chart.querySelector("svg, canvas")) && !document.querySelector("[data-testid=stSkeleton]")""")


def _told(message) -> list[str]:
    where = message.location.get("url", "").split("?")[0]
    return [f"{message.text} ({where})"] if message.type == "error" else []


def _serious(violation: dict) -> list[str]:
    """A line for each element of a serious violation that is not known to be Streamlit's own."""
    if violation["impact"] not in SERIOUS:
        return []
    rule = violation["id"]
    theirs = [part for of, part in STREAMLITS_OWN if of == rule]
    return [
        f"{rule}: {' '.join(check['message'] for check in node['any'])[:200]}: {node['html'][:200]}"
        for node in violation["nodes"]
        if not any(part in node["html"] for part in theirs)
    ]
