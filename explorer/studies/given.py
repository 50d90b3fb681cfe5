"""What a study is given: the build that it is part of, and the loaded models that its tasks run on.

Only what studies use is said here; `pipeline.context` and `pipeline.models` provide it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from explorer.data.suites_io import Prompt
from explorer.neurons.ranking import Ranking
from explorer.progress import Progress as Tell
from explorer.runs.writer import RunWriter
from explorer.studies.basis import AnswerSpec, RankingSpec
from explorer.studies.planning import Stage

if TYPE_CHECKING:
    import pandas as pd

    from explorer.models.pair import Pair


class LoadedModels(Protocol):
    """The loaded models of one process; the first argument of a task."""

    def pair(self, first: str = "m1", second: str = "m2") -> "Pair":
        """Two of the models as a pair, by name ("m1", "m2", an adapter's)."""
        ...


Task = Callable[[Any, Any, Any], Any]
"""task(models, shared, item): rows (a list of plain dicts) or arrays by name. A function of a module, so that another
process can run it; its name is part of what answers are kept by."""

Join = Callable[[Iterator[Any]], Any]
"""The result of an item from those of its pieces, in their order."""


class BuildFile(Protocol):
    """What studies read of a build file; see `pipeline.build_config.BuildConfig`."""

    @property
    def source(self) -> Path:
        """The file."""
        ...

    @property
    def dtype(self) -> str:
        """The models' dtype."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """The length limit of answers that are scored."""
        ...

    @property
    def main_ranking(self) -> str:
        """What tables mean that name no ranking."""
        ...

    @property
    def rankings(self) -> tuple[RankingSpec, ...]:
        """The tables under [rankings]."""
        ...

    @property
    def answers(self) -> tuple[AnswerSpec, ...]:
        """The tables [[answers]]."""
        ...

    @property
    def scorer_columns(self) -> dict[str, str]:
        """The scorer behind each column of scores beside refusal and degenerate."""
        ...

    def asked(self, study: str) -> tuple[Any, ...]:
        """The settings of every table that asks for a study, by its name."""
        ...

    def ranking(self, name: str) -> RankingSpec:
        """The ranking of this name."""
        ...

    def model_of(self, ranking: str) -> str:
        """The aligned model that a ranking contrasts M1 with."""
        ...

    def method_of(self, *rankings: str) -> str:
        """How these rankings are computed."""
        ...


class Build(Protocol):
    """A build, as a study sees it; see `pipeline.context.BuildContext`."""

    @property
    def config(self) -> BuildFile:
        """What the build file says."""
        ...

    @property
    def work(self) -> Path:
        """The folder that stages write into."""
        ...

    @property
    def writer(self) -> RunWriter:
        """Of the run in that folder."""
        ...

    @property
    def score_columns(self) -> tuple[str, ...]:
        """The columns of the scores of answers."""
        ...

    @property
    def pair_name(self) -> str:
        """What the pair of M1 and M2 is called."""
        ...

    @property
    def checkpoints(self) -> Mapping[int, str]:
        """What each checkpoint of the pair's series is called among the models, by its step."""
        ...

    def prompts(self, suite: str, limit: int | None = None, category: str = "") -> list[Prompt]:
        """The first prompts of a suite, or of one of its categories."""
        ...

    def is_withheld(self, prompt: Prompt) -> bool:
        """Whether the run may not hold the prompt's text."""
        ...

    def models_key(self, *names: str) -> dict[str, Any]:
        """What the named models are made of."""
        ...

    def scorer_keys(self) -> dict[str, str]:
        """What each column of scores depends on."""
        ...

    def set_key(self, stage: str, key: str) -> None:
        """Note a stage's key for the stages that read its outputs."""
        ...

    def key_of(self, stage: str) -> str:
        """The key of a stage that was made earlier."""
        ...

    def table_key(self, table: str) -> str:
        """The key of the stage that writes a table of another study; "" where the build makes none."""
        ...

    def rank(self, spec: RankingSpec) -> Stage:
        """The stage of a ranking that the study needs beside those of the build file."""
        ...

    def ranking(self, name: str) -> Ranking:
        """A ranking that an earlier stage computed."""
        ...

    def answers(self, suite: str) -> "pd.DataFrame":
        """The answers of a table [[answers]], by its key."""
        ...

    def plain_answers(self, suite: str) -> "pd.DataFrame":
        """The unpatched and aligned answers to a suite under [[answers]]."""
        ...

    def plain_spec(self, suite: str) -> AnswerSpec:
        """The table [[answers]] that holds them."""
        ...

    def plain_keys(self, suites: Iterable[str]) -> list[str]:
        """The keys of the stages that write them."""
        ...

    def table(self, name: str) -> "pd.DataFrame":
        """A table that an earlier stage wrote."""
        ...

    def compute(
        self, stage: str, key: str, task: Task, shared: Any, items: Sequence[Any], tell: Tell, name: str = ""
    ) -> Iterable[Any]:
        """Run a task on all items, each result kept as soon as it is there and until the stage is done: for sums over
        all neurons, which would fill the disk."""
        ...

    def compute_in_pieces(
        self,
        stage: str,
        key: str,
        split: Task,
        task: Task,
        shared: Any,
        items: Sequence[Any],
        join: Join,
        tell: Tell,
    ) -> Iterable[Any]:
        """The same for items that take long: `split` gives the pieces of each, `task` computes one, `join` makes the
        result of all; what is computed of an item is kept until that is there."""
        ...

    def read(self, task: Task, shared: Any, items: Sequence[Any], tell: Tell) -> Iterable[Any]:
        """What a task reads in the models for each item, kept by what it depends on, apart from the stage."""
        ...

    def read_in_pieces(
        self, split: Task, task: Task, shared: Any, items: Sequence[Any], join: Join, tell: Tell
    ) -> Iterable[Any]:
        """The same for items that take long, see `compute_in_pieces`."""
        ...

    def once(self, task: Task, shared: Any) -> Any:
        """The result of a task that is not shared out."""
        ...

    def answer(
        self,
        how: Any,
        prompts: Sequence[Prompt],
        tell: Tell,
        task: Task | None = None,
        scorers: Mapping[str, str] | None = None,
    ) -> "pd.DataFrame":
        """Answers to prompts with their scores, each kept as soon as it is there."""
        ...

    def patching(self, **options: Any) -> Any:
        """How this build answers, with a study's own options; see `pipeline.tasks.Patching`."""
        ...

    def estimate(self, prompts: Sequence[Prompt | str], rows: float, tokens: int) -> float:
        """About how many tokens pass through the models when so many rows answer each prompt."""
        ...
