"""One at a time, the other way: each of the top neurons left out of their set (table `leave_out`).

`single_neurons` patches each alone and asks what it can do; here all the others stay patched, which asks whether it is
necessary. Few greedy answers change by one neuron, so the margin log p(M2's answer) − log p(M1's answer), both read as
given, is measured too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.charts.labels import interval, rate, signed, suite_label
from explorer.neurons.sets import NeuronSet
from explorer.neurons.tables import neuron_label
from explorer.progress import Progress as Tell
from explorer.schema import Count, Place
from explorer.studies.documented import NEURON, RANKING, SUITE, TOKENS, N
from explorer.studies.effect import by_prompt, with_holm
from explorer.studies.given import Build
from explorer.studies.joining import Part
from explorer.studies.planning import CHUNK, chunks, share
from explorer.studies.single_neurons import Margins, margins_of
from explorer.studies.statistics import Estimate, mean, paired_difference, paired_p
from explorer.studies.study import Column, Needs, Study, Table, inputs


@dataclass(frozen=True)
class LeaveOutSpec:
    """The top neurons of a ranking, patched together and without each in turn.

    Attributes:
        suite: what is answered.
        ranking: whose top neurons.
        neurons: how many are patched together.
        limit: at most so many prompts, for the margin.
        answers: of these, so many first ones are answered anew; 0 for none.
    """

    suite: Place = "redteam_eval"
    ranking: Place = "safety"
    neurons: Annotated[int, Interval(ge=2, le=1_000)] = 50
    limit: Count = 50
    answers: Annotated[int, Interval(ge=0, le=1_000_000)] = 20


class LeaveOut(Study[LeaveOutSpec]):
    """Margin and refusals with the top neurons patched, and without each of them."""

    name, title, settings = "leave_out", "One neuron left out", LeaveOutSpec
    often, ranked = False, True
    tables = (
        Table(
            "leave_out",
            "the set without one of its neurons; the whole set in the first row",
            (
                RANKING,
                SUITE,
                Column("rank", "of the neuron that is left out, from 1; 0 for none"),
                *(Column(column.name, f"{column.about}; −1 where none is left out") for column in NEURON),
                Column("k", "neurons of the whole set"),
                N,
                TOKENS,
                Column("margin", "change of log p(M2's answer) − log p(M1's answer) from M1, nats a prompt", True),
                Column("loss", "of that change by leaving the neuron out, nats a prompt", True),
                Column("p", "of a paired test that it loses nothing"),
                Column("p_holm", "the same, corrected by Holm over all neurons"),
                Column("answered", "prompts that were answered anew; 0 for none"),
                Column("refusal", "share of these answers that refuse, 0 to 1; nan for none", True),
                Column("refusal_change", "from the whole set's, over the same prompts", True),
            ),
        ),
    )

    def needs(self, asked: LeaveOutSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking,), prompts=(asked.suite,))

    def part(self, build: Build, asked: LeaveOutSpec, number: int) -> Part:
        """See `Study.part`."""
        prompts, tokens = build.prompts(asked.suite, asked.limit), build.config.max_new_tokens
        second, answered = build.config.model_of(asked.ranking), prompts[: asked.answers]

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            whole = build.ranking(asked.ranking).top(min(asked.neurons, len(build.ranking(asked.ranking).order)))
            sets = (whole, *(without(whole, i) for i in range(len(whole))))
            how, texts = Margins(tokens, second, sets, ("restore",)), chunks([p.prompt for p in prompts], CHUNK)
            margins = margins_of(build, how, texts, share(tell, 0, 2))["restore"]
            frame = None
            if answered:
                patching = build.patching(sets=sets, second=second, unpatched=False, aligned=False)
                frame = build.answer(patching, answered, share(tell, 1, 2))
            rows = leave_out_rows({"ranking": asked.ranking, "suite": asked.suite}, whole, margins, frame, tokens)
            return {self.name: with_holm(pd.DataFrame(rows), ["p"])}

        work = build.estimate(prompts, 2 * (asked.neurons + 3), tokens)
        work += build.estimate(answered, 2 * (asked.neurons + 1), tokens)
        return Part(inputs(build, asked, self.needs(asked)), work, run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        table = tables[self.name]
        return "" if table.empty else leave_out_sentence(table)


def without(whole: NeuronSet, number: int) -> NeuronSet:
    """A set without its neuron of this number, from 0."""
    kept = np.arange(len(whole)) != number
    return NeuronSet.from_flat(whole.flat()[kept], whole)


def leave_out_rows(
    cells: dict[str, object], whole: NeuronSet, margins: np.ndarray, answers: pd.DataFrame | None, max_new_tokens: int
) -> list[dict[str, object]]:
    """What the whole set does, and what it does without each of its neurons.

    Args:
        cells: ranking and suite; they lead each row.
        whole: the set, in the order of the ranking.
        margins: float64 [2 + k, prompts]: M1, the whole set, and the set without each neuron in turn.
        answers: columns condition (0 for the whole set, then without each neuron), prompt_id, refused; None for none.
        max_new_tokens: length limit of the answers.
    """
    rows: list[dict[str, object]] = []
    full = None if answers is None else by_prompt(answers[answers["condition"] == 0], "refusal")
    for number in range(len(whole) + 1):
        place = (whole.layers[number - 1], whole.neurons[number - 1]) if number else (-1, -1)
        row = {**cells, "rank": number, "layer": int(place[0]), "neuron": int(place[1]), "k": len(whole)}
        row |= {"n": margins.shape[1], "max_new_tokens": max_new_tokens}
        row |= paired_difference(margins[0], margins[number + 1]).columns("margin")
        row |= paired_difference(margins[number + 1], margins[1]).columns("loss")
        row |= {"p": paired_p(margins[1], margins[number + 1]) if number else float("nan")}
        nothing = Estimate(float("nan"), float("nan"), float("nan"))
        refusal, change = nothing, nothing
        if full is not None and answers is not None:
            found = by_prompt(answers[answers["condition"] == number], "refusal").loc[full.index]
            refusal, change = mean(found.to_numpy()), paired_difference(full.to_numpy(), found.to_numpy())
        row |= {"answered": 0 if full is None else len(full)}
        rows.append(row | refusal.columns("refusal") | change.columns("refusal_change"))
    return rows


def leave_out_sentence(table: pd.DataFrame) -> str:
    """Whether any single neuron of the set is necessary.

    One is where the set without it does nothing distinguishable any more.
    """
    whole, each = table[table["rank"] == 0].iloc[0], table[table["rank"] > 0]
    margin = Estimate.of(whole, "margin")
    k, where = int(whole["k"]), f"{suite_label(str(whole['suite']))}, n = {int(whole['n']):,}"
    if margin.sign <= 0:
        return (
            f"The {k} top-ranked neurons together do not raise the margin of M2's answer over M1's distinguishably, so "
            f"none of them can be told to be necessary ({where})."
        )
    dead = each[each["margin_low"] <= 0]
    sure = int(((each["p_holm"] < 0.05) & (each["loss"] > 0)).sum())
    worst = each.iloc[int(each["loss"].to_numpy().argmax())]
    name = neuron_label(int(worst["layer"]), int(worst["neuron"]))
    lead = (
        f"**{len(dead)} of {k}** neurons are necessary" if len(dead) else f"**No single one of the {k}** is necessary"
    )
    text = (
        f"{lead}: together they raise the margin of M2's answer over M1's by {signed(margin.value, 2)} nats a prompt "
        f"(95 % interval {signed(margin.low, 2)} to {signed(margin.high, 2)}), and leaving out {name}, the one that "
        f"counts most, takes away {rate(worst['loss'] / margin.value)} of it ({signed(worst['loss'], 2)} nats, "
        f"{signed(worst['loss_low'], 2)} to {signed(worst['loss_high'], 2)}); {sure} of {k} take away something after "
        f"Holm's correction ({where})."
    )
    if not whole["answered"]:
        return text
    moved = int(((each["refusal_change_low"] > 0) | (each["refusal_change_high"] < 0)).sum())
    low = each.iloc[int(each["refusal"].to_numpy().argmin())]
    return (
        f"{text} Refusals are {rate(whole['refusal'])} with the whole set and at least {rate(low['refusal'])} (95 % "
        f"interval {interval(low['refusal_low'], low['refusal_high'])}) without one; {moved} of {k} change them "
        f"distinguishably (n = {int(whole['answered']):,}, up to {int(whole['max_new_tokens'])} tokens)."
    )
