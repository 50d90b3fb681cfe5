"""How each method gets from prompts to a ranking: a row of `RANKING_METHODS` each.

RANKING_METHODS[spec.method].compute(ctx, spec, texts, key, tell)

`studies.basis.Method` lets a build file name a method, `studies.words.METHODS` says what sentences call it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from explorer.digests import digest
from explorer.neurons.ranking import Ranking
from explorer.pipeline import tasks
from explorer.pipeline.models import STEP
from explorer.progress import Progress as Tell
from explorer.runs.columns import BY_CHANGE
from explorer.studies.basis import ONE_MODEL, RankingSpec
from explorer.studies.effect_size import effect_size
from explorer.studies.given import Build
from explorer.studies.planning import CHUNK, chunks, share
from explorer.studies.training_free import activation_variance, prompt_difference

Texts = Mapping[str, list[str]]
"""The prompts of each suite that is read, the ranking's own suite first."""

Make = Callable[[Sequence[Ranking], RankingSpec, dict[str, Any]], Ranking]
"""A ranking of the contrasts of the suites, in their order, and what it says of itself."""


class RankingMethod(Protocol):
    """One way to rank neurons."""

    @property
    def against(self) -> bool:
        """Whether it reads the suite `RankingSpec.against` beside the ranking's own."""
        ...

    def tokens(self, ctx: Build, spec: RankingSpec, texts: Texts) -> float:
        """About how many tokens the models read and write."""
        ...

    def compute(self, ctx: Build, spec: RankingSpec, texts: Texts, key: str, tell: Tell) -> Ranking:
        """The ranking; what models compute is kept under the stage's key."""
        ...


@dataclass(frozen=True)
class ByActivations:
    """By both models' activations at the same positions of the same texts.

    Attributes:
        make: the ranking of the contrasts.
        against: see `RankingMethod.against`.
    """

    make: Make
    against: bool = False

    def tokens(self, ctx: Build, spec: RankingSpec, texts: Texts) -> float:
        """See `RankingMethod.tokens`."""
        writes = spec.method not in ONE_MODEL and spec.positions in ("paper", "shifted")
        new = spec.max_new_tokens if writes else 0
        return sum(ctx.estimate(prompts, 2 + writes, new) for prompts in texts.values())

    def compute(self, ctx: Build, spec: RankingSpec, texts: Texts, key: str, tell: Tell) -> Ranking:
        """See `RankingMethod.compute`."""
        positions = "last_prompt" if spec.method in ONE_MODEL else spec.positions
        how = tasks.Contrasting(spec.max_new_tokens, positions, spec.answers, spec.adapter or "m2")
        meta: dict[str, Any] = {
            "positions": how.positions,
            "answers": spec.answers,
            "max_new_tokens": spec.max_new_tokens,
            "suite": spec.suite,
            "prompts": len(texts[spec.suite]),
        }
        extra = {"adapter": spec.adapter, "category": spec.category, "model": spec.model if spec.model != "m1" else ""}
        extra["method"] = spec.method if spec.method != BY_CHANGE else ""
        meta |= {name: value for name, value in extra.items() if value}
        found = [
            _contrast(ctx, spec, how, prompts, meta, key, suite, share(tell, i, len(texts)))
            for i, (suite, prompts) in enumerate(texts.items())
        ]
        return self.make(found, spec, meta)


@dataclass(frozen=True)
class ByGradients:
    """By attribution: gradients of the answers' log-probabilities."""

    against: bool = False

    def tokens(self, ctx: Build, spec: RankingSpec, texts: Texts) -> float:
        """See `RankingMethod.tokens`: two texts a prompt; a backward pass costs what a forward pass does."""
        passes = 2 * len(spec.attributing().steps) + 1
        return ctx.estimate(texts[spec.suite], 2 * passes + 2, spec.max_new_tokens)

    def compute(self, ctx: Build, spec: RankingSpec, texts: Texts, key: str, tell: Tell) -> Ranking:
        """See `RankingMethod.compute`."""
        from explorer.engine.attribution import attributions_of
        from explorer.engine.attribution_sums import AttributionSums

        how, prompts = spec.attributing(), texts[spec.suite]
        shared, some = tasks.Attribution(spec.adapter or "m2", vars(how)), chunks(prompts, CHUNK)
        parts = ctx.compute_in_pieces(
            f"ranking-{spec.name}", key, tasks.attribution_batches, tasks.attribute, shared, some, _added, tell
        )
        meta: dict[str, Any] = {
            "method": spec.method,
            "suite": spec.suite,
            "prompts": len(prompts),
            "positions": "all",
        }
        meta |= {name: value for name, value in (("adapter", spec.adapter), ("category", spec.category)) if value}
        sums = AttributionSums.total(parts)
        return attributions_of(sums, how, ctx.pair_name, meta, spec.exclude_layers).by(spec.end)


def _added(found: Iterator[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The sums of a part from those of its batches."""
    from explorer.engine.attribution_sums import AttributionSums

    return AttributionSums.total(found).to_arrays()


def _prompt_difference(found: Sequence[Ranking], spec: RankingSpec, meta: dict[str, Any]) -> Ranking:
    harmful, harmless = found
    return prompt_difference(harmful, harmless, meta | {"against": spec.against}, spec.model)


RANKING_METHODS: Mapping[str, RankingMethod] = {
    "contrast": ByActivations(lambda found, _spec, _meta: found[0]),
    "attribution": ByGradients(),
    "effect_size": ByActivations(lambda found, _spec, meta: effect_size(found[0], meta)),
    "prompt_difference": ByActivations(_prompt_difference, against=True),
    "activation_variance": ByActivations(lambda found, spec, meta: activation_variance(found[0], meta, spec.model)),
}
"""Every `studies.basis.Method`."""


def _contrast(
    ctx: Build,
    spec: RankingSpec,
    how: tasks.Contrasting,
    prompts: list[str],
    meta: dict[str, Any],
    key: str,
    suite: str,
    tell: Tell,
) -> Ranking:
    from explorer.engine.contrast import scores_of
    from explorer.engine.sane import check_sums
    from explorer.engine.sums import Sums

    parts = ctx.compute(
        f"ranking-{spec.name}", key, tasks.contrast, how, chunks(prompts, CHUNK), tell, digest(suite)[:8]
    )
    label = f"{ctx.pair_name}: {how.positions} positions of {how.answers.upper()}'s answers"
    sums = Sums.total(parts)
    if spec.method not in ONE_MODEL and not spec.adapter.startswith(STEP):  # a training may begin at M1 itself
        check_sums(sums, ctx.config.dtype)
    return scores_of(sums, label, meta, spec.exclude_layers)
