"""What is kept of the top neurons for their pages: activations over words, and the vocabulary projection.

Tables `projection` and `words`, and the activations themselves (`words.safetensors`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.neurons.sets import NeuronSet
from explorer.neurons.tables import neuron_label
from explorer.progress import Progress as Tell
from explorer.runs.format import TENSORS
from explorer.schema import Count, Distinct, Place, Places
from explorer.studies.documented import NEURON
from explorer.studies.given import Build, LoadedModels
from explorer.studies.planning import LATER, Stage, options, table_file
from explorer.studies.study import Column, Needs, Study, Table

if TYPE_CHECKING:
    from explorer.engine.inspect import WordActivations


@dataclass(frozen=True)
class DetailSpec:
    """What is kept of the top neurons: activations over words, and the vocabulary projection.

    Attributes:
        ranking: whose top neurons.
        neurons: how many of them.
        tokens: of the vocabulary at either end of a neuron's projection.
        suites, texts_per_suite: the answers that activations are read over.
        beside: further rankings whose top neurons are kept too.
    """

    ranking: Place = "safety"
    neurons: Count = 1000
    tokens: Annotated[int, Interval(ge=1, le=1_000)] = 10
    suites: Places = ("redteam_eval", "ordinary_eval")
    texts_per_suite: Annotated[int, Interval(ge=1, le=1_000)] = 2
    beside: Annotated[tuple[Place, ...], Distinct] = field(default=(), metadata=LATER)


class Detail(Study[DetailSpec]):
    """The vocabulary projection of the top neurons, and their activations over the words of some answers."""

    name, title, settings = "detail", "Top neurons in detail", DetailSpec
    often, ranked = False, True
    files = (f"{TENSORS}/words.safetensors",)
    tables = (
        Table(
            "projection",
            "one token of the vocabulary at one end of one neuron's projection",
            (
                *NEURON,
                Column("direction", "promotes or suppresses"),
                Column("place", "from 1, the strongest"),
                Column("token", "of the vocabulary, as text"),
                Column("logit", "what a unit of the neuron's activation adds to it, after the last norm"),
            ),
        ),
        Table(
            "words",
            "one position of a prompt and M1's answer to it",
            (
                Column("position", "from 0"),
                Column("token", "as text"),
                Column("part", "prompt or answer"),
                Column("compared", "whether contrasting counts the position: it predicts an answer token"),
                Column("text", "number of the text, from 0"),
                Column("suite", "of the prompt"),
                Column("prompt_id", "of the prompt, in its suite"),
            ),
        ),
    )

    def unasked(self, main: str) -> tuple[DetailSpec, ...]:
        """See `Study.unasked`: every run holds the detail of its main ranking."""
        return (DetailSpec(main),)

    def needs(self, asked: DetailSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking, *asked.beside), activations=asked.suites)

    def stages(self, build: Build, asked: Sequence[DetailSpec]) -> list[Stage]:
        """See `Study.stages`."""
        (one,) = asked
        return [_projection(build, one), _words(build, one)]

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`: the neuron that writes its words most strongly."""
        table = tables["projection"]
        if table.empty:
            return ""
        best = table.iloc[int(table["logit"].abs().to_numpy().argmax())]
        mine = table[(table["layer"] == best["layer"]) & (table["neuron"] == best["neuron"])]
        mine = mine[mine["direction"] == best["direction"]].sort_values("place").head(3)
        tokens = ", ".join(f"“{token.strip()}”" for token in mine["token"])
        neurons = len(table.drop_duplicates(["layer", "neuron"]))
        return (
            f"Of the {neurons:,} top neurons whose vocabulary projection is kept, "
            f"{neuron_label(int(best['layer']), int(best['neuron']))} writes its words most strongly: it "
            f"{best['direction']} {tokens} (logits up to {abs(best['logit']):.1f})."
        )

    def about(self, asked: Sequence[DetailSpec]) -> dict[str, Any]:
        """See `Study.about`."""
        (one,) = asked
        return {"detail": asdict(one)}


def _top(build: Build, asked: DetailSpec) -> NeuronSet:
    """The top neurons of the detail's ranking, then those of the others that are not among them."""
    tops = []
    for name in (asked.ranking, *asked.beside):
        ranking = build.ranking(name)
        tops.append(ranking.top(min(asked.neurons, len(ranking.order))))
    return reduce(or_, tops)


def _inputs(build: Build, asked: DetailSpec) -> dict[str, Any]:
    return {
        "models": build.models_key(),
        "detail": options(asked),
        "ranking": build.key_of(f"ranking-{asked.ranking}"),
        **({"beside": [build.key_of(f"ranking-{name}") for name in asked.beside]} if asked.beside else {}),
    }


def _projection(build: Build, asked: DetailSpec) -> Stage:
    def run(_tell: Tell) -> None:
        build.writer.table("projection", build.once(project_top, (_top(build, asked), asked.tokens)))

    return Stage("projection", _inputs(build, asked), run, (table_file("projection"),))


def _words(build: Build, asked: DetailSpec) -> Stage:
    tokens = build.config.max_new_tokens
    chosen = [(s, p) for s in asked.suites for p in build.prompts(s, asked.texts_per_suite)]
    inputs = {**_inputs(build, asked), "prompts": [p.prompt for _, p in chosen], "tokens": tokens}

    def run(tell: Tell) -> None:
        top = _top(build, asked)
        seen = []
        for number, (suite, prompt) in enumerate(chosen):
            read = build.once(read_text, (prompt.prompt, top, tokens))
            words = read.words.assign(text=number, suite=suite, prompt_id=prompt.id)
            seen.append((words, read.m1, read.m2))
            tell((number + 1) / len(chosen))
        build.writer.table("words", pd.concat([words for words, _, _ in seen], ignore_index=True))
        build.writer.tensors(
            "words",
            {
                "layers": top.layers,
                "neurons": top.neurons,
                "m1": np.concatenate([m1 for _, m1, _ in seen], axis=1).astype(np.float16),
                "m2": np.concatenate([m2 for _, _, m2 in seen], axis=1).astype(np.float16),
            },
        )

    tokens_read = build.estimate([p for _, p in chosen], 3, tokens)
    return Stage("words", inputs, run, (table_file("words"), *Detail.files), tokens_read)


def project_top(models: LoadedModels, shared: tuple[NeuronSet, int], _item: None) -> pd.DataFrame:
    """The vocabulary projection of a set, so many tokens each."""
    from explorer.engine.inspect import project

    return project(models.pair(), *shared)


def read_text(models: LoadedModels, shared: tuple[str, NeuronSet, int], _item: None) -> "WordActivations":
    """A set's activations over M1's answer to a prompt."""
    from explorer.engine.inspect import read_words

    return read_words(models.pair(), *shared)
