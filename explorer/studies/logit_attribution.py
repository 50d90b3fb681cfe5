"""Direct logit attribution: what of a patch's effect the patched neurons write straight to the logits (three tables).

`logit_attribution`: by layer, for each set and for M2. `logit_attribution_neurons`: the neurons that write most.
`logit_attribution_prompts`: prompt by prompt. All at the last prompt token, where an answer's first token is chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.charts.neuron import visible
from explorer.data.suites_io import WITHHELD, Prompt
from explorer.progress import Progress as Tell
from explorer.schema import Count, Distinct, Fraction, Place
from explorer.studies import statistics
from explorer.studies.compared_sets import SET, ComparedSet, compared_sets
from explorer.studies.documented import FRACTION, NEURON, SUITE, K
from explorer.studies.first_tokens import ReadsMargin, margin_of
from explorer.studies.given import Build, LoadedModels
from explorer.studies.joining import Part
from explorer.studies.logit_words import ALL, M2, attribution_sentence
from explorer.studies.planning import CHUNK, chunks
from explorer.studies.statistics import Estimate, causal_effect, mean
from explorer.studies.study import Column, Needs, Table, inputs

if TYPE_CHECKING:
    from explorer.engine.token_margin import TokenMargin
    from explorer.neurons.sets import NeuronSet

BY_LAYER = ("direct", "neurons", "attention")
PARTS = (*BY_LAYER, "embedding", "readout", "total")
N_READ = Column("n", "prompts")


@dataclass(frozen=True)
class LogitAttributionSpec:
    """Sets whose effect on the refusal margin is split into what is written directly and the rest.

    Attributes:
        suite: the prompts.
        ranking: whose top set; its random neurons stand beside it.
        beside: further rankings.
        fraction: of all neurons, the size of the sets.
        limit: at most so many prompts.
        neurons: of each set, how many that write most are kept in the run.
    """

    suite: Place = "redteam_eval"
    ranking: Place = "safety"
    beside: Annotated[tuple[Place, ...], Distinct] = ()
    fraction: Fraction = 0.005
    limit: Count = 100
    neurons: Annotated[int, Interval(ge=1, le=1_000)] = 50


class LogitAttribution(ReadsMargin[LogitAttributionSpec]):
    """The change of the refusal margin as what neurons and attention write."""

    name, title, settings = "logit_attribution", "Direct logit attribution", LogitAttributionSpec
    often, ranked = False, True
    tables = (
        Table(
            "logit_attribution",
            "one part of the change of the refusal margin from M1's, in one layer or all",
            (
                SUITE,
                Column("set", f"{SET.about}; m2 for M2 itself, all of whose neurons count as patched"),
                K,
                FRACTION,
                Column("layer", "from 0; −1 for all layers together"),
                Column(
                    "part",
                    "direct (what the patched neurons' changes write), neurons (the layer's others), attention, "
                    "embedding, readout (the final norm's scale), total; no rows where a part is 0 throughout",
                ),
                N_READ,
                Column("margin", "the part's mean change of the margin, logits; the parts add up to the total", True),
                Column("share", "of the total, 1 = all; only of all layers, nan where the total is not known", True),
                Column("effect", "of the change from M1 to M2; only of all layers", True),
            ),
        ),
        Table(
            "logit_attribution_neurons",
            "one of the neurons of a set that write most",
            (
                SUITE,
                SET,
                Column("rank", "of the neuron by the size of its contribution, from 1"),
                *NEURON,
                N_READ,
                Column("direct", "mean contribution to the margin, logits", True),
                Column("change", "by how much patching changes its activation on average, activation units"),
                Column("promotes", "tokens that this change raises most, through the final norm, by centred logits"),
                Column("suppresses", "those that it lowers most"),
            ),
        ),
        Table(
            "logit_attribution_prompts",
            "one prompt",
            (
                SUITE,
                Column("set", "as in logit_attribution"),
                Column("prompt_id", "the prompt's id in its suite"),
                Column("prompt", "its text, or that the run may not hold it"),
                Column("before", "M1's margin, logits"),
                Column("total", "by how much the patched model's is higher"),
                Column("direct", "what of that is written directly"),
            ),
        ),
    )

    def needs(self, asked: LogitAttributionSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking, *asked.beside), prompts=(asked.suite,), tables=("first_tokens",))

    def part(self, build: Build, asked: LogitAttributionSpec, number: int) -> Part:
        """See `Study.part`."""
        prompts, second = build.prompts(asked.suite, asked.limit), build.config.model_of(asked.ranking)

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            sets = compared_sets(build, asked.ranking, asked.beside, asked.fraction)
            how = Asked(second, tuple(one.neurons for one in sets), margin_of(build.table("first_tokens")))
            texts = chunks([p.prompt for p in prompts], CHUNK)
            read = list(build.read(read_parts, how, texts, tell))
            found = {name: np.concatenate([part[name] for part in read], axis=-1) for name in read[0]}
            first = int(read[0]["first_layer"][0])
            top = top_neurons(asked.suite, sets, found, asked.neurons)
            moved = zip(top["layer"].tolist(), top["neuron"].tolist(), np.sign(top["change"]).tolist(), strict=True)
            places = Written(tuple(moved))
            words = build.once(write_words, places)
            return {
                "logit_attribution": parts_table(asked, sets, found, first),
                "logit_attribution_neurons": top.assign(**{c: [w[i] for w in words] for i, c in enumerate(SIDES)}),
                "logit_attribution_prompts": prompts_table(asked.suite, sets, found, _shown(build, prompts)),
            }

        made = {**inputs(build, asked, self.needs(asked)), "statistics": statistics.VERSION}
        return Part(made, build.estimate(prompts, 4 + len(asked.beside), 1), run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        table = tables["logit_attribution"]
        return "" if table.empty else attribution_sentence(table)


SIDES = ("promotes", "suppresses")


@dataclass(frozen=True)
class Asked:
    """What the task reads: the aligned model's name, the sets, and the margin."""

    second: str
    sets: "tuple[NeuronSet, ...]"
    margin: "TokenMargin"


