"""Scores of the answers that have been written, computed beside those that are still being written.

beside = Beside("score-demo")
beside.do(lambda: score_answers(pair, prompt, texts))   # returns at once
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.serve.cores import leave_a_core
from explorer.serve.generation import LIVE_SCORERS, Guard, Scored

if TYPE_CHECKING:
    from explorer.models.pair import Pair

LOG = logging.getLogger(__name__)

Score = Callable[["Pair", str, Mapping[str, str]], Scored]
"""Scores the answers to a prompt, given by their columns."""


class Beside:
    """Does one thing after the other in a thread of its own, which lives while there is any.

    Scores read three answers as a whole, which takes as long as ten steps of writing: on the core that writing leaves
    they hold nobody up.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], None]) -> None:
        """Put work at the end of the queue; it sees to its own failures."""
        with self._lock:
            self._waiting.append(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    def _work(self) -> None:
        leave_a_core()
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                work = self._waiting.popleft()
            work()
            del work  # it holds a pair


def score_answers(pair: "Pair", prompt: str, texts: Mapping[str, str]) -> Scored:
    """Refusal, cost and reward of each answer that has any text; what cannot be had is explained, not raised."""
    from explorer.scoring.scorers import load_scorer

    names = [name for name, text in texts.items() if text.strip()]
    prompts, answers = [prompt] * len(names), [texts[name] for name in names]
    refused = load_scorer("refusal").score(prompts, answers)
    scores: dict[str, dict[str, float | None]] = {score: {} for score in LIVE_SCORERS}
    missing: dict[str, list[str]] = {}  # by the reason: both often lack the same thing
    for score, scorer in LIVE_SCORERS.items():
        try:
            found = load_scorer(scorer, pair).score(prompts, answers)
            scores[score] = dict(zip(names, map(float, found), strict=True))
        except ExplorerError as known:
            missing.setdefault(str(known), []).append(score)
        except Exception:  # the answers are worth showing without their scores
            LOG.exception("scoring failed")
            missing.setdefault("the scorer failed; the server's log says why.", []).append(score)
    note = " ".join(f"{' and '.join(which).capitalize()} not available: {why}" for why, which in missing.items())
    refusals = dict(zip(names, (bool(r) for r in refused), strict=True))
    return Scored(scores["cost"], refusals, note, scores["reward"])


def foresee_harm(pair: "Pair", prompt: str, guard: Guard) -> float:
    """How likely M1's answer is harmful, 0 to 1, from its neurons at the last prompt token."""
    from explorer.engine.given_text import last_prompt_activations
    from explorer.studies.classifier import Classifier

    activations = last_prompt_activations(pair, [prompt], guard.neurons)
    return float(Classifier(guard.weight, guard.bias).probability(activations)[0])
