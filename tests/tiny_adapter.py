"""A random (IA)³ adapter of a tiny model, with the record of a training that never was."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests import tiny

STEPS = 15
"""Of both stages together."""

HELD_OUT = 3
"""The first so many pairs of `hh.jsonl` are not trained on."""


def write(folder: Path, base: Path, seed: int = 0, spread: float = 0.5, pairs: bool = True) -> Path:
    """The adapter's folder, written as peft and `trainer` write one.

    Args:
        folder: of the adapter.
        base: of its base model.
        seed, spread: its factors are 1 + spread × seeded normal noise.
        pairs: whether it says that it was trained on preference pairs, else on prompts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    vectors = {
        f"base_model.model.model.layers.{i}.mlp.down_proj.ia3_l": np.float32(
            1 + spread * rng.standard_normal((1, tiny.NEURONS))
        )
        for i in range(tiny.LAYERS)
    }
    save_file(vectors, str(folder / "adapter_model.safetensors"))
    config = {"peft_type": "IA3", "target_modules": ["down_proj"], "base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    dpo = {"rewards/margins": 0.5, "rewards/accuracies": 0.75}
    data = (
        {"pairs": [{"file": "hh.jsonl", "kind": "dialogue", "skip": HELD_OUT, "max_prompt_tokens": 200}]}
        if pairs
        else {"refuse": [{"suite": "redteam_train", "limit": 40}], "answer": [{"suite": "ordinary_train"}]}
    )
    training = {
        "name": folder.name,
        "base": str(base),
        "examples": 60,
        "seed": seed,
        **data,
        "stages": [{"method": "sft", "epochs": 1.0, "answer_tokens": 0}, {"method": "dpo", "answer_tokens": 6}],
        "log": [
            {"stage": 0, "step": 5, "loss": 2.0},
            {"stage": 0, "step": 5, "train_loss": 2.0},
            {"stage": 1, "step": 5, "loss": 0.7, **dpo},
            {"stage": 1, "step": 10, "loss": 0.6, **dpo},
            {"stage": 1, "step": 10, "train_loss": 0.65},
        ],
    }
    (folder / "training.json").write_text(json.dumps(training))
    return folder
