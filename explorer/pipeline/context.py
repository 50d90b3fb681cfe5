"""What the stages of a build share: settings, prompts, keys, and what earlier stages have written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.data.suites_io import WITHHELD, Prompt, load_suite
from explorer.digests import digest
from explorer.files import read_json, write_json
from explorer.models.describing import describe_model, reading_key
from explorer.models.pair_file import read_pair_file
from explorer.models.prompting import MAX_PROMPT_CHARS
from explorer.neurons.ranking import Ranking
from explorer.neurons.scores import ranking_from_parts
from explorer.pipeline import tasks
from explorer.pipeline.build_config import BuildConfig
from explorer.pipeline.engine import Engine, Task
from explorer.pipeline.models import Models, ModelsSpec, step_name
from explorer.pipeline.parts import Parts
from explorer.pipeline.rankings import HIDDEN, ranking_stage
from explorer.pipeline.scorers import judge_parts, scorer_key
from explorer.pipeline.stages import plain_value
from explorer.pipeline.tasks import Patching
from explorer.progress import Progress as Tell
from explorer.progress import part_of
from explorer.runs.columns import with_columns
from explorer.runs.format import TENSORS
from explorer.runs.writer import RunWriter
from explorer.studies.basis import AnswerSpec, RankingSpec
from explorer.studies.given import Join
from explorer.studies.planning import CHUNK, Stage, chunks, table_file

if TYPE_CHECKING:
    import pandas as pd

FRAME_TOKENS = 32
"""About how many tokens a chat template puts around a prompt."""

WRITTEN = "written"
"""The folder of answers and readings by what they depend on: they outlive a stage, so that another scorer scores the
same answers."""

ROLES_OF_MODELS = ("first", "second", "model")
"""Options of a task that name the models it asks."""

SCORING = 0.1
"""About the share of a stage's time that goes into scoring its answers."""

DATE = "date.json"
"""What keeps the day that a build takes for today."""