def read_parts(models: LoadedModels, how: Asked, prompts: list[str]) -> dict[str, np.ndarray]:
    """The parts of `MarginParts` by name, prompts last; by_neuron and change of each set by its number."""
    from explorer.engine.logit_attribution import attribute_margin

    pair = models.pair("m1", how.second)
    found = attribute_margin(pair, [pair.encode(p, 1) for p in prompts], how.margin, how.sets)
    arrays = {name: getattr(found, name) for name in ("before", "total", *BY_LAYER, "embedding", "readout")}
    for i, (terms, change) in enumerate(zip(found.by_neuron, found.change, strict=True)):
        arrays |= {f"by_neuron{i}": terms, f"change{i}": change}
    return arrays | {"first_layer": np.array([found.layers.start])}


@dataclass(frozen=True)
class Written:
    """Neurons whose words are wanted: layer, neuron and 1 or −1, which way its activation moves."""

    places: tuple[tuple[int, int, float], ...]


def write_words(models: LoadedModels, wanted: Written, _item: None) -> list[tuple[str, str]]:
    """The tokens that each neuron's change promotes most, and those that it suppresses most, as text."""
    from explorer.engine.inspect import moved_tokens

    pair = models.pair()
    out = []
    for layer, neuron, sign in wanted.places:
        up, down = moved_tokens(pair, int(layer), int(neuron), float(sign) or 1.0)
        out.append((_joined(up), _joined(down)))
    return out


def parts_table(
    asked: LogitAttributionSpec, sets: Sequence[ComparedSet], found: Mapping[str, np.ndarray], first_layer: int
) -> pd.DataFrame:
    """The table `logit_attribution`.

    Args:
        asked: the settings.
        sets: that were patched.
        found: of `read_parts`, all prompts.
        first_layer: of the decoder.
    """
    rows, n = [], found["before"].shape[-1]
    names = [(one.name, len(one.neurons)) for one in sets]
    everything = sets[0].neurons.n_layers * sets[0].neurons.n_neurons
    for row, (name, k) in enumerate([*names, (M2, everything)]):
        head = {"suite": asked.suite, "set": name, "k": k, "fraction": asked.fraction if name != M2 else 1.0}
        whole, gap, nothing = found["total"][row], found["total"][-1], np.zeros(n)
        for part in PARTS:
            values = found[part][row].sum(axis=0) if part in BY_LAYER else found[part][row]
            if part != "total" and not found[part][row].any():
                continue
            cells = {"layer": ALL, "part": part, "n": n} | _mean(values).columns("margin")
            cells |= causal_effect(nothing, values, whole).columns("share")
            rows.append(head | cells | causal_effect(nothing, values, gap).columns("effect"))
            if part in BY_LAYER:
                for layer, one in enumerate(found[part][row], start=first_layer):
                    cells = {"layer": layer, "part": part, "n": n} | _mean(one).columns("margin")
                    unknown = statistics.UNDEFINED
                    rows.append(head | cells | unknown.columns("share") | unknown.columns("effect"))
    return pd.DataFrame(rows)


def top_neurons(suite: str, sets: Sequence[ComparedSet], found: Mapping[str, np.ndarray], count: int) -> pd.DataFrame:
    """The table `logit_attribution_neurons` without words: of each set those with the largest mean contributions."""
    rows: list[dict[str, Any]] = []
    for i, one in enumerate(sets):
        terms, change = found[f"by_neuron{i}"], found[f"change{i}"].mean(axis=1, dtype=np.float64)
        means = terms.mean(axis=1, dtype=np.float64)
        order = np.argsort(-np.abs(means), kind="stable")[:count]
        for rank, at in enumerate(order[means[order] != 0].tolist(), 1):
            cells = {"suite": suite, "set": one.name, "rank": rank, "layer": int(one.neurons.layers[at])}
            cells |= {"neuron": int(one.neurons.neurons[at]), "n": terms.shape[1]}
            rows.append(cells | mean(terms[at]).columns("direct") | {"change": float(change[at])})
    columns = ("suite", "set", "rank", "layer", "neuron", "n", "direct", "direct_low", "direct_high", "change")
    return pd.DataFrame(rows, columns=list(columns))


def prompts_table(
    suite: str, sets: Sequence[ComparedSet], found: Mapping[str, np.ndarray], prompts: Sequence[tuple[object, str]]
) -> pd.DataFrame:
    """The table `logit_attribution_prompts`; `prompts` are ids and texts."""
    frames = []
    for row, name in enumerate([*(one.name for one in sets), M2]):
        cells = {"prompt_id": [i for i, _ in prompts], "prompt": [text for _, text in prompts]}
        numbers = {"before": found["before"], "total": found["total"][row], "direct": found["direct"][row].sum(axis=0)}
        frames.append(pd.DataFrame({"suite": suite, "set": name, **cells, **numbers}))
    return pd.concat(frames, ignore_index=True)


def _mean(values: np.ndarray) -> Estimate:
    """Their mean; what is 0 by definition has no interval, though all zeros look like a share of nothing."""
    return mean(values) if values.any() else Estimate(0.0, 0.0, 0.0)


def _shown(build: Build, prompts: Sequence[Prompt]) -> list[tuple[object, str]]:
    return [(p.id, f"(prompt {p.id}: {WITHHELD})" if build.is_withheld(p) else p.prompt) for p in prompts]


def _joined(tokens: Sequence[str]) -> str:
    return ", ".join(visible(token) for token in tokens)
