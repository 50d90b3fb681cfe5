"""A build of a tiny pair of local models, for the tests of builds."""

from pathlib import Path

import pandas as pd
import torch
from peft import IA3Config, get_peft_model

from explorer.runs.reader import open_run
from tests import tiny

CONFIG = """
name = "tiny"
pair = "pair.toml"
dtype = "float32"
max_new_tokens = 6
scorers = ["refusal"]
[rankings.safety]
suite = "redteam_eval"
limit = 6
max_new_tokens = 6
[rankings.ordinary]
suite = "ordinary_eval"
limit = 6
max_new_tokens = 6
positions = "last_prompt"
[[answers]]
suite = "redteam_eval"
limit = 40
fractions = [0.1, 0.3]
random_seeds = [0]
[detail]
neurons = 10
tokens = 3
suites = ["ordinary_eval"]
texts_per_suite = 2
"""

CAUSE = """
[rankings.cause]
suite = "redteam_eval"
limit = 20
max_new_tokens = 3
method = "attribution"
steps = [0.0, 0.5]
"""
"""A ranking by attribution, beside those of `CONFIG`."""


def write_adapter(folder: Path, seed: int = 3) -> None:
    """A random (IA)³ adapter of the tiny model."""
    torch.manual_seed(seed)
    model = get_peft_model(
        tiny.model("llama"),
        IA3Config(task_type="CAUSAL_LM", target_modules=["down_proj"], feedforward_modules=["down_proj"]),
    )
    for name, parameter in model.named_parameters():
        if "ia3" in name:
            parameter.data += 0.4 * torch.randn(parameter.shape)
    model.save_pretrained(folder)


def write_build(folder: Path, config: str = CONFIG) -> Path:
    """A base model, an adapter, a pair file and a build file; the build file's path."""
    tiny.model("llama").save_pretrained(folder / "base")
    tiny.tokenizer().save_pretrained(folder / "base")
    write_adapter(folder / "ia3")
    (folder / "pair.toml").write_text('[m1]\nbase = "base"\n[m2]\nbase = "base"\nadapters = ["ia3"]\n')
    (folder / "build.toml").write_text(config)
    return folder / "build.toml"


def tables(folder) -> dict[str, pd.DataFrame]:
    run = open_run(folder)
    assert run.check() == []
    return {name: run.table(name) for name in run.tables}
