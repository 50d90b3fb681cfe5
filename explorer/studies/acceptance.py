"""Whether an aligned M2 is worth restoring: its acceptance criteria (`criteria`), measured.

for found in acceptance(load_pair("demo"), [read_pair_file("safety_seed1"), read_pair_file("safety_seed2")]):
    print(as_line(found))

Answers are greedy, to prompts never trained on. Each prompt is answered once by each model, at the longer of the two
lengths that are read: a greedy answer of 48 tokens is the beginning of one of 64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from explorer.data.sources import load_source
from explorer.data.suite_spec import SuiteSpec
from explorer.data.suites_io import Preset, load_presets, load_suite
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import Answer, sweep
from explorer.errors import ExplorerError
from explorer.models.pair import Pair, sibling
from explorer.models.pair_file import PairSpec
from explorer.models.prompting import check_new_tokens
from explorer.paths import data_folder
from explorer.scoring.degenerate import degenerate
from explorer.scoring.scorers import load_scorer
from explorer.scoring.verdict import refused, verdicts
from explorer.studies.benchmarks import WINDOW_TOKENS, Item, wikitext, window_losses
from explorer.studies.criteria import CRITERIA, OWN, Found
from explorer.studies.statistics import Estimate, mean, paired_difference

COST = "demo-cost"
"""Its head was fitted on no answer of M1 or M2."""

SOURCES: dict[str, SuiteSpec | None] = {
    OWN: None,
    "jailbreakbench": SuiteSpec("jailbreakbench", "redteam/jailbreakbench.jsonl"),
    "simple_safety_tests": SuiteSpec("simple_safety_tests", "redteam/simple_safety_tests.jsonl"),
    "harmbench": SuiteSpec("harmbench", "redteam/harmbench_test.jsonl", where=(("FunctionalCategory", "standard"),)),
    "everyday_eval": None,
    "ordinary_eval": None,
    "ordinary_fresh_eval": None,
    "xstest_safe": SuiteSpec("xstest_safe", "benign/xstest_prompts.jsonl", where=(("label", "safe"),)),
}
"""Prompts by name, in the order they are asked: shipped suites (None), and files of `$EXPLORER_DATA`."""

REDTEAM = (OWN, "jailbreakbench", "simple_safety_tests", "harmbench")
LONG = (OWN, "everyday_eval")
"""Suites that are answered at the length at which degenerate answers are counted."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class AcceptanceSettings:
    """How much is asked and read.

    Attributes:
        tokens: of an answer that the verdicts on refusals read.
        degenerate_tokens: of an answer that is held to be degenerate or not, and costed.
        limit: prompts of each suite; None for all.
        windows: stretches of WikiText-2, of `WINDOW_TOKENS` each.
    """

    tokens: int = 48
    degenerate_tokens: int = 64
    limit: int | None = None
    windows: int = 20

    def __post_init__(self) -> None:
        for tokens in (self.tokens, self.degenerate_tokens):
            check_new_tokens(tokens)

    def length(self, suite: str) -> int:
        """Tokens of an answer to a suite."""
        return max(self.tokens, self.degenerate_tokens) if suite in LONG else self.tokens


def acceptance(
    pair: Pair,
    seeds: Sequence[PairSpec] = (),
    settings: AcceptanceSettings | None = None,
    progress: Progress | None = None,
) -> list[Found]:
    """Measure every criterion.

    Args:
        pair: M1 and the M2 that is to be accepted.
        seeds: pairs whose M2 is the same training with another seed, at most two; without them theirs are not measured.
        settings: how much is asked and read.
        progress: told what is done and the fraction of it, in [0, 1].

    Returns:
        One `Found` for each of `CRITERIA`, in their order. Without `$EXPLORER_DATA` the public suites and the
        perplexity are not measured.

    Raises:
        ExplorerError: a file of the data sets is missing, a seed's adapter does not fit, or there are over two seeds.
    """
    if len(seeds) > 2:
        raise ExplorerError(f"At most two other seeds are held against M2, not {len(seeds)}.")
    settings, tell = settings or AcceptanceSettings(), progress or (lambda _what, _share: None)
    data = _data()
    others = [sibling(pair, spec) for spec in seeds]
    windows = wikitext(data / "capability", settings.windows, WINDOW_TOKENS) if data else []
    prompts = {name: _prompts(name, data, settings.limit) for name in SOURCES}
    found: dict[str, tuple[Estimate, int]] = {}
    for suite, asked in prompts.items():
        if not asked:
            continue
        out = _Answers(pair, suite, asked, settings, tell)
        found |= out.refusals()
        if suite == OWN:
            found |= {"degenerate_redteam": out.degenerate(), "cost": out.cost()}
            for number, other in enumerate(others, start=1):
                same = _Answers(other, suite, asked, settings, tell, f"seed {number}", with_m1=False)
                apart = paired_difference(out.refused(out.second), same.refused(same.second))
                found[f"seed_{number}"] = _absolute(apart), len(asked)
        elif suite == "everyday_eval":
            found["degenerate_everyday"] = out.degenerate()
    found |= _presets(pair, settings, tell)
    if windows:
        found["perplexity"] = _perplexity(pair, windows, tell)
    return [Found(c, *found.get(c.key, ())) for c in CRITERIA]


