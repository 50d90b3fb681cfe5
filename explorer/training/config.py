"""Training configurations: TOML that names the data, the stages and where the adapter goes.

See `configs/train/*.toml` for the ones that made the shipped adapters.
"""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from explorer.data.preferences import KINDS
from explorer.errors import ExplorerError
from explorer.models.pair_file import OWN, resolve_place, template_place
from explorer.toml_file import read_toml

METHODS = ("sft", "dpo")


@dataclass(frozen=True)
class Stage:
    """One training run over the same (IA)³ vectors.

    Attributes:
        method: "sft" (NLL of the chosen answers) or "dpo".
        learning_rate: peak of the cosine schedule.
        epochs: passes over the data.
        batch_size: examples a step.
        micro_batch: examples in memory at once; 0 for the whole batch.
        warmup_steps: linear warm-up before the cosine.
        weight_decay: of AdamW, towards zero.
        decay_to_one: the same towards the base model: each step draws every factor back to 1 by this times the
            learning rate, so that only what the data hold on to stays changed.
        beta: DPO's β (paper: 0.1).
        nll_weight: weight of the chosen answer's NLL beside the DPO loss.
        answer_tokens, refusal_tokens: how much of the model's own answers and of the refusals is read; 0
            for all. Whether to refuse is decided in the first words; the rest only teaches how to go on.
        whole_refusals: share of the refusals that are preferred which are read whole, with the end token, however
            few `refusal_tokens` are: else a model learns how refusals begin and not that they end, and repeats itself.
        refuse_share: the share of the examples to refuse that this stage sees. Greedy decoding refuses as
            soon as a refusal is the likeliest of many beginnings, so equal shares refuse too much.
        checkpoints: how many adapters to keep along the way.
        group_by_length: whether examples of like length share a step: less padding, a less random order.
        keep_weight: weight of what holds the model to the base model on text that has nothing to do with the
            preference (`TrainConfig.keep`): KL(base || trained), in nats a token. 0: nothing does.
        keep_batch: so many windows of that text a step.
    """

    method: str = "sft"
    learning_rate: float = 3e-2
    epochs: float = 2.0
    batch_size: int = 16
    micro_batch: int = 0
    warmup_steps: int = 5
    weight_decay: float = 0.0
    decay_to_one: float = 0.0
    beta: float = 0.1
    nll_weight: float = 1.0
    answer_tokens: int = 0
    refusal_tokens: int = 0
    whole_refusals: float = 0.0
    refuse_share: float = 1.0
    checkpoints: int = 8
    group_by_length: bool = False
    keep_weight: float = 0.0
    keep_batch: int = 4

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ExplorerError(f"The training method must be one of {', '.join(METHODS)}, not “{self.method}”.")
        if self.batch_size < 1 or self.epochs <= 0 or self.learning_rate <= 0 or self.checkpoints < 1:
            raise ExplorerError("batch_size, epochs, learning_rate and checkpoints of a stage must be above 0.")
        if self.keep_weight < 0 or self.keep_batch < 1:
            raise ExplorerError("keep_weight of a stage must be 0 or more, and keep_batch above 0.")
        if not 0 <= self.whole_refusals <= 1 or not 0 <= self.refuse_share <= 1:
            raise ExplorerError("whole_refusals and refuse_share of a stage are shares from 0 to 1.")
        if self.micro_batch < 0 or (self.micro_batch and self.batch_size % self.micro_batch):
            raise ExplorerError(
                f"The batch of {self.batch_size} cannot be read {self.micro_batch} at a time; divide it."
            )


@dataclass(frozen=True)
class Source:
    """Prompts to train on.

    Attributes:
        suite: a shipped suite, or a .jsonl file (relative to the training file; `$EXPLORER_DATA` and other
            variables are filled in).
        limit: at most so many of its prompts; 0 for all.
        max_words: only prompts of at most so many words; 0 for all.
        skip: leave out the first so many of those, so that seeds can train on different samples.
        refused_by: folder of an adapter: only prompts that it refuses. It labels prompts of which not all are harmful.
        hold_out: leave out every so-many-th prompt of the file, by which recipes are compared (`held_out`); 0 for none.
    """

    suite: str
    limit: int = 0
    max_words: int = 0
    skip: int = 0
    refused_by: str = ""
    hold_out: int = 0

    def __post_init__(self) -> None:
        if self.hold_out < 0 or self.hold_out == 1:
            raise ExplorerError("hold_out of a source must be 0, or 2 or more: every so-many-th prompt is left out.")


