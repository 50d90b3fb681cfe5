"""Train (IA)³ vectors on `down_proj`'s input with trl and peft, resumably.

    train(read_train_config("configs/train/safety.toml"))

The MLP weights stay frozen, one factor is learnt for each neuron (paper section 3.3): neurons of the
trained model are comparable with those of the base, one by one.
"""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from explorer.errors import ExplorerError
from explorer.files import told_by_file_system, write_json
from explorer.models.families import family_of
from explorer.models.pair import Pair, load_pair
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.training.config import TrainConfig, TrainStage
from explorer.training.examples import Example, build_examples
from explorer.training.keeping import keeping, windows_of
from explorer.training.publishing import checkpoints_of, publish
from explorer.training.scoring_answers import answers_alone_are_scored
from explorer.training.starting import start_folder
from explorer.training.work import own_answers, stage_key, start_key, training_folder

LOG = "log.json"
"""What trl told of a stage that is done, in the stage's folder."""


def train(config: TrainConfig, *, resume: bool = True) -> Path:
    """Run every stage and write the finished adapter, in PEFT's own format, with its card.

    Args:
        config: what to train.
        resume: go on from the last checkpoint of an interrupted training; else start over.

    Returns:
        The adapter's folder.

    Raises:
        ExplorerError: a model, an adapter or the data cannot be used, or the disk refuses. What was computed stays.
    """
    with told_by_file_system():
        return _train(config, resume)


def _train(config: TrainConfig, resume: bool) -> Path:
    work = training_folder(config)
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    if not config.stages:
        summed = start_folder(config.start, work)
        assert summed is not None  # a file without stages names adapters
        publish(summed, config, [], 0, [])
        return config.output
    base = ModelSpec(config.base)
    spec = PairSpec(
        config.name, base, base, dtype=config.dtype, device=config.device, chat_template=config.chat_template
    )
    pair = load_pair(spec, own=True)  # peft puts the vectors that are trained into its modules
    examples = build_examples(config, pair, own_answers(config, pair))
    if not examples:
        raise ExplorerError(f"{config.source} leaves no example to train on: its skip, limit or lengths rule all out.")
    adapter, key = start_folder(config.start, work), start_key(config, pair)
    log: list[dict[str, Any]] = []
    folders: list[Path] = []
    for number, stage in enumerate(config.stages):
        seen = _of_stage(stage, examples)
        keep = windows_of(config.keep, pair.tokenizer) if stage.keep_weight else None
        key = stage_key(key, stage, config.seed + number, seen, keep)
        folders.append(work / f"stage{number}-{stage.method}-{key[:16]}")
        adapter = _run_stage(config, number, pair, seen, keep, adapter, folders[-1])
        log += [{"stage": number, **row} for row in json.loads((folders[-1] / LOG).read_text(encoding="utf-8"))]
    assert adapter is not None
    publish(adapter, config, log, len(examples), checkpoints_of(folders, config.average_stages))
    return config.output