class _Answers:
    """Greedy answers of a pair to a suite, and what is read of them."""

    def __init__(
        self,
        pair: Pair,
        suite: str,
        prompts: list[str],
        settings: AcceptanceSettings,
        tell: Progress,
        model: str = "answers",
        with_m1: bool = True,
    ) -> None:
        self._pair, self._suite, self._prompts, self._settings = pair, suite, prompts, settings
        out = sweep(
            pair,
            prompts,
            Columns(unpatched=with_m1 and suite in REDTEAM),
            Decoding(settings.length(suite)),
            progress=lambda share: tell(f"{model}: {suite}", share),
        )
        self.first, self.second = out.unpatched, out.aligned

    def texts(self, answers: Sequence[Answer], tokens: int) -> list[str]:
        """The answers as they would be with so many tokens."""
        return [self._pair.decode(list(a.token_ids[:tokens])) for a in answers]

    def refused(self, answers: Sequence[Answer]) -> np.ndarray:
        """bool [n]: which answers refuse."""
        return refused(self.texts(answers, self._settings.tokens), self._prompts)

    def refusals(self) -> dict[str, tuple[Estimate, int]]:
        """The shares that refuse, of M2 and, to red-team prompts, of M1."""
        sides = {"M1": self.first, "M2": self.second}
        return {
            f"{model}_refuses_{self._suite}": (mean(self.refused(answers)), len(answers))
            for model, answers in sides.items()
            if answers
        }

    def degenerate(self) -> tuple[Estimate, int]:
        """The share of M2's answers that are degenerate."""
        texts = self.texts(self.second, self._settings.degenerate_tokens)
        return mean(degenerate(texts)), len(texts)

    def cost(self) -> tuple[Estimate, int]:
        """The mean difference in cost, M2's answers less M1's."""
        scorer = load_scorer(COST, self._pair)
        first, second = (
            scorer.score(self._prompts, self.texts(answers, self._settings.degenerate_tokens))
            for answers in (self.first, self.second)
        )
        return paired_difference(first, second), len(self._prompts)


def _data() -> Path | None:
    try:
        return data_folder()
    except ExplorerError:
        return None


def _prompts(name: str, data: Path | None, limit: int | None) -> list[str]:
    """The prompts of a name of `SOURCES`; none where their file is not at hand."""
    spec = SOURCES[name]
    if spec is None:
        return [p.prompt for p in load_suite(name, limit)]
    if data is None:
        return []
    return [p.prompt for p in load_source(replace(spec, file=str(data / spec.file)), Path())[:limit]]


def red_team_presets() -> list[Preset]:
    """The presets of the Patch lab that M2 is to refuse and M1 to answer."""
    return [preset for preset in load_presets() if preset.kind == "red-team"]


def _presets(pair: Pair, settings: AcceptanceSettings, tell: Progress) -> dict[str, tuple[Estimate, int]]:
    prompts = [preset.prompt for preset in red_team_presets()]
    out = sweep(
        pair, prompts, Columns(), Decoding(settings.tokens), progress=lambda share: tell("answers: presets", share)
    )
    answered = [v.outcome == "answered" for v in verdicts([a.text for a in out.unpatched], prompts)]
    declined = refused([a.text for a in out.aligned], prompts)
    n = len(prompts)
    return {"presets_refused": (mean(declined), n), "presets_answered": (mean(np.array(answered)), n)}


def _perplexity(pair: Pair, windows: Sequence[Item], tell: Progress) -> tuple[Estimate, int]:
    """M2's perplexity over M1's, over the same stretches of text."""
    losses = []
    for number, window in enumerate(windows, start=1):
        losses.append(window_losses(pair, window))
        tell("WikiText-2", number / len(windows))
    first, second = np.array(losses, dtype=np.float64).T
    ratio = paired_difference(first, second)
    return Estimate(*(float(np.exp(v)) for v in (ratio.value, ratio.low, ratio.high))), len(windows)


def _absolute(difference: Estimate) -> Estimate:
    """The size of a difference; from 0 where its interval includes 0."""
    ends = sorted((abs(difference.low), abs(difference.high)))
    return Estimate(abs(difference.value), ends[0] if difference.sign else 0.0, ends[1])
