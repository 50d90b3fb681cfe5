"""Training configurations: TOML that names the data, the stages and where the adapter goes.

See `configs/train/*.toml` for the ones that made the shipped adapters. The annotations of `TrainStage`, `Source`,
`PairSource`, `_Head` and `_Data` are the schema: `explorer.schema.read_table` checks a table by them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from annotated_types import Interval

from explorer.data.preferences import KINDS
from explorer.data.rows import ENDINGS, ending_of
from explorer.errors import ExplorerError
from explorer.files import is_file
from explorer.models.pair_file import resolve_place, template_place
from explorer.models.pair_spec import OWN
from explorer.paths import beside, fill_path
from explorer.schema import (
    CountOrAll,
    CountOrNone,
    Distinct,
    Dtype,
    FolderName,
    Kind,
    Place,
    PlaceOrNone,
    Seed,
    Text,
    Tokens,
    read_table,
    shown,
)
from explorer.toml_file import read_toml

Method = Literal["sft", "dpo"]
METHODS = get_args(Method)

Weight = Annotated[float, Interval(ge=0, le=10_000)]
Share = Annotated[float, Interval(ge=0, le=1)]
Batch = Annotated[int, Interval(ge=1, le=65_536)]
START = "an adapter's folder, or a list of tables of adapter and weight"
Sources = Annotated[tuple[Any, ...], Kind("a list of suites or tables")]


@dataclass(frozen=True)
class TrainStage:
    """One training run over the same (IA)³ vectors.

    Attributes:
        method: "sft" (NLL of the chosen answers) or "dpo".
        learning_rate: peak of the cosine schedule.
        epochs: passes over the data.
        batch_size: examples a step.
        micro_batch: examples in memory at once; 0 for the whole batch.
        warmup_steps: linear warm-up before the cosine.
        weight_decay: of AdamW, towards zero.
        beta: DPO's β (paper: 0.1).
        reference: what DPO's log-ratios are taken against: "start", the model as the stage begins (the paper's DPO), or
            "none", the log-probabilities themselves (as SimPO and CPO do; Meng et al. 2024, Xu et al. 2024). With a
            reference every pair pulls alike at first; without one only those pull whose choice is wrong or narrow.
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

    method: Method = "sft"
    learning_rate: Annotated[float, Interval(gt=0, le=100)] = 3e-2
    epochs: Annotated[float, Interval(gt=0, le=10_000)] = 2.0
    batch_size: Batch = 16
    micro_batch: Annotated[int, Interval(ge=0, le=65_536)] = 0
    warmup_steps: CountOrNone = 5
    weight_decay: Weight = 0.0
    beta: Annotated[float, Interval(gt=0, le=10_000)] = 0.1
    reference: Literal["start", "none"] = "start"
    nll_weight: Weight = 1.0
    answer_tokens: CountOrAll = 0
    refusal_tokens: CountOrAll = 0
    whole_refusals: Share = 0.0
    refuse_share: Share = 1.0
    checkpoints: Annotated[int, Interval(ge=1, le=1_000)] = 8
    group_by_length: bool = False
    keep_weight: Weight = 0.0
    keep_batch: Batch = 4

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ExplorerError(f"The training method must be one of {', '.join(METHODS)}, not “{self.method}”.")
        if self.batch_size < 1 or self.epochs <= 0 or self.learning_rate <= 0 or self.checkpoints < 1:
            raise ExplorerError("batch_size, epochs, learning_rate and checkpoints of a stage must be above 0.")
        if self.keep_weight < 0 or self.keep_batch < 1:
            raise ExplorerError("keep_weight of a stage must be 0 or more, and keep_batch above 0.")
        if self.micro_batch < 0 or (self.micro_batch and self.batch_size % self.micro_batch):
            raise ExplorerError(
                f"The batch of {self.batch_size} cannot be read {self.micro_batch} at a time; divide it."
            )


