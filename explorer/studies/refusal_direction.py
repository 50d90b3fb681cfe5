"""Is the effect of patching carried by the refusal direction (Arditi et al. 2406.11717)? (table `refusal_direction`)

The direction is M2's difference of means between harmful and harmless prompts, of a layer that is chosen on held-out
training prompts. It is projected out of patched M1 at every layer and position, beside differences of random halves of
the same prompts; and its cosine with what patching changes in the residual stream stands beside random neurons'.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.data.suites_io import Prompt
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress as Tell
from explorer.schema import Count, Distinct, Fraction, Place
from explorer.studies import direction_tables as tables_of
from explorer.studies import statistics
from explorer.studies.answering import answer_rows
from explorer.studies.compared_sets import RANDOM, ComparedSet, compared_sets
from explorer.studies.direction_words import direction_sentence
from explorer.studies.directions import candidates, choose_layer, cosines, difference, halves
from explorer.studies.first_tokens import ReadsMargin, margin_of
from explorer.studies.given import Build, LoadedModels
from explorer.studies.joining import Part
from explorer.studies.planning import CHUNK, chunks, share
from explorer.studies.study import Needs, inputs

if TYPE_CHECKING:
    from explorer.engine.token_margin import TokenMargin

ROWS = 96
"""Rows of a forward pass while directions are projected out."""


@dataclass(frozen=True)
class RefusalDirectionSpec:
    """The refusal direction, and patching with it projected out.

    Attributes:
        ranking: whose top set is patched.
        beside: other rankings whose top sets are.
        fraction: the size of the top sets.
        harmful, harmless: the suites whose difference of means is the direction; none that anything is measured on.
        prompts: of each of them.
        held_out: the prompts behind those, of each suite, that the layer is chosen on.
        suite: what is answered.
        limit: prompts of it that are answered, at most.
        compared: prompts of it on which the direction is compared with what patching changes, at most.
        draws: random sets for that comparison.
        controls: directions of random halves.
    """

    ranking: Place = "safety"
    beside: Annotated[tuple[Place, ...], Distinct] = ()
    fraction: Fraction = 0.01
    harmful: Place = "redteam_train"
    harmless: Place = "ordinary_train"
    prompts: Annotated[int, Interval(ge=4, le=10_000)] = 128
    held_out: Annotated[int, Interval(ge=1, le=10_000)] = 16
    suite: Place = "redteam_eval"
    limit: Count = 112
    compared: Count = 48
    draws: Annotated[int, Interval(ge=1, le=50)] = 5
    controls: Annotated[int, Interval(ge=1, le=20)] = 2


class RefusalDirection(ReadsMargin[RefusalDirectionSpec]):
    """The refusal direction by layer, its likeness to what patching changes, and answers with it projected out."""

    name, title, settings = "refusal_direction", "The refusal direction", RefusalDirectionSpec
    often, ranked = False, True
    tables = tables_of.TABLES

    def needs(self, asked: RefusalDirectionSpec) -> Needs:
        """See `Study.needs`."""
        rankings = (asked.ranking, *asked.beside)
        return Needs(rankings, prompts=(asked.suite, asked.harmful, asked.harmless), tables=("first_tokens",))

    def part(self, build: Build, asked: RefusalDirectionSpec, number: int) -> Part:
        """See `Study.part`."""
        tokens = build.config.max_new_tokens
        training = {suite: build.prompts(suite) for suite in (asked.harmful, asked.harmless)}
        learned = {suite: ps[: _learned(ps, asked)] for suite, ps in training.items()}
        held = {suite: ps[_learned(ps, asked) :][: asked.held_out] for suite, ps in training.items()}
        answered, compared = build.prompts(asked.suite, asked.limit), build.prompts(asked.suite, asked.compared)
        depends = inputs(build, asked, self.needs(asked)) | {"statistics": statistics.VERSION}

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            def read(task: Any, how: Any, prompts: list[Prompt], step: int) -> list[Any]:
                texts = chunks([p.prompt for p in prompts], CHUNK)
                return list(build.read(task, how, texts, share(tell, step, 8)))

            second = build.config.model_of(asked.ranking)
            means = {
                suite: np.concatenate([p["residuals"] for p in read(read_last, LastToken(second), ps, i)], axis=2)
                for i, (suite, ps) in enumerate(learned.items())
            }
            harmful, harmless = means[asked.harmful], means[asked.harmless]
            directions = np.stack([difference(harmful[m], harmless[m]) for m in (0, 1)])
            lengths = np.linalg.norm(directions, axis=-1)
            kept = np.flatnonzero(candidates(lengths[1]))
            trial = Trial(second, directions[1][kept], margin_of(build.table("first_tokens")))
            tried = {suite: read(try_layers, trial, ps, 2 + i) for i, (suite, ps) in enumerate(held.items())}
            margin = np.concatenate([p["margin"] for p in tried[asked.harmful]], axis=1)
            kl = np.concatenate([p["kl"] for p in tried[asked.harmless]], axis=1)
            margins, kls = (_by_layer(a[1:], kept, len(lengths[1])) for a in (margin, kl))
            choice = choose_layer(lengths[1], np.nan_to_num(margins.mean(axis=1), nan=np.inf), kls.mean(axis=1))
            chosen = directions[1][choice.layer]
            controls = [
                halves(harmful[1][choice.layer], harmless[1][choice.layer], seed) for seed in range(asked.controls)
            ]
            sets = compared_sets(build, asked.ranking, asked.beside, asked.fraction)
            drawn = [NeuronSet.random_like(sets[0].neurons, seed=seed) for seed in range(asked.draws)]
            tops = [one for one in sets if one.name != RANDOM]
            changes = Changes(
                second, tuple(one.neurons for one in (*tops, *(ComparedSet(RANDOM, d) for d in drawn))), directions
            )
            seen = read(read_changes, changes, compared, 4)
            names = [(one.name, -1) for one in tops] + [(RANDOM, seed) for seed in range(asked.draws)]
            cells = {"ranking": asked.ranking, "fraction": asked.fraction, "k": len(sets[0].neurons)}
            cells |= {"layer": choice.layer, "suite": asked.suite, "max_new_tokens": tokens}
            answers = _answered(build, asked, sets, chosen, controls, answered, tell)
            return {
                "refusal_direction": tables_of.effect_rows(cells, answers),
                "refusal_direction_layers": tables_of.layer_rows(directions, margin[0], margins, kls, choice),
                "refusal_direction_cosines": tables_of.cosine_rows(names, seen),
                "refusal_direction_answers": tables_of.answer_table(answers, (asked.ranking, tables_of.M2)),
            }

        reading = sum(build.estimate(ps, 2, 0) for ps in learned.values())
        reading += sum(build.estimate(ps, 26, 0) for ps in held.values()) + build.estimate(compared, 9, 0)
        columns = 2 + 2 * (3 + len(asked.beside)) + 2 * (1 + asked.controls)
        return Part(depends, reading + build.estimate(answered, 2 * columns, tokens), run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        table = tables[self.name]
        return "" if table.empty else direction_sentence(table)


def _learned(prompts: list[Prompt], asked: RefusalDirectionSpec) -> int:
    """How many of a suite's prompts the direction is learned from; some are left to choose the layer on."""
    return min(asked.prompts, max(2, len(prompts) - asked.held_out))