@dataclass(frozen=True)
class PairSource:
    """Preference pairs to train on.

    Attributes:
        file: a .jsonl file, found as a `Source`'s is.
        kind: one of `data.preferences.KINDS`.
        skip: leave out the first so many pairs: those that are kept for testing.
        limit: at most so many pairs after that; 0 for all.
        max_prompt_tokens: only dialogues of at most so many tokens so far; 0 for all.
        max_tokens: only dialogues of at most so many tokens with the longer answer; 0 for all.
    """

    file: str
    kind: str = "dialogue"
    skip: int = 0
    limit: int = 0
    max_prompt_tokens: int = 0
    max_tokens: int = 0

    def takes(self, prompt_tokens: int, answer_tokens: int) -> bool:
        """Whether a dialogue of so many tokens so far is short enough, its longer answer having so many."""
        whole = prompt_tokens + answer_tokens
        return prompt_tokens <= (self.max_prompt_tokens or whole) and whole <= (self.max_tokens or whole)


@dataclass(frozen=True)
class StartPart:
    """An adapter to start from.

    Attributes:
        adapter: its folder.
        weight: what its factors' distance from 1 is multiplied by.
    """

    adapter: Path
    weight: float = 1.0


@dataclass(frozen=True)
class TrainConfig:
    """What a training file says.

    Attributes:
        name: of the adapter.
        base: the model trained on (as in a pair file).
        output: folder of the finished adapter.
        refuse: prompts whose chosen answer is a refusal and whose rejected one is the model's own.
        answer: prompts whose chosen answer is the model's own and whose rejected one is a refusal.
        pairs: preference pairs, trained on as they are.
        brief: prompts whose chosen answer is the first sentence of the model's own and whose rejected one is the
            whole of it.
        keep: preference files whose dialogues are the text that stages with a `keep_weight` hold on to.
        answer_tokens: length limit of the model's own answers.
        seed: of the sample, the order and the assignment of refusals.
        stages: run one after the other on the same vectors; none where the sum of what it starts from is wanted.
        average_stages: the finished vectors are the mean over all checkpoints of the last so many stages;
            0: those of the end. At high learning rates the mean is the better model.
        noise: spread of the seeded normal noise on the vectors that training begins with.
        start: the adapters to start from, weighted: one for DPO after SFT (paper section 3.3), several for the sum of
            what each has learnt (task arithmetic, Ilharco et al. 2023); none for vectors of ones.
        chat_template, dtype, device: as in a pair file.
    """

    name: str
    base: str
    output: Path
    refuse: tuple[Source, ...]
    answer: tuple[Source, ...]
    answer_tokens: int
    seed: int
    stages: tuple[Stage, ...]
    source: Path
    average_stages: int = 0
    start: tuple[StartPart, ...] = ()
    pairs: tuple[PairSource, ...] = ()
    brief: tuple[Source, ...] = ()
    keep: tuple[PairSource, ...] = ()
    noise: float = 0.0
    chat_template: str = OWN
    dtype: str = "auto"
    device: str = "cpu"


