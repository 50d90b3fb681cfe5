"""The tables of the study of kinds of neurons, from numbers that were read and answered; see `kinds`."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from explorer.data.suites_io import Prompt
from explorer.neurons.ranking import Ranking
from explorer.neurons.segments import SEGMENTS
from explorer.neurons.sets import NeuronSet
from explorer.studies.clustering import Clusters, stability
from explorer.studies.compared_sets import SET
from explorer.studies.documented import FRACTION, NEURON, RANKING, SUITE, TOKENS, K, N
from explorer.studies.effect import by_prompt
from explorer.studies.neuron_features import Profiles
from explorer.studies.statistics import mean, paired_difference
from explorer.studies.study import Column, Table

FOUR = ("alone", "without", "part", "without_part")
"""What is patched for each kind: it alone, the set without it, and the same of as many neurons drawn from the set."""

STABLE_DRAWS = 5
"""Random sets whose stability is measured."""

KIND = Column("kind", "its number, from 1, the largest first")
_ALL = Column("kind", "its number, from 1; 0 for the whole set")

TABLES = (
    Table(
        "kinds",
        "one kind: a cluster of the top set",
        (
            RANKING,
            FRACTION,
            K,
            KIND,
            Column("neurons", "in the kind"),
            Column("score_share", "the kind's share of the sum of the set's scores, 0 to 1"),
            Column("layer", "the median layer of its neurons, from 0"),
            Column("layer_first", "the layer that a tenth of them lies below"),
            Column("layer_last", "the layer that a tenth of them lies above"),
            Column("raised", "share of its neurons whose mean activation is higher in M2, 0 to 1"),
            Column("silhouette", "mean silhouette of its neurons, −1 to 1"),
            SUITE,
            N,
            TOKENS,
            Column("refusal_m1", "share of M1's answers that refuse, 0 to 1"),
            Column("refusal_m2", "the same of M2's"),
            Column("refusal_set", "the same of M1 with the whole set patched", True),
            Column("refusal_alone", "the same with the kind alone patched", True),
            Column("refusal_part", "the same with as many neurons of the set, drawn at random, patched", True),
            Column("refusal_alone_above", "refusal_alone − refusal_part over the same prompts", True),
            Column("refusal_without", "the same with the set patched without the kind", True),
            Column("refusal_without_part", "the same with the set patched without as many neurons at random", True),
            Column("refusal_without_above", "refusal_without − refusal_without_part over the same prompts", True),
            Column("cost_m1", "mean cost of M1's answers, log-odds; nan without a cost"),
            Column("cost_set", "the same of M1 with the whole set patched", True),
            Column("cost_alone", "the same with the kind alone patched", True),
            Column("cost_without", "the same with the set patched without the kind", True),
            Column("degenerate_alone", "share of degenerate answers with the kind alone patched, 0 to 1", True),
            Column("degenerate_without", "the same with the set patched without the kind", True),
        ),
    ),
    Table(
        "kinds_structure",
        "one number of clusters of one set",
        (
            SET,
            Column("draw", "number of the random draw, from 0; −1 for a top set"),
            Column("neurons", "in the set"),
            Column("clusters", "how many"),
            Column("silhouette", "mean silhouette of k-means with so many clusters, −1 to 1"),
            Column("chosen", "whether this is the set's highest"),
            Column(
                "stability",
                "mean adjusted Rand index of the chosen partition with those of bootstrap resamples of the neurons; "
                "nan where it was not measured",
                True,
            ),
        ),
    ),
    Table(
        "kinds_profile",
        "what one kind does in one segment of the texts of one suite",
        (
            SET,
            _ALL,
            SUITE,
            Column(
                "segment",
                "before, instruction, after, last, first or later: the template before and behind the "
                "instruction, the last prompt token, the first answer token, the later ones",
            ),
            Column("neurons", "in the kind"),
            Column("change", "mean |M2's activation − M1's|, activation units"),
            Column(
                "relative",
                "the same over each neuron's own mean on the first suite, mean over the kind's neurons; its interval "
                "is over neurons",
                True,
            ),
            Column("mean1", "mean activation in M1, activation units"),
            Column("mean2", "the same in M2"),
        ),
    ),
    Table(
        "kinds_neurons",
        "one neuron of the top set",
        (
            Column("rank", "in the ranking, from 1"),
            *NEURON,
            KIND,
            Column("silhouette", "of the neuron in the partition, −1 to 1"),
            Column("score", "in the ranking"),
            Column("mean1", "mean activation in M1 on the first suite, activation units"),
            Column("mean2", "the same in M2"),
            Column("change", "mean |M2's − M1's| there"),
        ),
    ),
    Table(
        "kinds_tokens",
        "one token at one end of what one kind writes, its neurons times their mean change",
        (
            KIND,
            Column("direction", "promotes or suppresses"),
            Column("place", "from 1, the strongest"),
            Column("token", "of the vocabulary, as text"),
            Column("logit", "after the last norm, less the mean over the vocabulary"),
        ),
    ),
    Table(
        "kinds_prompts",
        "one of the prompts on which M2 changes one kind most",
        (
            KIND,
            Column("place", "from 1, the most"),
            SUITE,
            Column("prompt_id", "the prompt's id in its suite"),
            Column("prompt", "its text; prompts that the run may not hold are left out"),
            Column("activity", "mean |M2's − M1's| over the neurons' own mean on the first suite, mean over the kind"),
            Column("activity_set", "the same over the whole set"),
        ),
    ),
)


def kind_rows(
    cells: dict[str, object],
    top: NeuronSet,
    found: Clusters,
    scores: np.ndarray,
    profiles: Profiles,
    answers: pd.DataFrame,
) -> pd.DataFrame:
    """The table `kinds`.

    Args:
        cells: ranking, fraction, k, suite and max_new_tokens.
        top: the whole set.
        found: its partition.
        scores: [layers, neurons], of the ranking.
        profiles: of the set's neurons.
        answers: columns condition (−1 M1, −2 M2, 0 the whole set, then FOUR for every kind), prompt_id and the scores.
    """
    own = scores[top.layers, top.neurons].astype(np.float64)
    raised = profiles.overall(0, "m2") > profiles.overall(0, "m1")
    by = {int(str(number)): part for number, part in answers.groupby("condition", sort=False)}

    def column(condition: int, score: str) -> np.ndarray:
        return by_prompt(by[condition], score).loc[by_prompt(by[-1], score).index].to_numpy()

    rows = []
    for kind in range(found.k):
        mine = found.labels == kind
        layers = top.layers[mine]
        at = {name: 1 + len(FOUR) * kind + number for number, name in enumerate(FOUR)}
        row = {c: cells[c] for c in ("ranking", "fraction", "k")}
        row |= {"kind": kind + 1, "neurons": int(mine.sum()), "score_share": float(own[mine].sum() / own.sum())}
        row |= {"layer": float(np.median(layers)), "layer_first": float(np.quantile(layers, 0.1))}
        row |= {"layer_last": float(np.quantile(layers, 0.9)), "raised": float(raised[mine].mean())}
        row |= {"silhouette": float(found.each[mine].mean()), "suite": cells["suite"]}
        row |= {"n": by[-1]["prompt_id"].nunique(), "max_new_tokens": cells["max_new_tokens"]}
        refusals = {name: column(number, "refusal") for name, number in {"set": 0, **at}.items()}
        row |= {f"refusal_{m}": float(column(c, "refusal").mean()) for m, c in (("m1", -1), ("m2", -2))}
        for name, values in refusals.items():
            row |= mean(values).columns(f"refusal_{name}")
        row |= paired_difference(refusals["part"], refusals["alone"]).columns("refusal_alone_above")
        row |= paired_difference(refusals["without_part"], refusals["without"]).columns("refusal_without_above")
        row["cost_m1"] = float(column(-1, "cost").mean())
        for name, condition in (("set", 0), ("alone", at["alone"]), ("without", at["without"])):
            row |= mean(column(condition, "cost")).columns(f"cost_{name}")
        for name in ("alone", "without"):
            row |= mean(column(at[name], "degenerate")).columns(f"degenerate_{name}")
        rows.append(row)
    return pd.DataFrame(rows)


def structure_rows(
    sizes: Mapping[str, int],
    found: Mapping[tuple[str, int], Clusters | None],
    features: Mapping[tuple[str, int], np.ndarray],
) -> pd.DataFrame:
    """The table `kinds_structure`.

    Args:
        sizes: neurons of a set, by its name.
        found: the partition of each set, by its name and draw.
        features: what was clustered.
    """
    rows = []
    for (name, draw), partition in found.items():
        if partition is None:
            continue
        for k, silhouette in partition.silhouettes.items():
            row = {"set": name, "draw": draw, "neurons": sizes[name], "clusters": k, "silhouette": silhouette}
            chosen = k == partition.k
            like = stability(features[name, draw], partition.labels) if chosen and draw < STABLE_DRAWS else np.zeros(0)
            low, high = np.quantile(like, [0.025, 0.975]) if len(like) else (np.nan, np.nan)
            row |= {"chosen": chosen, "stability": float(like.mean()) if len(like) else np.nan}
            rows.append(row | {"stability_low": float(low), "stability_high": float(high)})
    return pd.DataFrame(rows)


def profile_rows(groups: Mapping[tuple[str, int], Profiles]) -> pd.DataFrame:
    """The table `kinds_profile`, of the neurons of each set and kind; segments without positions are left out."""
    rows = []
    for (name, kind), profiles in groups.items():
        for number, suite in enumerate(profiles.suites):
            relative, change = profiles.relative(number), profiles.mean(number, "moved")
            mean1, mean2 = profiles.mean(number, "m1"), profiles.mean(number, "m2")
            for at, segment in enumerate(SEGMENTS):
                known = np.isfinite(change[at])
                if not known.any():
                    continue
                row = {"set": name, "kind": kind, "suite": suite, "segment": segment, "neurons": change.shape[1]}
                row |= {"change": float(change[at, known].mean())} | mean(relative[at, known]).columns("relative")
                row |= {"mean1": float(mean1[at, known].mean()), "mean2": float(mean2[at, known].mean())}
                rows.append(row)
    return pd.DataFrame(rows)


def neuron_rows(top: NeuronSet, found: Clusters, ranking: Ranking, profiles: Profiles) -> pd.DataFrame:
    """The table `kinds_neurons`, in the order of the ranking."""
    at = (top.layers, top.neurons)
    return pd.DataFrame(
        {
            "rank": ranking.ranks[at],
            "layer": top.layers,
            "neuron": top.neurons,
            "kind": found.labels + 1,
            "silhouette": found.each.astype(np.float32),
            "score": ranking.scores[at].astype(np.float32),
            "mean1": profiles.overall(0, "m1").astype(np.float32),
            "mean2": profiles.overall(0, "m2").astype(np.float32),
            "change": profiles.overall(0, "moved").astype(np.float32),
        }
    )


def prompt_rows(
    profiles: Profiles, found: Clusters, own: Sequence[tuple[str, int, Prompt]], shown: int
) -> pd.DataFrame:
    """The table `kinds_prompts`.

    Args:
        profiles: of the set's neurons.
        found: the partition.
        own: the prompts that may be shown, each with its suite and its number there.
        shown: of each kind.
    """
    usual = profiles.overall(0, "moved")
    usual = np.where(usual > 0, usual, np.inf)
    number = {suite: i for i, suite in enumerate(profiles.suites)}
    activity = [profiles.sums[number[suite]]["prompts"][at] / usual for suite, at, _ in own]
    rows = []
    for kind in range(found.k if own else 0):
        mine = np.array([values[found.labels == kind].mean() for values in activity])
        for place, at in enumerate(np.argsort(-mine, kind="stable")[:shown].tolist(), 1):
            suite, _, prompt = own[at]
            row = {"kind": kind + 1, "place": place, "suite": suite, "prompt_id": prompt.id, "prompt": prompt.prompt}
            rows.append(row | {"activity": float(mine[at]), "activity_set": float(activity[at].mean())})
    return pd.DataFrame(rows, columns=[c.name for c in TABLES[-1].columns])


def weights_of(profiles: Profiles, found: Clusters) -> np.ndarray:
    """float64 [kinds, k]: the mean change of each kind's neurons where the answer is predicted; 0 for the others'."""
    sums, names = profiles.sums[0], list(SEGMENTS)
    at = [names.index(segment) for segment in ("last", "first", "later")]
    count = np.maximum(1, sums["count"][at].sum(axis=0))
    change = (sums["m2"] - sums["m1"])[at].sum(axis=0) / count
    return np.where(found.labels[None] == np.arange(found.k)[:, None], change[None], 0.0)