def _by_layer(values: np.ndarray, kept: np.ndarray, layers: int) -> np.ndarray:
    """float [layers, prompts] from those of the layers that have a direction; nan elsewhere."""
    out = np.full((layers, values.shape[1]), np.nan)
    out[kept] = values
    return out


# -- what the models are asked -----------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """Directions that are tried one by one: float [directions, hidden], in the model `second`."""

    second: str
    directions: np.ndarray
    margin: "TokenMargin"


@dataclass(frozen=True)
class Changes:
    """Sets whose change of the residual stream is compared with directions, float [2, layers, hidden]: M1's, M2's."""

    second: str
    sets: tuple[NeuronSet, ...]
    directions: np.ndarray


@dataclass(frozen=True)
class Projecting:
    """How prompts are answered with a direction projected out of `first`.

    Attributes:
        tokens: length limit of an answer.
        first, second: names of the model that answers and of the one whose activations it gets.
        sets: what is patched in each column; nothing where empty.
        directions: float [hidden], what is projected out in each.
    """

    tokens: int
    first: str
    second: str
    sets: tuple[NeuronSet, ...]
    directions: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class LastToken:
    """Whose residual stream is read: M1's and that of the second model, by its name."""

    second: str


def read_last(models: LoadedModels, how: LastToken, prompts: list[str]) -> dict[str, np.ndarray]:
    """The residual stream at the last prompt token, float32 [M1 and M2, layers + 1, prompts, hidden]."""
    from explorer.engine.residuals import last_prompt_residuals

    pair = models.pair("m1", how.second)
    return {"residuals": last_prompt_residuals(pair, [pair.encode(p) for p in prompts])}


