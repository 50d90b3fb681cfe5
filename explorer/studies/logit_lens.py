"""The logit lens: from which layer on refusal leads, in M1, in M1 patched, and in M2 (two tables).

`logit_lens`: the margin after every layer, where the first token of an answer is chosen. `logit_lens_tokens`: the same
at every token of some prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.charts.labels import suite_label
from explorer.progress import Progress as Tell
from explorer.schema import Count, Distinct, Fraction, Place
from explorer.studies import statistics
from explorer.studies.compared_sets import RANDOM, compared_sets
from explorer.studies.documented import SUITE
from explorer.studies.first_tokens import ReadsMargin, margin_of
from explorer.studies.given import Build, LoadedModels
from explorer.studies.joining import Part
from explorer.studies.logit_words import M1, M2, logits, set_words
from explorer.studies.planning import CHUNK, chunks, share
from explorer.studies.statistics import Estimate, mean, paired_difference
from explorer.studies.study import Column, Needs, Table, inputs

if TYPE_CHECKING:
    from explorer.engine.token_margin import TokenMargin
    from explorer.neurons.sets import NeuronSet

MODEL = Column("model", "m1, m2, or whose top neurons are patched into M1: a ranking's name, or random")
LAYER = Column("layer", "after which block, from 0; −1 before the first")


@dataclass(frozen=True)
class LogitLensSpec:
    """Models whose residual stream is read out after every layer.

    Attributes:
        suite: the prompts.
        ranking: whose top set is patched; its random neurons stand beside it.
        beside: further rankings.
        fraction: of all neurons, the size of the sets.
        limit: at most so many prompts.
        examples: prompts that are read at every token, spread over the suite.
    """

    suite: Place = "redteam_eval"
    ranking: Place = "safety"
    beside: Annotated[tuple[Place, ...], Distinct] = ()
    fraction: Fraction = 0.005
    limit: Count = 100
    examples: Annotated[int, Interval(ge=0, le=20)] = 4


class LogitLens(ReadsMargin[LogitLensSpec]):
    """The refusal margin layer by layer."""

    name, title, settings = "logit_lens", "Logit lens", LogitLensSpec
    often, ranked = False, True
    tables = (
        Table(
            "logit_lens",
            "one model after one layer",
            (
                SUITE,
                MODEL,
                LAYER,
                Column("n", "prompts"),
                Column("margin", "mean refusal margin at the last prompt token, logits", True),
                Column("change", "by how much it is above M1's over the same prompts, logits", True),
            ),
        ),
        Table(
            "logit_lens_tokens",
            "one token of an example prompt after one layer of one model",
            (
                SUITE,
                Column("prompt_id", "the prompt's id in its suite"),
                Column("prompt", "its text"),
                MODEL,
                Column("position", "of the token in the text that the models read, from 0"),
                Column("token", "as text"),
                LAYER,
                Column("margin", "refusal margin of what comes next, logits"),
            ),
        ),
    )

    def needs(self, asked: LogitLensSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking, *asked.beside), prompts=(asked.suite,), tables=("first_tokens",))

    def part(self, build: Build, asked: LogitLensSpec, number: int) -> Part:
        """See `Study.part`."""
        prompts, second = build.prompts(asked.suite, asked.limit), build.config.model_of(asked.ranking)
        every = max(1, len(prompts) // max(1, asked.examples))
        open_prompts = [p for p in prompts[::every] if not build.is_withheld(p)][: asked.examples]

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            sets = compared_sets(build, asked.ranking, asked.beside, asked.fraction)
            models = (M1, *(one.name for one in sets), M2)
            how = Lens(second, models, tuple(s.neurons for s in sets), margin_of(build.table("first_tokens")))
            texts = chunks([p.prompt for p in prompts], CHUNK)
            read = list(build.read(read_lens, how, texts, share(tell, 0, 2)))
            found = np.concatenate([part["margins"] for part in read], axis=-1)
            named = [(p.id, p.prompt) for p in open_prompts]
            told = build.read(read_tokens, how, named, share(tell, 1, 2))
            rows = [{"suite": asked.suite, **row} for part in told for row in part] if named else []
            columns = [column.name for column in self.tables[1].columns]
            tokens = pd.DataFrame(rows, columns=columns).astype({"margin": np.float32})
            first = int(read[0]["first_layer"][0])
            return {"logit_lens": lens_table(asked.suite, models, found, first), "logit_lens_tokens": tokens}

        made = {**inputs(build, asked, self.needs(asked)), "statistics": statistics.VERSION}
        work = build.estimate([*prompts, *open_prompts], 4 + len(asked.beside), 1)
        return Part(made, work, run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        table = tables["logit_lens"]
        return "" if table.empty else lens_sentence(table)


@dataclass(frozen=True)
class Lens:
    """What the tasks read: the aligned model's name, what tables call the models, the sets, and the margin."""

    second: str
    models: tuple[str, ...]
    sets: "tuple[NeuronSet, ...]"
    margin: "TokenMargin"