def read_train_config(path: str | Path) -> TrainConfig:
    """Read and check a training file.

    Raises:
        ExplorerError: it is missing, is not TOML, or lacks or misnames a setting.
    """
    path = Path(path)
    raw = read_toml(path, "training file")
    try:
        data = raw["data"] if raw.get("stages") else raw.get("data", {})
        config = TrainConfig(
            name=str(raw["name"]),
            base=resolve_place(str(raw["base"]), path),
            output=(path.parent / raw["output"]).resolve(),
            refuse=tuple(_source(entry, path) for entry in data.get("refuse", [])),
            answer=tuple(_source(entry, path) for entry in data.get("answer", [])),
            pairs=tuple(_pair_source(entry, path) for entry in data.get("pairs", [])),
            brief=tuple(_source(entry, path) for entry in data.get("brief", [])),
            keep=tuple(_pair_source(entry, path) for entry in data.get("keep", [])),
            noise=float(raw.get("noise", 0.0)),
            answer_tokens=int(data.get("answer_tokens", 64)),
            seed=int(raw.get("seed", 0)),
            stages=tuple(_stage(table, path) for table in raw.get("stages", [])),
            source=path,
            average_stages=int(raw.get("average_stages", 0)),
            start=_start(raw["start"], path) if "start" in raw else (),
            chat_template=template_place(raw.get("chat_template", OWN), path),
            dtype=str(raw.get("dtype", "auto")),
            device=str(raw.get("device", "cpu")),
        )
    except KeyError as problem:
        raise ExplorerError(f"{path} lacks the setting {problem}.") from problem
    except (TypeError, ValueError) as problem:
        raise ExplorerError(f"{path} has a setting of the wrong kind: {problem}") from problem
    for part in config.start:
        if not (part.adapter / "adapter_config.json").is_file():
            raise ExplorerError(f"{path} starts from {part.adapter}, which is no PEFT adapter; train that one first.")
    if not config.stages and len(config.start) < 2:
        raise ExplorerError(
            f"{path} has no [[stages]]; give at least one, or several adapters to start from: their sum."
        )
    if config.stages and not (config.refuse or config.answer or config.pairs or config.brief):
        raise ExplorerError(f"{path} names no data; give refuse, answer, pairs or brief under [data].")
    if any(stage.keep_weight for stage in config.stages) and not config.keep:
        raise ExplorerError(f"{path} has a stage with keep_weight; name under [data] the text to keep.")
    return config


def _start(entry: str | list[dict[str, Any]], path: Path) -> tuple[StartPart, ...]:
    tables = [{"adapter": entry}] if isinstance(entry, str) else entry
    known = {field.name for field in fields(StartPart)}
    if not isinstance(tables, list) or any(
        not isinstance(t, dict) or not {"adapter"} <= set(t) <= known for t in tables
    ):
        raise ExplorerError(f"{path}: start must be an adapter's folder, or tables of {' and '.join(sorted(known))}.")
    return tuple(StartPart((path.parent / str(t["adapter"])).resolve(), float(t.get("weight", 1.0))) for t in tables)


def _source(entry: str | dict[str, Any], path: Path) -> Source:
    table = {"suite": entry} if isinstance(entry, str) else dict(entry)
    known = {field.name for field in fields(Source)}
    if set(table) - known or "suite" not in table:
        raise ExplorerError(
            f"{path}: a source of prompts must be a suite's name or a table of {', '.join(sorted(known))}."
        )
    if table["suite"].endswith(".jsonl"):
        table["suite"] = _file(table["suite"], path)
    if table.get("refused_by"):
        table["refused_by"] = str((path.parent / table["refused_by"]).resolve())
    return Source(**table)


def _pair_source(entry: dict[str, Any], path: Path) -> PairSource:
    known = {field.name for field in fields(PairSource)}
    if not isinstance(entry, dict) or set(entry) - known or "file" not in entry:
        raise ExplorerError(f"{path}: a source of pairs must be a table of {', '.join(sorted(known))}.")
    source = PairSource(**{**entry, "file": _file(str(entry["file"]), path)})
    if source.kind not in KINDS:
        raise ExplorerError(f"{path}: pairs must be of the kind {' or '.join(KINDS)}, not “{source.kind}”.")
    return source


def _file(name: str, path: Path) -> str:
    """A data file beside the training file, or where a variable says, as a full path."""
    filled = os.path.expandvars(name)
    if "$" in filled:
        raise ExplorerError(f"{path} reads {name}; set EXPLORER_DATA to the folder of these datasets (see README).")
    return str((path.parent / filled).resolve())


def _stage(table: dict[str, Any], path: Path) -> Stage:
    known = {field.name for field in fields(Stage)}
    if set(table) - known:
        raise ExplorerError(
            f"{path}: a stage has the unknown setting “{sorted(set(table) - known)[0]}”; known are "
            f"{', '.join(sorted(known))}."
        )
    return Stage(**table)
