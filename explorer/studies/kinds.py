"""Are there kinds of safety neurons? Clusters of a top set by what its neurons do (table `kinds` and those beside it).

What a neuron does is read in `engine.segments`, turned into features in `neuron_features`, and clustered in
`clustering`; `kinds_tables` writes the rows. Each kind is patched alone and left out of the set, beside as many neurons
of the set drawn at random; the structure of other rankings' top sets and of random neurons stands beside its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress as Tell
from explorer.schema import Count, Distinct, Fraction, Place, Places
from explorer.studies import kinds_tables as tables_of
from explorer.studies import statistics
from explorer.studies.clustering import Clusters, cluster, standardised
from explorer.studies.compared_sets import RANDOM
from explorer.studies.given import Build, LoadedModels
from explorer.studies.joining import Part
from explorer.studies.kinds_words import kinds_sentence
from explorer.studies.neuron_features import Profiles, features_of, profiles_of
from explorer.studies.planning import CHUNK, chunks, share
from explorer.studies.study import Needs, Study, inputs


@dataclass(frozen=True)
class KindsSpec:
    """Clusters of the top set of a ranking.

    Attributes:
        ranking: whose top set.
        beside: rankings whose top sets are clustered too, to compare how clearly.
        suites: whose prompts, with M2's answers, both models read; the first is answered with the kinds patched.
        fraction: the size of the top sets.
        draws: random sets of the same layers, to compare how clearly the neurons part.
        limit: prompts of each suite that are read, at most.
        answers: prompts of the first suite that are answered, at most.
        tokens: of the vocabulary at either end of what a kind writes.
        shown: prompts that are kept of each kind.
    """

    ranking: Place = "safety"
    beside: Annotated[tuple[Place, ...], Distinct] = ()
    suites: Places = ("redteam_eval", "ordinary_eval", "everyday_eval")
    fraction: Fraction = 0.01
    draws: Annotated[int, Interval(ge=1, le=200)] = 20
    limit: Count = 48
    answers: Count = 56
    tokens: Annotated[int, Interval(ge=1, le=100)] = 8
    shown: Annotated[int, Interval(ge=1, le=100)] = 5


class Kinds(Study[KindsSpec]):
    """Clusters of a top set: what they do over positions and prompts, what they write, and what they carry."""

    name, title, settings = "kinds", "Kinds of neurons", KindsSpec
    often, ranked = False, True
    tables = tables_of.TABLES

    def needs(self, asked: KindsSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking, *asked.beside), prompts=asked.suites)

    def part(self, build: Build, asked: KindsSpec, number: int) -> Part:
        """See `Study.part`."""
        prompts = {suite: build.prompts(suite, asked.limit) for suite in asked.suites}
        answered = build.prompts(asked.suites[0], asked.answers)
        tokens = build.config.max_new_tokens
        depends = inputs(build, asked, self.needs(asked)) | {"statistics": statistics.VERSION}

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            second = build.config.model_of(asked.ranking)
            sets = _sets(build, asked)
            union = reduce(or_, (ns for _, _, ns in sets))
            how = Reading(tokens, second, union)
            parts = []
            for i, ps in enumerate(prompts.values()):
                texts = chunks([p.prompt for p in ps], CHUNK)
                parts.append(list(build.read(read_segments, how, texts, share(tell, i, 2 * len(prompts)))))
            read = _Read(union, profiles_of(list(prompts), parts), build.ranking(asked.ranking).scores)
            found = {(name, draw): read.clusters(ns) for name, draw, ns in sets}
            top, mine = sets[0][2], found[asked.ranking, -1]
            if mine is None:
                raise ExplorerError(
                    f"The top set of {len(top)} neurons is too small to look for kinds in; raise fraction in [kinds]."
                )
            kinds = [NeuronSet.from_flat(top.flat()[mine.labels == kind], top) for kind in range(mine.k)]
            drawn = [parts_like(kind, top, seed) for seed, kind in enumerate(kinds)]
            patches = (top, *(ns for kind, part in zip(kinds, drawn, strict=True) for ns in _four(top, kind, part)))
            patching = build.patching(sets=patches, second=second)
            frame = build.answer(patching, answered, share(tell, 1, 2))
            cells = {"ranking": asked.ranking, "fraction": asked.fraction, "k": len(top)}
            return self._tables(build, asked, read, sets, found, kinds, frame, cells, second)

        reading = sum(build.estimate(ps, 4, tokens) for ps in prompts.values())
        return Part(depends, reading + build.estimate(answered, 2 * 12, tokens), run)

    def _tables(
        self,
        build: Build,
        asked: KindsSpec,
        read: "_Read",
        sets: "list[tuple[str, int, NeuronSet]]",
        found: "dict[tuple[str, int], Clusters | None]",
        kinds: list[NeuronSet],
        answers: pd.DataFrame,
        cells: dict[str, Any],
        second: str,
    ) -> dict[str, pd.DataFrame]:
        top, mine, ranking = sets[0][2], found[asked.ranking, -1], build.ranking(asked.ranking)
        assert mine is not None  # checked before anything was answered
        profiles = read.of(top)
        weights = tables_of.weights_of(profiles, mine)
        words = build.once(write_kinds, (second, top, weights, asked.tokens))
        random = reduce(or_, (ns for name, _, ns in sets if name == RANDOM))
        groups = {(asked.ranking, 0): profiles, (RANDOM, 0): read.of(random)}
        groups |= {(asked.ranking, number): read.of(ns) for number, ns in enumerate(kinds, 1)}
        own = [
            (suite, number, p)
            for suite in asked.suites
            for number, p in enumerate(build.prompts(suite, asked.limit))
            if not build.is_withheld(p)
        ]
        first = {"suite": asked.suites[0], "max_new_tokens": build.config.max_new_tokens}
        features = {(name, draw): read.features(ns) for name, draw, ns in sets}
        return {
            "kinds": tables_of.kind_rows(cells | first, top, mine, ranking.scores, profiles, answers),
            "kinds_structure": tables_of.structure_rows({n: len(ns) for n, _, ns in sets}, found, features),
            "kinds_profile": tables_of.profile_rows(groups),
            "kinds_neurons": tables_of.neuron_rows(top, mine, ranking, profiles),
            "kinds_tokens": words,
            "kinds_prompts": tables_of.prompt_rows(profiles, mine, own, asked.shown),
        }

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        kinds, structure = tables["kinds"], tables["kinds_structure"]
        return "" if kinds.empty or structure.empty else kinds_sentence(kinds, structure)


@dataclass(frozen=True)
class Reading:
    """Whose activations are read.

    Attributes:
        tokens: length limit of M2's answers.
        second: name of the aligned model.
        neurons: all that any set holds.
    """

    tokens: int
    second: str
    neurons: NeuronSet


def read_segments(models: LoadedModels, how: Reading, prompts: list[str]) -> dict[str, np.ndarray]:
    """Sums over the segments of prompts and M2's answers, see `engine.segments.SegmentSums`."""
    from explorer.engine.segments import segment_sums

    return segment_sums(models.pair("m1", how.second), prompts, how.neurons, how.tokens).to_arrays()