@dataclass(frozen=True)
class Source:
    """Prompts to train on.

    Attributes:
        suite: a shipped suite, or a file of `data.rows.ENDINGS` (relative to the training file; `$EXPLORER_DATA` and
            other variables are filled in).
        limit: at most so many of its prompts; 0 for all.
        max_words: only prompts of at most so many words; 0 for all.
        skip: leave out the first so many of those, so that seeds can train on different samples.
        refused_by: folder of an adapter: only prompts that it refuses. It labels prompts of which not all are harmful.
        hold_out: leave out every so-many-th prompt of the file, by which recipes are compared; 0 for none.
    """

    suite: Place
    limit: CountOrAll = 0
    max_words: CountOrAll = 0
    skip: CountOrNone = 0
    refused_by: PlaceOrNone = ""
    hold_out: CountOrNone = 0

    def __post_init__(self) -> None:
        if self.hold_out == 1:
            raise ExplorerError("hold_out must be 0, or 2 or more: every so-many-th prompt is left out.")


@dataclass(frozen=True)
class PairSource:
    """Preference pairs to train on.

    Attributes:
        file: one of `data.rows.ENDINGS`, found as a `Source`'s is.
        kind: one of `data.preferences.KINDS`.
        skip: leave out the first so many pairs: those that are kept for testing.
        limit: at most so many pairs after that; 0 for all.
        max_prompt_tokens: only dialogues of at most so many tokens so far; 0 for all.
        max_tokens: only dialogues of at most so many tokens with the longer answer; 0 for all.
    """

    file: Place
    kind: str = "dialogue"
    skip: CountOrNone = 0
    limit: CountOrAll = 0
    max_prompt_tokens: CountOrAll = 0
    max_tokens: CountOrAll = 0

    def takes(self, prompt_tokens: int, answer_tokens: int) -> bool:
        """Whether a dialogue of so many tokens so far is short enough, its longer answer having so many."""
        whole = prompt_tokens + answer_tokens
        return prompt_tokens <= (self.max_prompt_tokens or whole) and whole <= (self.max_tokens or whole)


@dataclass(frozen=True)
class StartPart:
    """An adapter to start from.

    Attributes:
        adapter: its folder, relative to the training file.
        weight: what its factors' distance from 1 is multiplied by.
    """

    adapter: Place
    weight: Annotated[float, Interval(ge=-100, le=100)] = 1.0

    @property
    def folder(self) -> Path:
        """The adapter's folder."""
        return Path(self.adapter)


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
        refusals_begin: only own-written refusals that begin with one of these words or phrases; all where empty.
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
    stages: tuple[TrainStage, ...]
    source: Path
    average_stages: int = 0
    start: tuple[StartPart, ...] = ()
    pairs: tuple[PairSource, ...] = ()
    brief: tuple[Source, ...] = ()
    refusals_begin: tuple[str, ...] = ()
    keep: tuple[PairSource, ...] = ()
    noise: float = 0.0
    chat_template: str = OWN
    dtype: str = "auto"
    device: str = "cpu"


@dataclass(frozen=True)
class _Head:
    """What a training file holds, as TOML; see `TrainConfig`."""

    name: FolderName
    base: Place
    output: Place
    data: Annotated[dict, Kind("a table [data]")]
    stages: Annotated[tuple[Any, ...], Kind("a list of tables [[stages]]")]
    seed: Seed = 0
    noise: Annotated[float, Interval(ge=0, le=10)] = 0.0
    average_stages: CountOrNone = 0
    start: Annotated[Any, Kind(START)] = ""
    chat_template: Place = OWN
    dtype: Dtype = "auto"
    device: Place = "cpu"


@dataclass(frozen=True)
class _Data:
    """The table [data]."""

    refuse: Sources = ()
    answer: Sources = ()
    pairs: Sources = ()
    brief: Sources = ()
    refusals_begin: Annotated[tuple[Text, ...], Distinct] = ()
    keep: Sources = ()
    answer_tokens: Tokens = 64