def _run_stage(
    config: TrainConfig,
    number: int,
    pair: Pair,
    examples: list[Example],
    keep: torch.Tensor | None,
    start: Path | None,
    folder: Path,
) -> Path:
    """Train one stage from the vectors in `start` (ones when None) unless it is done; the folder of its adapter.

    The first stage's vectors begin with seeded noise.

    Args:
        examples: as the stage reads them.
        keep: token ids `[windows, tokens]` of the text that it is held to, if any.
        folder: of this stage on this data from this start, and of nothing else.
    """
    stage, seed = config.stages[number], config.seed + number
    final = folder / "final"
    if (folder / LOG).is_file():
        return final
    model = _with_vectors(pair, start, 0.0 if number else config.noise, seed)
    steps = max(1, round(stage.epochs * len(examples) / stage.batch_size))
    shared = {
        "output_dir": str(folder / "checkpoints"),
        "per_device_train_batch_size": stage.micro_batch or stage.batch_size,
        "gradient_accumulation_steps": stage.batch_size // (stage.micro_batch or stage.batch_size),
        "num_train_epochs": stage.epochs,
        "learning_rate": stage.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": stage.warmup_steps,
        "weight_decay": stage.weight_decay,
        "max_grad_norm": 1.0,
        "train_sampling_strategy": "sequential" if stage.group_by_length else "random",
        "save_steps": max(1, steps // stage.checkpoints),
        "logging_steps": 5,
        "report_to": "none",
        "gradient_checkpointing": False,
        "bf16": False,  # the weights have their type already, the vectors stay float32
        "seed": seed,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": False,
        "max_length": None,
    }

    def kept(trainer: type) -> type:
        return trainer if keep is None else keeping(trainer, keep, stage.keep_batch, stage.keep_weight)

    trainer = (
        _sft(model, pair, examples, shared, kept)
        if stage.method == "sft"
        else _dpo(model, pair, examples, stage, shared, kept)
    )
    started = any((folder / "checkpoints").glob("checkpoint-*"))
    with answers_alone_are_scored():
        trainer.train(resume_from_checkpoint=started)
    trainer.model.save_pretrained(final, selected_adapters=["default"])
    trainer.model.unload()  # the next stage wraps the bare model again
    write_json(folder / LOG, trainer.state.log_history)  # last, and whole: it says that the stage is done
    return final


def _of_stage(stage: TrainStage, examples: list[Example]) -> list[Example]:
    """The examples that a stage sees, cut as it wants them; their order is seeded already."""
    refuse = [e for e in examples if e.refuse]
    refuse, dropped = _split(refuse, stage.refuse_share)
    whole, _ = _split(refuse, stage.whole_refusals)
    whole_ids, dropped_ids = {id(e) for e in whole}, {id(e) for e in dropped}
    seen = [
        e.crop(stage.answer_tokens, 0 if id(e) in whole_ids else stage.refusal_tokens)
        for e in examples
        if id(e) not in dropped_ids
    ]
    return _grouped(seen, stage.batch_size) if stage.group_by_length else seen


def _split(examples: list[Example], share: float) -> tuple[list[Example], list[Example]]:
    """The first so large a share of the examples, and the rest."""
    first = round(share * len(examples))
    return examples[:first], examples[first:]


def _grouped(examples: list[Example], batch_size: int, batches: int = 8) -> list[Example]:
    """The examples with those of like length in one batch: sorted within each run of so many batches."""
    span = batch_size * batches
    runs = [sorted(examples[i : i + span], key=lambda e: len(e.prompt_ids)) for i in range(0, len(examples), span)]
    grouped = [run[i : i + batch_size] for run in runs for i in range(0, len(run), batch_size)]
    random.Random(0).shuffle(grouped)
    return [example for batch in sorted(grouped, key=lambda b: len(b) < batch_size) for example in batch]


def _with_vectors(pair: Pair, start: Path | None, noise: float, seed: int):
    """The base model with (IA)³ vectors to train: those of `start`, else ones, with seeded normal noise."""
    from peft import IA3Config, PeftModel, get_peft_model

    if start is None:
        down = _down_name(pair)
        settings = IA3Config(task_type="CAUSAL_LM", target_modules=[down], feedforward_modules=[down])
        model: Any = get_peft_model(pair.m1, settings)
    else:
        model = PeftModel.from_pretrained(pair.m1, str(start), is_trainable=True)
    generator = torch.Generator().manual_seed(seed)
    for name, vector in model.named_parameters():
        if "ia3_l" in name:
            vector.data += noise * torch.randn(vector.shape, generator=generator).to(vector)
    return model


def _down_name(pair: Pair) -> str:
    """What peft is to scale the input of: the family's `down_proj`, by the end of its name.

    Raises:
        ExplorerError: the family's neurons cannot be scaled by one vector a layer, or the model writes no text.
    """
    family = family_of(pair.m1)
    if family.kind != "decoder" or family.experts or not family.down_proj:
        raise ExplorerError(
            f"{family.name} models cannot be trained here; (IA)³ on {family.place} needs a decoder of plain MLPs."
        )
    return family.down_proj.removeprefix("mlp.") if family.down_proj == "mlp.down_proj" else family.down_proj


def _sft(model, pair: Pair, examples: list[Example], shared: dict[str, Any], kept: Callable[[type], type]):
    """NLL of the chosen answers."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [
        {
            "input_ids": e.prompt_ids + e.chosen_ids,
            "completion_mask": [0] * len(e.prompt_ids) + [1] * len(e.chosen_ids),
        }
        for e in examples
    ]
    config = SFTConfig(**shared, completion_only_loss=True)
    return kept(SFTTrainer)(model, args=config, train_dataset=Dataset.from_list(rows), processing_class=pair.tokenizer)


def _dpo(
    model,
    pair: Pair,
    examples: list[Example],
    stage: TrainStage,
    shared: dict[str, Any],
    kept: Callable[[type], type],
):
    """DPO with the chosen answer's NLL beside it; the reference is the model as the stage begins (paper: after SFT).

    trl keeps a frozen copy of the vectors for it. Where the stage wants no reference, its log-probabilities are 0.
    """
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class Trainer(DPOTrainer):
        """DPOTrainer on examples that are tokens already: trl would tokenise text again its own way."""

        def _prepare_dataset(self, dataset, *_args, **_options):
            return dataset

        def _precompute_ref_logps(self, dataset, *_args, **_options):
            return dataset  # it has them

    free = stage.reference == "none"
    config = DPOConfig(
        **shared,
        beta=stage.beta,
        loss_type=["sigmoid", "sft"],
        loss_weights=[1.0, stage.nll_weight],
        precompute_ref_log_probs=free,
    )
    keys = ("prompt_ids", "chosen_ids", "rejected_ids")
    reference = {"ref_chosen_logps": 0.0, "ref_rejected_logps": 0.0} if free else {}
    rows = [{key: getattr(e, key) for key in keys} | reference for e in examples]
    return kept(Trainer)(model, args=config, train_dataset=Dataset.from_list(rows), processing_class=pair.tokenizer)