def read_lens(models: LoadedModels, how: Lens, prompts: list[str]) -> dict[str, np.ndarray]:
    """ "margins", see `engine.logit_lens.lens_margins`, and "first_layer", the decoder's first."""
    from explorer.engine.logit_lens import lens_margins

    pair = models.pair("m1", how.second)
    found = lens_margins(pair, [pair.encode(p, 1) for p in prompts], how.margin, how.sets)
    return {"margins": found, "first_layer": np.array([pair.parts["decoder"].start])}


def read_tokens(models: LoadedModels, how: Lens, prompt: tuple[str, str]) -> list[dict[str, object]]:
    """Rows of `logit_lens_tokens`, without the suite, for a prompt's id and text."""
    from explorer.engine.logit_lens import text_lens
    from explorer.engine.reading import TokenText, start_token

    pair = models.pair("m1", how.second)
    ids, first = pair.encode(prompt[1], 1), pair.parts["decoder"].start - 1
    found = text_lens(pair, TokenText(ids), how.margin, how.sets)
    shown = [start_token(pair.backbone1)] if pair.kind == "encoder-decoder" else ids
    words = [str(pair.tokenizer.decode([token])) for token in shown]
    head = {"prompt_id": prompt[0], "prompt": prompt[1]}
    return [
        {**head, "model": name, "position": at, "token": words[at], "layer": first + layer, "margin": float(value)}
        for name, model in zip(how.models, found, strict=True)
        for layer, values in enumerate(model)
        for at, value in enumerate(values)
    ]


def lens_table(suite: str, models: Sequence[str], margins: np.ndarray, first_layer: int = 0) -> pd.DataFrame:
    """The table `logit_lens`.

    Args:
        suite: that was read.
        models: what the rows are called, M1 first.
        margins: float64 [models, layers + 1, prompts].
        first_layer: of the decoder.
    """
    return pd.DataFrame(
        [
            {"suite": suite, "model": name, "layer": layer, "n": margins.shape[-1]}
            | mean(values).columns("margin")
            | paired_difference(first, values).columns("change")
            for name, model in zip(models, margins, strict=True)
            for layer, (first, values) in enumerate(zip(margins[0], model, strict=True), start=first_layer - 1)
        ]
    )


def parts_from(rows: pd.DataFrame) -> int | None:
    """The layer from which on a model's margin stays distinguishably above M1's; None where it is not at the end.

    Args:
        rows: of one model.
    """
    return _stays(rows, (rows["change_low"] > 0).to_numpy())


def half_from(rows: pd.DataFrame) -> int | None:
    """The layer from which on at least half of what the margin is above M1's at the end is there."""
    change = rows["change"].to_numpy()
    return _stays(rows, change >= change[-1] / 2)


def _stays(rows: pd.DataFrame, true: np.ndarray) -> int | None:
    """The layer from which on something stays true to the last; `rows` and `true` are in the order of the layers."""
    if not true[-1]:
        return None
    false = np.flatnonzero(~true)
    return int(rows["layer"].iloc[false[-1] + 1 if len(false) else 0])


def lens_sentence(table: pd.DataFrame) -> str:
    """From which layer on refusal is further ahead in each model than in M1, and by how much in the end.

    Args:
        table: the run's table `logit_lens`.
    """
    first, last = table.iloc[0], int(table["layer"].max())
    by_model = {name: table[table["model"] == name].sort_values("layer") for name in dict.fromkeys(table["model"])}
    patched = [name for name in by_model if name not in (M1, M2)]
    control = by_model.get(RANDOM)
    said, *others = [_clause(name, by_model[name], control) for name in (*patched, M2) if name in by_model]
    beside = f" It is {'; '.join(others)}." if others else ""
    end = Estimate.of(by_model[M1].iloc[-1], "margin")
    return (
        f"Read out after every layer (0 to {last}), the refusal margin is {said}; means at the last prompt token, "
        f"{suite_label(first['suite'])}, n = {int(first['n']):,}.{beside} M1's own margin at the end is {logits(end)}."
    )


def beyond_from(rows: pd.DataFrame, control: pd.DataFrame) -> int | None:
    """The layer from which on a model's lead over M1 has its interval above random neurons'; None where not at the end.

    Args:
        rows, control: of one model and of random neurons, in the order of the layers.
    """
    return _stays(rows, rows["change_low"].to_numpy() > control["change_high"].to_numpy())


def _clause(name: str, rows: pd.DataFrame, control: pd.DataFrame | None) -> str:
    parted, half, end = parts_from(rows), half_from(rows), Estimate.of(rows.iloc[-1], "change")
    where = set_words(name) if name == M2 else f"M1 patched with {set_words(name)}"
    if parted is None:
        return f"not distinguishably above M1's in {where} ({logits(end)} at the end)"
    layers = f"from layer **{parted}** on" if parted < int(rows["layer"].iloc[-1]) else "in the last layer only"
    half_said = f", half of it from layer {half} on" if half is not None and half > parted else ""
    beside = ""
    if control is not None and name != RANDOM:
        beyond = beyond_from(rows, control)
        beside = (
            ", never beyond random neurons'" if beyond is None else f", beyond random neurons' from layer {beyond} on"
        )
    return f"above M1's {layers} in {where} ({logits(end)} at the end{half_said}{beside})"