def read_train_config(path: str | Path) -> TrainConfig:
    """Read and check a training file.

    Raises:
        ExplorerError: it is missing, is not TOML, or lacks or misnames a setting.
    """
    path = Path(path)
    head = read_table(_Head, read_toml(path, "training file"), str(path))
    data = read_table(_Data, head.data, f"{path}, [data]")
    config = TrainConfig(
        name=head.name,
        base=resolve_place(head.base, path),
        output=_output(head.output, path),
        refuse=_sources(data.refuse, "refuse", path),
        answer=_sources(data.answer, "answer", path),
        pairs=_pair_sources(data.pairs, "pairs", path),
        brief=_sources(data.brief, "brief", path),
        refusals_begin=data.refusals_begin,
        keep=_pair_sources(data.keep, "keep", path),
        noise=head.noise,
        answer_tokens=data.answer_tokens,
        seed=head.seed,
        stages=tuple(
            read_table(TrainStage, table, f"{path}, [[stages]] {number}") for number, table in enumerate(head.stages, 1)
        ),
        source=path,
        average_stages=head.average_stages,
        start=_start(head.start, path),
        chat_template=template_place(head.chat_template, path),
        dtype=head.dtype,
        device=head.device,
    )
    for part in config.start:
        if not is_file(part.folder / "adapter_config.json"):
            raise ExplorerError(f"{path} starts from {part.adapter}, which is no PEFT adapter; train that one first.")
    if not config.stages and len(config.start) < 2:
        raise ExplorerError(f"{path} has no [[stages]]; give at least one, or several adapters to start from.")
    if config.stages and not (config.refuse or config.answer or config.pairs or config.brief):
        raise ExplorerError(f"{path} names no data; give refuse, answer, pairs or brief under [data].")
    if any(stage.keep_weight for stage in config.stages) and not config.keep:
        raise ExplorerError(f"{path} has a stage with keep_weight; name under [data] the text to keep.")
    if config.average_stages > len(config.stages):
        raise ExplorerError(
            f"{path}: average_stages must be at most the number of [[stages]], {len(config.stages)}, not "
            f"{config.average_stages}."
        )
    return config


def _output(place: str, path: Path) -> Path:
    """The folder of the finished adapter, which is no folder that holds the training file."""
    folder = beside(place, path)
    if path.resolve().is_relative_to(folder):
        raise ExplorerError(f"{path}: output must be a folder of the adapter's own, not {shown(place)}.")
    return folder


def _start(start: Any, path: Path) -> tuple[StartPart, ...]:
    if start == "":
        return ()
    tables = ({"adapter": start},) if isinstance(start, str) else start
    if not isinstance(tables, tuple) or not tables:
        raise ExplorerError(f"{path}: start must be {START}, not {shown(start)}.")
    parts = [read_table(StartPart, table, f"{path}, start {number}") for number, table in enumerate(tables, 1)]
    return tuple(replace(part, adapter=str(beside(part.adapter, path))) for part in parts)


def _sources(entries: tuple[Any, ...], use: str, path: Path) -> tuple[Source, ...]:
    tables = [({"suite": entry} if isinstance(entry, str) else entry) for entry in entries]
    return tuple(_source(table, f"{path}, [data] {use} {number}", path) for number, table in enumerate(tables, 1))


def _source(table: Any, place: str, path: Path) -> Source:
    source = read_table(Source, table, place)
    suite, refused_by = source.suite, source.refused_by
    return replace(
        source,
        suite=str(fill_path(suite, path)) if ending_of(Path(suite)) in ENDINGS else suite,
        refused_by=str(beside(refused_by, path)) if refused_by else "",
    )


def _pair_sources(entries: tuple[Any, ...], use: str, path: Path) -> tuple[PairSource, ...]:
    found = []
    for number, entry in enumerate(entries, 1):
        place = f"{path}, [data] {use} {number}"
        source = read_table(PairSource, entry, place)
        if source.kind not in KINDS:
            raise ExplorerError(f"{place}: pairs must be of the kind {' or '.join(KINDS)}, not {shown(source.kind)}.")
        found.append(replace(source, file=str(fill_path(source.file, path))))
    return tuple(found)
