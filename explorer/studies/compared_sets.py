"""The neuron sets that the studies of the mechanism compare: top sets of rankings, and random neurons beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

from explorer.charts.labels import ranking_label
from explorer.neurons.sets import NeuronSet
from explorer.studies.given import Build
from explorer.studies.study import Column

RANDOM = "random"

SET = Column("set", "whose top neurons: a ranking's name, or random (as many in each layer as the first has)")


def by_words(name: str) -> str:
    """A ranking behind "by", within a sentence; the paper's is by change score."""
    label = "change score" if name == "safety" else ranking_label(name)
    return label[:1].lower() + label[1:]


@dataclass(frozen=True)
class ComparedSet:
    """One set, and what the tables call it: its ranking's name, or "random"."""

    name: str
    neurons: NeuronSet


def compared_sets(
    build: Build, ranking: str, beside: Sequence[str], fraction: float, seed: int = 0
) -> list[ComparedSet]:
    """The top sets of a ranking and of others, of one size, and random neurons of the same layers as the first's.

    Args:
        build: the build.
        ranking: whose set the random one is drawn like.
        beside: other rankings.
        fraction: of all neurons.
        seed: of the random draw.
    """
    first = build.ranking(ranking).top(fraction=fraction)
    others = [ComparedSet(name, build.ranking(name).top(fraction=fraction)) for name in beside]
    return [ComparedSet(ranking, first), *others, ComparedSet(RANDOM, NeuronSet.random_like(first, seed=seed))]