def write_kinds(models: LoadedModels, shared: tuple[str, NeuronSet, np.ndarray, int], _item: None) -> pd.DataFrame:
    """What each kind writes towards the vocabulary: the table `kinds_tokens`."""
    from explorer.engine.inspect import project_together

    second, ns, weights, tokens = shared
    table = project_together(models.pair("m1", second), ns, weights, tokens)
    return table.assign(kind=table["group"] + 1)[["kind", "direction", "place", "token", "logit"]]


@dataclass(frozen=True)
class _Read:
    """What was read of all sets' neurons."""

    union: NeuronSet
    profiles: Profiles
    scores: np.ndarray

    def of(self, ns: NeuronSet) -> Profiles:
        """Of one of the sets, in its order."""
        order = np.argsort(self.union.flat())
        return self.profiles.of(order[np.searchsorted(self.union.flat()[order], ns.flat())])

    def features(self, ns: NeuronSet) -> np.ndarray:
        """float64 [k, features], standardised within the set."""
        return standardised(features_of(self.of(ns), self.scores[ns.layers, ns.neurons], ns.layers))

    def clusters(self, ns: NeuronSet) -> Clusters | None:
        """The partition of a set."""
        return cluster(self.features(ns))


def _sets(build: Build, asked: KindsSpec) -> list[tuple[str, int, NeuronSet]]:
    """Every set by its name and draw (−1: none), the one whose kinds are looked for first."""
    tops = [(name, -1, build.ranking(name).top(fraction=asked.fraction)) for name in (asked.ranking, *asked.beside)]
    first = tops[0][2]
    return [*tops, *((RANDOM, seed, NeuronSet.random_like(first, seed=seed)) for seed in range(asked.draws))]


def parts_like(kind: NeuronSet, top: NeuronSet, seed: int) -> NeuronSet:
    """As many neurons of the set as a kind has, drawn at random from all of the set."""
    picked = np.random.default_rng(seed).choice(len(top), size=len(kind), replace=False)
    return NeuronSet.from_flat(top.flat()[np.sort(picked)], top)


def _four(top: NeuronSet, kind: NeuronSet, part: NeuronSet) -> Sequence[NeuronSet]:
    """What is patched for a kind, in the order of `kinds_tables.FOUR`."""
    return kind, top - kind, part, top - part