class BuildContext:
    """One build.

    Attributes:
        config: the build file.
        work: the folder that stages write into.
        writer: of the run in that folder.
        engine: where tasks run.
        models: of this process, loaded on first use.
        suites: prompts by the name that the build file uses.
        kept: called before a stage tells of work that an earlier build left.
    """

    def __init__(self, config: BuildConfig, work: Path, models: Models, engine: Engine) -> None:
        self.config, self.work, self.models, self.engine = config, work, models, engine
        self.writer = RunWriter(work)
        self.suites: dict[str, list[Prompt]] = {}
        self.kept: Callable[[], None] = lambda: None
        self._withheld: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._writers: dict[str, str] = {}
        self._described: dict[str, dict[str, Any]] = {}
        self._scorers: dict[str, str] = {}

    # -- prompts ---------------------------------------------------------------------------------

    def prompts(self, suite: str, limit: int | None = None, category: str = "") -> list[Prompt]:
        """The first prompts of a suite, or of one of its categories.

        Raises:
            ExplorerError: there is no such suite, or it has no such prompts.
        """
        from explorer.data.sources import load_source
        from explorer.errors import ExplorerError

        if suite not in self.suites:
            own = next((s for s in self.config.suites if s.name == suite), None)
            self.suites[suite] = load_source(own, self.config.source) if own else load_suite(suite)
            if own and not own.publish:
                self._withheld |= {p.prompt: f"({suite}, prompt {p.id}: {WITHHELD})" for p in self.suites[suite]}
        found = [p for p in self.suites[suite] if not category or p.category == category]
        if not found:
            of = f" of category “{category}”" if category else ""
            raise ExplorerError(f"The suite “{suite}” has no prompts{of}.")
        long = next((p for p in found[:limit] if len(p.prompt) > MAX_PROMPT_CHARS), None)
        if long is not None:  # told before anything is computed
            raise ExplorerError(
                f"The suite “{suite}” has a prompt ({long.id}) of {len(long.prompt):,} characters; the limit is "
                f"{MAX_PROMPT_CHARS:,}, so shorten it or leave it out."
            )
        return found[:limit]

    def is_withheld(self, prompt: Prompt) -> bool:
        """Whether the run may not hold the prompt's text."""
        return prompt.prompt in self._withheld

    # -- keys ------------------------------------------------------------------------------------

    def models_key(self, *names: str) -> dict[str, Any]:
        """What the named models are made of ("m1" and "m2" where none is named), how they read, and the dtype."""
        for name in names or ("m1", "m2"):
            if name not in self._described:
                self._described[name] = describe_model(self.models.spec.model(name))
        reading = reading_key(self.models.spec.pair)
        common = {"dtype": self.config.dtype, **({"reading": reading} if reading else {})}
        return common | {name: self._described[name] for name in names or ("m1", "m2")}

    def keep_date(self) -> None:
        """Write down the day that the chat template is told, so that the build goes on with it on another day."""
        write_json(self.work / DATE, {"date": self.models.spec.pair.date})

    def scorer_keys(self) -> dict[str, str]:
        """What each column of scores depends on: another head is another score."""
        if not self._scorers:
            columns = {"refusal": "refusal", **self.config.scorer_columns}
            self._scorers = {column: scorer_key(name) + self._judge_type(name) for column, name in columns.items()}
        return self._scorers

    def _judge_type(self, name: str) -> str:
        """The type that a judge computes in where the build file says it; another one gives other numbers."""
        said = self.config.judges.dtype
        return f" {said}" if said and judge_parts(name)[1] else ""

    def set_key(self, stage: str, key: str) -> None:
        """Note a stage's key for the stages that read its outputs."""
        self._keys[stage] = key

    def key_of(self, stage: str) -> str:
        """The key of a stage that was made earlier."""
        return self._keys[stage]

    def noted(self, stages: Sequence[Stage]) -> Sequence[Stage]:
        """The same stages, with a note of what writes each file, for the studies that read tables of others."""
        self._writers |= {output: stage.key for stage in stages for output in stage.outputs}
        return stages

    def table_key(self, table: str) -> str:
        """The key of the stage that writes a table of another study; "" where the build makes none."""
        return self._writers.get(table_file(table), "")

    def rank(self, spec: RankingSpec) -> Stage:
        """The stage of a ranking beside those of the build file."""
        return ranking_stage(self, spec)

    # -- what earlier stages wrote ---------------------------------------------------------------

    def ranking(self, name: str) -> Ranking:
        """A ranking."""
        from safetensors.numpy import load_file

        about = read_json(self.work / "stages" / f"ranking-{name}.json")["result"]
        file = next(f for f in (self.work / TENSORS, self.work / HIDDEN) if (f / f"{name}.safetensors").is_file())
        return ranking_from_parts(load_file(str(file / f"{name}.safetensors")), about)

    def answers(self, suite: str) -> "pd.DataFrame":
        """The answers of a table [[answers]] by its key: a suite, restored where nothing else is said."""
        import pandas as pd

        return pd.DataFrame(read_json(self.work / "answers" / f"{suite}.json"))

    def plain_answers(self, suite: str) -> "pd.DataFrame":
        """The answers of the table [[answers]] that holds a suite's unpatched and aligned ones."""
        return self.answers(self.plain_spec(suite).key)

    def plain_spec(self, suite: str) -> AnswerSpec:
        """The table [[answers]] that holds a suite's unpatched and aligned answers; the build file has one."""
        spec = self.config.plain_answers(suite)
        assert spec is not None  # checked when the file was read
        return spec

    def plain_keys(self, suites: Iterable[str]) -> list[str]:
        """The keys of the stages that write these suites' unpatched and aligned answers."""
        return [self.key_of(f"answers-{self.plain_spec(suite).key}") for suite in suites]

    def table(self, name: str) -> "pd.DataFrame":
        """A table that an earlier stage wrote."""
        import pandas as pd

        return with_columns(name, pd.read_parquet(self.work / table_file(name)))

    # -- work ------------------------------------------------------------------------------------

    def compute(
        self, stage: str, key: str, task: Task, shared: Any, items: Sequence[Any], tell: Tell, name: str = ""
    ) -> Parts:
        """Run a task on all items, each result kept as soon as it is there."""
        folder = self.work / "parts" / stage
        parts = Parts(folder / digest(name)[:12] if name else folder, key)
        parts.fill(self.engine, task, shared, items, tell, self.kept)
        return parts

    def compute_in_pieces(
        self, stage: str, key: str, split: Task, task: Task, shared: Any, items: Sequence[Any], join: Join, tell: Tell
    ) -> Parts:
        """The same for items that take long: each is split, and the results of its pieces are kept until they are
        joined."""
        parts = Parts(self.work / "parts" / stage, key)
        parts.fill_in_pieces(self.engine, split, task, shared, items, join, tell, self.kept)
        return parts

    def read(self, task: Task, shared: Any, items: Sequence[Any], tell: Tell) -> Parts:
        """What a task reads in the models for each item, each result kept as soon as it is there.

        Readings are kept by what they depend on, apart from the stage, as answers are: where a scorer or another
        stage changed, nothing is read again.

        Args:
            task: a function of the models, the shared options and one item, by its name.
            shared: the options; the models that its fields first, second and model name are read beside m1 and m2.
            items: one for each result.
            tell: progress callback, fraction in [0, 1].
        """
        parts = self._kept(self._read_by(task, shared, items))
        parts.fill(self.engine, task, shared, items, tell, self.kept)
        return parts

    def read_in_pieces(
        self, split: Task, task: Task, shared: Any, items: Sequence[Any], join: Join, tell: Tell
    ) -> Parts:
        """The same for items that take long, see `compute_in_pieces`."""
        parts = self._kept(self._read_by(task, shared, items))
        parts.fill_in_pieces(self.engine, split, task, shared, items, join, tell, self.kept)
        return parts

    def _read_by(self, task: Task, shared: Any, items: Sequence[Any]) -> str:
        """A digest of all that readings depend on: the task by its name, its options, the models, the items."""
        plain = plain_value(shared)
        named = [plain[role] for role in ROLES_OF_MODELS if isinstance(plain, dict) and role in plain]
        return digest(
            {
                "task": f"{task.__module__}.{task.__name__}",
                "options": plain,
                "models": self.models_key(*dict.fromkeys(("m1", "m2", *named))),
                "items": plain_value(items),
            }
        )

    def _kept(self, by: str) -> Parts:
        """Parts that outlive their stage, by the digest of what they depend on."""
        return Parts(self.work / WRITTEN / by[:32], by)

    def once(self, task: Task, shared: Any) -> Any:
        """The result of a task that is not shared out, from wherever the models are."""
        return next(iter(self.engine.map(task, shared, [None])))[1]

    def answer(
        self,
        how: Any,
        prompts: Sequence[Prompt],
        tell: Tell,
        task: Task | None = None,
        scorers: Mapping[str, str] | None = None,
    ) -> "pd.DataFrame":
        """Rows of `tasks.answer` (or of another task of its kind) for all prompts, with their verdicts and scores.

        Answers are kept by what wrote them (models, neurons, prompts, length) and scores by their scorer, apart from
        the stage that asks: a changed scorer scores what is there, and no other does. Of suites that are not to be
        published, the text is left out.

        Args:
            how: of the task.
            prompts: what is answered.
            tell: progress callback, fraction in [0, 1].
            task: another task of the kind of `tasks.answer`.
            scorers: the scorer behind each column of scores; the build's where left out.
        """
        import pandas as pd

        from explorer.scoring.verdict import verdicts

        task = task or tasks.answer
        written_by = self._written_by(task, how, prompts)
        written = self._kept(written_by)
        some, writing = chunks(prompts, CHUNK), part_of(tell, 0, 1 - SCORING)
        written.fill(self.engine, task, how, some, writing, self.kept)
        answers, columns = list(written), self.config.scorer_columns if scorers is None else scorers
        frame = pd.DataFrame([row for part in answers for row in part])
        found = verdicts(frame["answer"].tolist(), frame["prompt"].tolist())
        frame["verdict"] = [one.outcome for one in found]
        frame["refused"] = [one.refused for one in found]
        frame["degenerate"] = [one.degenerate for one in found]
        frame["cost"] = float("nan")
        scored = self._scored(columns.values(), answers, part_of(tell, 1 - SCORING, SCORING))
        for column, name in columns.items():
            frame[column] = [score for part in scored[name] for score in part]
        return frame.assign(prompt=[self._withheld.get(text, text) for text in frame["prompt"]])

    def _scored(
        self, scorers: Iterable[str], answers: Sequence[list[dict[str, Any]]], tell: Tell
    ) -> dict[str, list[list[float]]]:
        """Each scorer's numbers of some answers, kept by the scorer and what it read.

        All scorers that lack an answer's number score it one after the other: what they read in a model is shared.
        """
        read = [[[row["prompt"], row["answer"]] for row in part] for part in answers]
        kept: dict[str, Parts] = {}
        for scorer in scorers:
            scored_by = digest({"scorer": scorer_key(scorer) + self._judge_type(scorer), "answers": read})
            kept[scorer] = self._kept(scored_by)
        found = {scorer: [parts.read(number) for number in range(len(read))] for scorer, parts in kept.items()}
        lacking = [[scorer for scorer in kept if found[scorer][number] is None] for number in range(len(read))]
        asked = [number for number, without in enumerate(lacking) if without]
        items = [(lacking[number], read[number]) for number in asked]
        for done, (place, scores) in enumerate(self.engine.map(tasks.score, None, items), start=1):
            for scorer, numbers in scores.items():
                kept[scorer].write(asked[place], numbers)
                found[scorer][asked[place]] = numbers
            tell(done / len(items))
        return found

    def _written_by(self, task: Task, how: Any, prompts: Sequence[Prompt]) -> str:
        """A digest of all that answers depend on: the task and its options, the models, the prompts."""
        options = {f.name: plain_value(getattr(how, f.name)) for f in fields(how)}
        models = [options[role] for role in ROLES_OF_MODELS if role in options]
        asked = [[p.id, p.prompt, p.category] for p in prompts]
        task_name = task.__name__
        return digest({"task": task_name, "options": options, "models": self.models_key(*models), "prompts": asked})

    def patching(self, **options: Any) -> Patching:
        """How this build answers, with a study's own options."""
        return Patching(**{"tokens": self.config.max_new_tokens, **options})

    @property
    def pair_name(self) -> str:
        """What the pair of M1 and M2 is called."""
        return self.models.spec.pair.name

    @property
    def checkpoints(self) -> dict[int, str]:
        """What each checkpoint of the pair's series is called among the models, by its step."""
        return {step.step: step_name(step.step) for step in self.models.spec.pair.series}

    @property
    def score_columns(self) -> tuple[str, ...]:
        """The columns of the scores; "refusal", "cost" (nan where it is not asked for) and "degenerate" always."""
        return ("refusal", *dict.fromkeys(["cost", *self.config.scorer_columns]), "degenerate")

    def estimate(self, prompts: Sequence[Prompt | str], rows: float, tokens: int) -> float:
        """About how many tokens pass through the models when so many rows answer each prompt."""
        texts = [p if isinstance(p, str) else p.prompt for p in prompts]
        return rows * sum(len(text) / 4.5 + FRAME_TOKENS + tokens for text in texts)


def load_context(
    config: BuildConfig, work: Path, make: Callable[[ModelsSpec, Models], Engine], device: str | None = None
) -> BuildContext:
    """The context of a build; no model is loaded yet. With a device, the models lie there, whatever their file says."""
    folders: Mapping[str, str] = {a.name: a.folder for a in config.adapters}
    pair = read_pair_file(config.pair)
    if device:
        pair = replace(pair, device=device, device_map=None)
    if not pair.date:
        kept = read_json(work / DATE)
        said = kept.get("date") if isinstance(kept, dict) else None
        pair = replace(pair, date=said if isinstance(said, str) else date.today().isoformat())
    spec = ModelsSpec(pair, config.dtype, folders, config.judges)
    models = Models(spec)
    return BuildContext(config, work, models, make(spec, models))
