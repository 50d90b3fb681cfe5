"""Many browsers at a server: all answers are the Python API's, nobody waits in vain, memory stays (`-s` prints times).

EXPLORER_VISIT_SECONDS=60 for a shorter visit than the ten minutes.
"""

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest

import explorer
from explorer.data.suites_io import load_presets, load_suite
from explorer.models import embedded
from explorer.runs.reader import find_run
from tests.e2e.conftest import ARGUMENTS, chromium
from tests.e2e.lab import Lab
from tests.e2e.serving import served_by
from tests.serving import failures

SECONDS = float(os.environ.get("EXPLORER_VISIT_SECONDS", "600"))
FRACTIONS = (0.005, 0.01, 0.02, 0.05)
KNOWN = "known from before"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS + 1500),
    pytest.mark.skipif(chromium() is None, reason="chromium is not installed (apt-get install chromium)"),
    pytest.mark.skipif(not embedded.available(), reason=f"the embedded model is not installed: {embedded.INSTALL}"),
]


@dataclass
class Answer:
    """What a visitor was given: to what, in how many seconds, and whether any of it was known before."""

    prompt: str
    fraction: float
    texts: dict[str, str]
    seconds: float
    known: bool


@dataclass
class Visitor:
    """A browser that asks again and again, never two things at once.

    Attributes:
        prompts: in the order in which it asks them, without end.
        answers: that it was given.
    """

    lab: Lab
    fraction: float
    prompts: Iterator[str]
    answers: list[Answer] = field(default_factory=list)
    asked: str = ""
    began: float = 0.0

    def ask(self) -> None:
        """Type the next prompt and press Generate."""
        self.asked = next(self.prompts)
        self.lab.type_prompt(self.asked)
        self.lab.wait_until_idle()
        self.lab.generate()
        self.began = time.monotonic()
        self.lab.until(lambda: self.lab.running() or self._done())

    def look(self) -> bool:
        """Whether its answers are there; they are noted."""
        assert not self.lab.crashed()
        if not self._done():
            assert time.monotonic() - self.began < 900, self.lab.page.inner_text("body")[:2000]
            return False
        seconds = time.monotonic() - self.began
        self.lab.wait_until_idle()  # the cards are drawn once more when all is there
        known = self.lab.page.get_by_text(KNOWN).count() > 0
        self.answers.append(Answer(self.asked, self.fraction, self.lab.texts(), seconds, known))
        return True

    def _done(self) -> bool:
        return self.lab.finished() and not self.lab.page.get_by_text("The settings have changed").count()


@dataclass
class Place:
    """A server and a browser that visits it."""

    address: str
    browser: object
    process: psutil.Process
    log: Path

    def visitor(self, number: int, tokens: int) -> Visitor:
        """A new browser session in the Patch lab, with three columns."""
        fraction = FRACTIONS[number % len(FRACTIONS)]
        context = self.browser.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{self.address}/patch_lab?{urlencode({'fraction': fraction, 'tokens': tokens, 'control': 0})}")
        return Visitor(Lab(page), fraction, prompts_of(number))

    @property
    def memory(self) -> float:
        """Resident megabytes of the server."""
        return sum(one.memory_info().rss for one in [self.process, *self.process.children(recursive=True)]) / 1e6


def prompts_of(number: int) -> Iterator[str]:
    """What a visitor asks: in turn a prompt that nobody else asks, and a preset, which many have asked before."""
    own = [p.prompt for name in ("redteam_eval", "ordinary_eval") for p in load_suite(name)][number::24]
    presets = [preset.prompt for preset in load_presets()]
    start = number * 3 % len(presets)
    for mine, shared in zip(cycle(own), cycle(presets[start:] + presets[:start]), strict=True):
        yield mine
        yield shared


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (make setup-dev)")
    embedded.ensure()
    log = tmp_path / "server.log"
    with served_by(log) as (address, process), sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield Place(address, browser, psutil.Process(process.pid), log)
        browser.close()
    assert failures(log.read_text(encoding="utf-8", errors="replace")) == []


def visit(visitors: list[Visitor], seconds: float, every: float = 5.0, look=lambda: None) -> None:
    """Let all ask for so long; every one is answered to the end. Meanwhile look at something every few seconds."""
    end, next_look = time.monotonic() + seconds, time.monotonic() + every
    waiting = list(visitors)
    for visitor in waiting:
        visitor.ask()
    while waiting:
        for visitor in list(waiting):
            if visitor.look():
                if time.monotonic() < end:
                    visitor.ask()
                else:
                    waiting.remove(visitor)
        if time.monotonic() > next_look:
            next_look += every
            look()
        time.sleep(0.5)  # each look costs the browsers time that the server could use


def check(answers: list[Answer], tokens: int) -> None:
    """Every answer is what the library gives."""
    pair, run = explorer.load_pair("demo"), find_run("demo")
    ranking = run.ranking(run.main_ranking)
    expected: dict[tuple[str, float], dict[str, str]] = {}
    for answer in answers:
        at = (answer.prompt, answer.fraction)
        if at not in expected:
            out = explorer.generate(pair, [answer.prompt], ranking.top(fraction=answer.fraction), tokens)
            expected[at] = {name: getattr(out, name)[0].text for name in answer.texts}
        assert answer.texts == expected[at], at
    print(f"all {len(answers)} answers of {len(expected)} requests that differ are the Python API's")


def told(who: str, answers: list[Answer]) -> None:
    for words, kinds in (
        ("all to be written", [False]),
        ("in part or all known before", [True]),
        ("either", [False, True]),
    ):
        seconds = [a.seconds for a in answers if a.known in kinds]
        if seconds:
            median = statistics.median(seconds)
            print(f"{who}, {words}: n = {len(seconds)}, median {median:.1f} s, longest {max(seconds):.1f} s")


def test_eight_browsers_for_ten_minutes(place):
    lone = place.visitor(0, 64)
    visit([lone], 0)  # the pair is loaded
    lone.answers.clear()
    visit([lone], SECONDS / 10)
    told("one browser", lone.answers)
    lone.lab.page.context.close()
    samples: list[float] = []
    visitors = [place.visitor(number, 64) for number in range(8)]
    visit(visitors, SECONDS, look=lambda: samples.append(place.memory))
    answers = [answer for visitor in visitors for answer in visitor.answers]
    told("eight browsers", answers)
    megabytes = [min(samples[at : at + 12]) for at in range(0, len(samples) - 11, 12)]  # what stays between answers
    print("megabytes by the minute:", [round(m) for m in megabytes])
    if len(megabytes) > 9:
        assert megabytes[-1] <= 1.05 * megabytes[2]
    check(answers + lone.answers, 64)


def test_twenty_browsers_at_128_tokens_are_all_answered(place):
    visitors = [place.visitor(number, 128) for number in range(20)]
    visit(visitors, 0)
    answers = [answer for visitor in visitors for answer in visitor.answers]
    assert len(answers) == 20
    told("twenty browsers", answers)
    check(answers, 128)
