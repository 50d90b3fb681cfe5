"""Build a run from a configuration: contrast, answer, score, study, inspect, publish.

build(read_build_config("configs/build/demo.toml"))
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import explorer
from explorer.data.suites_io import Prompt, load_suite
from explorer.errors import ExplorerError
from explorer.models import adapters, embedded
from explorer.models.pair_file import EMBEDDED, ModelSpec, PairSpec, SeriesStep, read_pair_file
from explorer.neurons.scores import ChangeScores
from explorer.neurons.sets import NeuronSet
from explorer.paths import runs_folder
from explorer.pipeline.config import AnswerSpec, BuildConfig, RankingSpec, SeriesSpec
from explorer.pipeline.stages import Progress, Stage, digest, read_json, run_stage, write_json
from explorer.runs.format import TABLES, TENSORS
from explorer.runs.writer import RunWriter, read_change_scores, read_parts

if TYPE_CHECKING:
    from explorer.models.pair import Pair

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "safetensors",
)
CHUNK = 16
"""Prompts answered between two checkpoints: an interrupted build loses at most these."""


def build(config: BuildConfig, *, resume: bool = True, progress: Progress | None = None) -> Path:
    """Compute every stage that is not there yet and publish the run.

    Args:
        config: what to build.
        resume: use what an earlier build left; else start over.
        progress: called with a stage's name and the share of it that is done.

    Returns:
        The run's folder.

    Raises:
        ExplorerError: a setting, a model or a prompt suite is not usable. What was computed stays.
    """
    work = runs_folder() / f".build-{config.name}"
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    builder = _Builder(config, work, progress or (lambda _stage, _share: None))
    return builder.publish(runs_folder() / config.name)


class _Builder:
    """The stages of one build, and what they share: the pair, loaded only when a stage needs it."""

    def __init__(self, config: BuildConfig, work: Path, progress: Progress) -> None:
        self.config, self.work, self.progress = config, work, progress
        self.writer = RunWriter(work)
        self.spec = read_pair_file(config.pair)
        self.pair_digests = _pair_digests(self.spec)
        suites = {r.suite for r in config.rankings} | {a.suite for a in config.answers} | set(config.detail.suites)
        suites |= {config.series.suite, config.series.answers} if config.series else set()
        self.suites: dict[str, list[Prompt]] = {name: load_suite(name) for name in sorted(suites)}
        self._pair: Pair | None = None

    @property
    def pair(self) -> "Pair":
        if self._pair is None:
            from explorer.models.pair import load_pair

            self._pair = load_pair(self.spec, dtype=self.config.dtype)
        return self._pair

    def publish(self, target: Path) -> Path:
        rankings = {spec.name: self._stage(self._ranking(spec)) for spec in self.config.rankings}
        for spec in self.config.answers:
            self._stage(self._answers(spec))
        if self.config.answers:
            self._stage(self._tables())
        if self.config.series:
            self._stage(self._series_table(self.config.series))
        self._stage(self._projection())
        self._stage(self._words())
        shape = self._stage(self._shape())
        self.writer.publish(self._manifest(rankings, shape), target)
        return target

    def _stage(self, stage: Stage) -> Any:
        return run_stage(stage, self.work, self.progress)

    # -- stages ----------------------------------------------------------------------------------

    def _shape(self) -> Stage:
        def run(_tell: Callable[[float], None]) -> dict[str, Any]:
            p = self.pair
            return {"n_layers": p.n_layers, "n_neurons": p.n_neurons, "shared": p.shared}

        return Stage("shape", {"pair": self.pair_digests}, run, ())

    def _ranking(self, spec: RankingSpec) -> Stage:
        prompts = [p.prompt for p in self.suites[spec.suite][: spec.limit]]
        options = asdict(spec)
        options.pop("name")

        def run(tell: Callable[[float], None]) -> dict[str, Any]:
            changes = explorer.contrast(
                self.pair,
                prompts,
                spec.max_new_tokens,
                positions=spec.positions,
                answers=spec.answers,
                exclude_layers=spec.exclude_layers,
                progress=tell,
            )
            changes.meta["suite"] = spec.suite
            return self.writer.change_scores(spec.name, changes)

        inputs = {"models": self._models(), "options": options, "prompts": digest(prompts)}
        return Stage(f"ranking-{spec.name}", inputs, run, (f"{TENSORS}/{spec.name}.safetensors",))

    def _answers(self, spec: AnswerSpec) -> Stage:
        prompts = self.suites[spec.suite][: spec.limit]
        parts = self.work / "parts" / spec.suite
        inputs = {
            "models": self._models(),
            "options": asdict(spec),
            "tokens": self.config.max_new_tokens,
            "scorers": self._scorer_keys(),
            "prompts": digest([p.prompt for p in prompts]),
            "ranking": self._ranking_key(spec.ranking),
        }
        key = digest(inputs)

        def run(tell: Callable[[float], None]) -> None:
            sets = self._sets(spec)
            for start in range(0, len(prompts), CHUNK):
                part = parts / f"{start}.json"
                known = read_json(part)
                if not (isinstance(known, dict) and known.get("key") == key):
                    rows = self._answer_chunk(spec, prompts[start : start + CHUNK], sets)
                    write_json(part, {"key": key, "rows": rows})
                tell((start + CHUNK) / len(prompts))
            rows = [r for start in range(0, len(prompts), CHUNK) for r in read_json(parts / f"{start}.json")["rows"]]
            write_json(self.work / "parts" / f"{spec.suite}.json", rows)

        return Stage(f"answers-{spec.suite}", inputs, run, (f"parts/{spec.suite}.json",))

    def _sets(self, spec: AnswerSpec) -> list[tuple[dict[str, Any], NeuronSet]]:
        """The sets to patch, each with its cells in the answers table."""
        changes = read_change_scores(self.work, spec.ranking)
        sets = []
        for fraction in spec.fractions:
            safety = changes.top(fraction=fraction)
            sets.append(({"set": "safety", "seed": -1, "fraction": fraction}, safety))
            if 2 * int(safety.per_layer().max(initial=0)) > safety.n_neurons:
                continue  # more than half of a layer is chosen: no disjoint control exists
            sets += [
                ({"set": "random", "seed": seed, "fraction": fraction}, NeuronSet.random_like(safety, seed=seed))
                for seed in spec.random_seeds
            ]
        return sets

    def _answer_chunk(
        self, spec: AnswerSpec, prompts: list[Prompt], sets: list[tuple[dict[str, Any], NeuronSet]]
    ) -> list[dict[str, Any]]:
        from explorer.scoring.registry import load_scorer

        texts = [p.prompt for p in prompts]
        out = explorer.sweep(self.pair, texts, [ns for _, ns in sets], self.config.max_new_tokens, max_rows=128)
        plain = {"set": "", "seed": -1, "fraction": float("nan")}
        columns = [("unpatched", plain, out.unpatched), ("aligned", plain, out.aligned)]
        columns += [("patched", cells, answers) for (cells, _), answers in zip(sets, out.patched, strict=True)]
        refusal = load_scorer("refusal")
        cost = load_scorer("demo-cost", self.pair) if "demo-cost" in self.config.scorers else None
        rows = []
        for column, cells, answers in columns:
            written = [a.text for a in answers]
            costs = cost.score(texts, written) if cost else np.full(len(texts), np.nan)
            for prompt, answer, refused, log_odds in zip(
                prompts, answers, refusal.score(texts, written), costs, strict=True
            ):
                rows.append(
                    {
                        "suite": spec.suite,
                        "prompt_id": prompt.id,
                        "prompt": prompt.prompt,
                        "category": prompt.category,
                        "column": column,
                        **cells,
                        "answer": answer.text,
                        "tokens": len(answer.token_ids),
                        "cost": float(log_odds),
                        "refused": bool(refused),
                    }
                )
        return rows

    def _tables(self) -> Stage:
        inputs = {spec.suite: self._answers(spec).key for spec in self.config.answers}

        def run(_tell: Callable[[float], None]) -> None:
            from explorer.studies.effect import effect_table, model_table

            rows = [row for suite in inputs for row in read_json(self.work / "parts" / f"{suite}.json")]
            answers = pd.DataFrame(rows)
            tokens = self.config.max_new_tokens
            self.writer.table("answers", answers)
            self.writer.table("models", model_table(answers, tokens))
            total = read_change_scores(self.work, self.config.rankings[0].name).scores.size
            self.writer.table("effect", effect_table(answers, tokens, total))

        return Stage("tables", inputs, run, tuple(f"{TABLES}/{t}.parquet" for t in ("answers", "models", "effect")))

    def _series_step(self, spec: SeriesSpec, step: SeriesStep) -> Stage:
        prompts = [p.prompt for p in self.suites[spec.suite][: spec.limit]]
        asked = [p.prompt for p in self.suites[spec.answers][: spec.answers_limit]]
        tokens, name = self.config.max_new_tokens, f"series-{step.step}"
        inputs = {
            "models": self._models(),
            "step": _model_digest(step.model),
            "options": asdict(spec),
            "tokens": tokens,
            "prompts": [digest(prompts), digest(asked)],
        }

        def run(tell: Callable[[float], None]) -> dict[str, Any]:
            from explorer.studies.series import step_rows

            pair = self.pair.with_m2(step.model)
            changes = explorer.contrast(pair, prompts, tokens, progress=lambda share: tell(share / 2))
            rows = step_rows(pair, step.step, changes, asked, spec.fractions, tokens)
            return {"about": self.writer.change_scores(name, changes), "rows": rows}

        return Stage(name, inputs, run, (f"{TENSORS}/{name}.safetensors",))

    def _series_table(self, spec: SeriesSpec) -> Stage:
        if not self.spec.series:
            raise ExplorerError(f"{self.config.source} has a table [series], but its pair file lists no series.")
        stages = {step.step: self._series_step(spec, step) for step in self.spec.series}

        def run(_tell: Callable[[float], None]) -> None:
            from explorer.studies.series import series_table

            rows: list[dict[str, Any]] = []
            rankings: dict[int, ChangeScores] = {}
            for number, stage in stages.items():
                found = self._stage(stage)
                rows += found["rows"]
                rankings[number] = read_parts(self.work, stage.name, found["about"])
            self.writer.table("series", series_table(rows, rankings))

        return Stage("series", {str(step): s.key for step, s in stages.items()}, run, (f"{TABLES}/series.parquet",))

    def _projection(self) -> Stage:
        detail = self.config.detail
        inputs = {"models": self._models(), "detail": asdict(detail), "ranking": self._ranking_key(detail.ranking)}

        def run(_tell: Callable[[float], None]) -> None:
            from explorer.neurons.inspect import project

            self.writer.table("projection", project(self.pair, self._top(), detail.tokens))

        return Stage("projection", inputs, run, (f"{TABLES}/projection.parquet",))

    def _words(self) -> Stage:
        detail = self.config.detail
        chosen = [(s, p) for s in detail.suites for p in self.suites[s][: detail.texts_per_suite]]
        inputs = {
            "models": self._models(),
            "detail": asdict(detail),
            "ranking": self._ranking_key(detail.ranking),
            "prompts": [p.prompt for _, p in chosen],
            "tokens": self.config.max_new_tokens,
        }

        def run(tell: Callable[[float], None]) -> None:
            from explorer.neurons.inspect import read_words

            top = self._top()
            seen = []
            for number, (suite, prompt) in enumerate(chosen):
                read = read_words(self.pair, prompt.prompt, top, self.config.max_new_tokens)
                words = read.words.assign(text=number, suite=suite, prompt_id=prompt.id)
                seen.append((words, read.m1, read.m2))
                tell((number + 1) / len(chosen))
            self.writer.table("words", pd.concat([words for words, _, _ in seen], ignore_index=True))
            self.writer.tensors(
                "words",
                {
                    "layers": top.layers,
                    "neurons": top.neurons,
                    "m1": np.concatenate([m1 for _, m1, _ in seen], axis=1).astype(np.float16),
                    "m2": np.concatenate([m2 for _, _, m2 in seen], axis=1).astype(np.float16),
                },
            )

        return Stage("words", inputs, run, (f"{TABLES}/words.parquet", f"{TENSORS}/words.safetensors"))

    # -- what stages share -----------------------------------------------------------------------

    def _top(self) -> NeuronSet:
        changes: ChangeScores = read_change_scores(self.work, self.config.detail.ranking)
        return changes.top(min(self.config.detail.neurons, len(changes.order)))

    def _models(self) -> dict[str, Any]:
        return {"pair": self.pair_digests, "dtype": self.config.dtype}

    def _scorer_keys(self) -> dict[str, str]:
        """What each scorer says of itself, and the digest of its head: another head is another score."""
        from explorer.scoring.registry import describe, head_digest

        return {name: f"{describe(name)} {head_digest(name)}" for name in self.config.scorers}

    def _ranking_key(self, name: str) -> str:
        return self._ranking(next(r for r in self.config.rankings if r.name == name)).key

    def _manifest(self, rankings: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
        from datetime import UTC, datetime

        from explorer.scoring.registry import describe

        return {
            "name": self.config.name,
            "title": self.config.title,
            "description": self.config.description,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "explorer_version": explorer.__version__,
            "pair": {
                "name": self.spec.name,
                "file": self.config.pair if not Path(self.config.pair).is_absolute() else Path(self.config.pair).name,
                "dtype": self.config.dtype,
                **shape,
                **self.pair_digests,
            },
            "decoding": {"greedy": True, "max_new_tokens": self.config.max_new_tokens},
            "scorers": {name: describe(name) for name in self.config.scorers},
            "suites": {
                name: {"n": len(self.suites[name]), "sha256": digest([p.prompt for p in self.suites[name]])}
                for name in self.suites
            },
            "answers": [asdict(spec) for spec in self.config.answers],
            "detail": asdict(self.config.detail),
            "seeds": {
                "random_controls": sorted({s for a in self.config.answers for s in a.random_seeds}),
                "bootstrap": 0,
            },
            "packages": {name: metadata.version(name) for name in PACKAGES},
            "rankings": rankings,
        }


def _pair_digests(spec: PairSpec) -> dict[str, Any]:
    """What both models are made of, with a digest of everything that lies on this machine."""
    return {"m1": _model_digest(spec.m1), "m2": _model_digest(spec.m2)}


def _model_digest(model: ModelSpec) -> dict[str, Any]:
    if model.base.startswith(EMBEDDED):
        base, sha = model.base, embedded.digest()
    else:
        folder = Path(model.base)
        base = folder.name if folder.is_dir() else model.base
        sha = _folder_digest(folder) if folder.is_dir() else "by its name on the hub"
    parts = [{"name": Path(a).name, "sha256": adapters.digest(Path(a))} for a in model.adapters if Path(a).is_dir()]
    parts += [{"name": a, "sha256": "by its name on the hub"} for a in model.adapters if not Path(a).is_dir()]
    return {"base": base, "digest": sha, "adapters": parts}


def _folder_digest(folder: Path) -> str:
    """A digest of a checkpoint folder by its files' names, sizes and weights' headers' bytes."""
    from explorer.runs.format import sha256_file

    return digest({p.name: sha256_file(p) for p in sorted(folder.iterdir()) if p.is_file()})
