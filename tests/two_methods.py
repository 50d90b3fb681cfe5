"""A build of a tiny pair by change score and by attribution, with every study by both: for tests of builds and pages.

run_folder = build_two(folder)        # a real build of random models; costs are made from the texts
"""

import json
from pathlib import Path

import numpy as np
import pytest

from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.pipeline.models import Models
from tests.tiny_build import CONFIG, write_adapter, write_build


def _tax(a: str, b: str, fraction: float) -> str:
    return f'[[tax]]\npairs = [["{a}", "{b}"]]\nsuites = ["redteam_eval"]\nfraction = {fraction}\nlimit = 3\n'


def _ablation(a: str, b: str, more: str = "") -> str:
    return f'[[ablation]]\na = "{a}"\nb = "{b}"\n{more}suites = ["everyday_eval"]\nfraction = 0.3\nlimit = 3\n'


TWO = (
    """
[adapters.helpful]
folder = "helpful"
[rankings.helpful]
suite = "redteam_eval"
adapter = "helpful"
limit = 6
max_new_tokens = 6
[rankings.cause]
method = "attribution"
suite = "redteam_eval"
limit = 6
max_new_tokens = 4
steps = 2
[rankings.cause_helpful]
method = "attribution"
adapter = "helpful"
suite = "redteam_eval"
limit = 6
max_new_tokens = 4
steps = [0.5]
[rankings.size]
method = "effect_size"
suite = "redteam_eval"
limit = 6
max_new_tokens = 6
[rankings.difference_m2]
method = "prompt_difference"
model = "m2"
suite = "redteam_eval"
against = "everyday_eval"
limit = 6
[[answers]]
suite = "redteam_eval"
ranking = "cause"
limit = 12
fractions = [0.02, 0.1, 0.5]
random_seeds = [0, 1]
[[answers]]
suite = "redteam_eval"
ranking = "size"
limit = 8
fractions = [0.1]
[[answers]]
suite = "everyday_eval"
ranking = "cause"
limit = 8
fractions = [0.02, 0.1]
[[answers]]
direction = "break"
suite = "redteam_eval"
ranking = "cause"
limit = 6
fractions = [0.1, 1.0]
[[answers]]
direction = "break"
suite = "redteam_eval"
limit = 10
fractions = [0.1]
[fewest]
[[transfer]]
sources = ["cause"]
targets = ["redteam_eval", "everyday_eval"]
fraction = 0.2
limit = 6
[[transfer]]
sources = ["safety", "helpful"]
targets = ["redteam_eval"]
fraction = 0.3
limit = 6
[[categories]]
found_on = "redteam_train"
tested_on = "redteam_eval"
categories = ["privacy_violation"]
method = "attribution"
steps = 1
ranking_limit = 3
limit = 3
max_new_tokens = 4
[[categories]]
found_on = "redteam_train"
tested_on = "redteam_eval"
categories = ["privacy_violation"]
ranking_limit = 3
limit = 3
max_new_tokens = 4
[[seeds]]
rankings = ["cause", "cause_helpful"]
[[seeds]]
rankings = ["safety", "helpful"]
"""
    + _tax("cause", "cause_helpful", 0.5)
    + _tax("cause", "cause_helpful", 0.4)
    + _ablation("cause_helpful", "cause")
    + _ablation("cause_helpful", "cause", 'means = "helpful"\n')
    + """
[[identification]]
reference = "cause"
rankings = ["safety", "size", "difference_m2"]
suite = "redteam_eval"
fractions = [0.2]
limit = 6
[[identification]]
rankings = ["difference_m2"]
suite = "redteam_eval"
fractions = [0.2]
limit = 6
[[safeguard]]
suites = ["redteam_eval", "everyday_eval"]
sizes = [3]
main_size = 3
random_seeds = [0]
[[safeguard]]
ranking = "safety"
suites = ["redteam_eval", "everyday_eval"]
sizes = [2]
random_seeds = [0]
[[capability]]
fractions = [0.1, 0.5]
folder = "data"
windows = 2
window_tokens = 24
mmlu = 0
truthfulqa = 0
gsm8k = 0
[[capability]]
ranking = "safety"
fractions = [0.3]
folder = "data"
windows = 2
window_tokens = 24
mmlu = 0
truthfulqa = 0
gsm8k = 1
gsm8k_tokens = 4
"""
)


class Counting:
    """A scorer whose number is made from the text: anything that varies will do."""

    def score(self, prompts, texts):
        return np.array([len(set(t)) % 5 - 2.0 for t in texts], dtype=np.float32)


def write_two(folder: Path, more: str = "") -> Path:
    """The models, data and build file of `build_two`; the build file's path."""
    write_adapter(folder / "helpful", seed=5)
    (folder / "data").mkdir()
    (folder / "data" / "wikitext2_test.txt").write_text(" = A heading = \n\n" + "The tide came in . " * 60)
    (folder / "data" / "gsm8k_test.jsonl").write_text(json.dumps({"question": "1 + 1?", "answer": "2\n#### 2"}))
    config = CONFIG.replace('scorers = ["refusal"]', 'ranking = "cause"\nscorers = ["refusal", "demo-cost"]')
    config = config.replace(
        '[[answers]]\nsuite = "redteam_eval"', '[[answers]]\nranking = "safety"\nsuite = "redteam_eval"'
    )
    config = config.replace("[detail]", '[detail]\nbeside = ["safety"]')
    return write_build(folder, config + TWO.replace("limit = 10\n", 'limit = 10\nranking = "safety"\n', 1) + more)


BOTH = _tax("safety", "helpful", 0.3) + _ablation("safety", "helpful")
"""Studies of change scores that `TWO` has by attribution only."""

SERIES = """
[[series]]
method = "attribution"
steps = 1
suite = "redteam_eval"
answers = "redteam_eval"
limit = 2
answers_limit = 4
fractions = [0.1]
[[series]]
suite = "redteam_eval"
answers = "redteam_eval"
limit = 2
answers_limit = 4
fractions = [0.3]
"""


def write_checkpoints(folder: Path) -> None:
    """Two checkpoints of M2's training, for `SERIES`."""
    for step, seed in ((5, 7), (10, 3)):
        write_adapter(folder / "checkpoints" / f"checkpoint-{step}", seed=seed)
    file = folder / "pair.toml"
    file.write_text(file.read_text() + '[series]\nfolder = "checkpoints"\n')


def build_two(folder: Path, more: str = "") -> Path:
    """Build the run under `folder`/cache and return its folder; `more` is added to the build file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPLORER_RUNS", str(folder / "cache"))
        original = Models.scorer
        patch.setattr(Models, "scorer", lambda self, name: Counting() if name == "demo-cost" else original(self, name))
        file = write_two(folder, more)
        if "[[series]]" in more:
            write_checkpoints(folder)
        return build(read_build_config(file))
