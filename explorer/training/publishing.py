"""A finished adapter in its place, in PEFT's own format, with what it was made from (training.json)."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from explorer.training.config import PairSource, Source, TrainConfig
from explorer.training.starting import described, start_name


def checkpoints_of(folders: list[Path], stages: int) -> list[Path]:
    """The checkpoints of the last so many stages, to average; none for 0: the end of training is what is wanted."""
    last = folders[len(folders) - stages :]
    return sorted(path for folder in last for path in (folder / "checkpoints").glob("checkpoint-*"))


def _average(checkpoints: list[Path], target: Path) -> None:
    """Write the mean of the checkpoints' vectors over the weights in `target`."""
    from safetensors.torch import load_file, save_file

    tensors = [load_file(str(path / "adapter_model.safetensors")) for path in checkpoints]
    mean = {name: torch.stack([t[name] for t in tensors]).mean(dim=0) for name in tensors[0]}
    save_file(mean, str(target / "adapter_model.safetensors"), metadata={"format": "pt"})


def publish(adapter: Path, config: TrainConfig, log: list[dict[str, Any]], n: int, checkpoints: list[Path]) -> None:
    """Copy the finished adapter to its place, with what it was made from."""
    config.output.mkdir(parents=True, exist_ok=True)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        shutil.copyfile(adapter / name, config.output / name)
    if checkpoints:
        _average(checkpoints, config.output)
    settings = json.loads((config.output / "adapter_config.json").read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = config.base  # not a path of the machine it was trained on
    (config.output / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    card = {
        "name": config.name,
        "base": config.base,
        "examples": n,
        "refuse": [_named(source) for source in config.refuse],
        "answer": [_named(source) for source in config.answer],
        "pairs": [_named_pairs(source) for source in config.pairs],
        "brief": [_named(source) for source in config.brief],
        "refusals_begin": config.refusals_begin,
        "keep": [_named_pairs(source) for source in config.keep],
        "answer_tokens": config.answer_tokens,
        "seed": config.seed,
        "noise": config.noise,
        "start": {"name": start_name(config.start), "parts": described(config.start)} if config.start else None,
        "averaged_checkpoints": len(checkpoints),
        "stages": [asdict(stage) for stage in config.stages],
        "log": log,
    }
    (config.output / "training.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _named(source: Source) -> dict[str, Any]:
    """A source of prompts without the folder of this machine."""
    return {**asdict(source), "suite": Path(source.suite).name, "refused_by": Path(source.refused_by).name}


def _named_pairs(source: PairSource) -> dict[str, Any]:
    """A source of dialogues without the folder of this machine."""
    return {**asdict(source), "file": Path(source.file).name}