def try_layers(models: LoadedModels, how: Trial, prompts: list[str]) -> dict[str, np.ndarray]:
    """See `engine.projecting.Without`, of M2."""
    from explorer.engine.projecting import margins_without

    pair = models.pair(how.second, how.second)
    found = margins_without(pair, [pair.encode(p) for p in prompts], how.directions, how.margin)
    return {"margin": found.margin, "kl": found.kl}


def read_changes(models: LoadedModels, how: Changes, prompts: list[str]) -> dict[str, np.ndarray]:
    """What patching changes in the residual stream, beside the directions.

    Returns:
        cosine: float [2 (the direction of M1, of M2), sets + 1 (the last: M2 itself), layers + 1, prompts].
        along: the same shape, the change along the direction as a share of the direction's own length.
    """
    from explorer.engine.residuals import last_prompt_residuals

    pair = models.pair("m1", how.second)
    read = last_prompt_residuals(pair, [pair.encode(p) for p in prompts], how.sets)
    changed = read[1:] - read[0]
    cosine = np.stack([cosines(changed, d) for d in how.directions])
    length = np.linalg.norm(how.directions, axis=-1)[:, None, :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        along = cosine * np.linalg.norm(changed.astype(np.float64), axis=-1)[None] / length
    return {"cosine": cosine, "along": along}


def answer_projected(models: LoadedModels, how: Projecting, prompts: list[Prompt]) -> list[dict[str, Any]]:
    """Rows of answers with directions projected out; "condition" is the column's number."""
    from explorer.engine.projecting import Projected, answers_projected

    pair = models.pair(how.first, how.second)
    columns = [Projected(ns, direction) for ns, direction in zip(how.sets, how.directions, strict=True)]
    found = answers_projected(pair, [p.prompt for p in prompts], columns, how.tokens, max_rows=ROWS)
    return answer_rows(prompts, list(enumerate(found)))


def _answered(
    build: Build,
    asked: RefusalDirectionSpec,
    sets: list[ComparedSet],
    chosen: np.ndarray,
    controls: list[np.ndarray],
    prompts: list[Prompt],
    tell: Tell,
) -> dict[tuple[str, str, int], pd.DataFrame]:
    """The answers by what is patched (a set's name, m1, m2), direction (none, refusal, halves) and draw."""
    second, tokens = build.config.model_of(asked.ranking), build.config.max_new_tokens
    plain = build.patching(sets=tuple(one.neurons for one in sets), second=second)
    found = build.answer(plain, prompts, share(tell, 5, 8))
    out: dict[tuple[str, str, int], pd.DataFrame] = {}

    def take(frame: pd.DataFrame, keys: Mapping[int, tuple[str, str, int]]) -> None:
        for condition, name in keys.items():
            out[name] = frame[frame["condition"] == condition]

    names = {-1: tables_of.M1, -2: tables_of.M2, **{i: one.name for i, one in enumerate(sets)}}
    take(found, {number: (name, tables_of.NONE, -1) for number, name in names.items()})
    refusal = [(one.name, one.neurons, "refusal", -1, chosen) for one in sets]
    refusal.append((tables_of.M1, NeuronSet.empty(sets[0].neurons), "refusal", -1, chosen))
    halved = [(sets[0].name, sets[0].neurons, "halves", i, c) for i, c in enumerate(controls)]
    none = NeuronSet.empty(sets[0].neurons)
    aligned = [(tables_of.M2, none, "refusal", -1, chosen)]
    aligned += [(tables_of.M2, none, "halves", i, c) for i, c in enumerate(controls)]
    plans = (("m1", second, [*refusal, *halved]), (second, second, aligned))
    for step, (first, other, columns) in enumerate(plans):
        how = Projecting(tokens, first, other, tuple(c[1] for c in columns), tuple(c[4] for c in columns))
        frame = build.answer(how, prompts, share(tell, 6 + step, 8), answer_projected)
        take(frame, {i: (c[0], c[2], c[3]) for i, c in enumerate(columns)})
    return out
