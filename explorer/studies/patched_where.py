"""Where in a text a patch is put, and the task that answers prompts with patches at many places at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.data.suites_io import Prompt
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.studies.answering import answer_rows
from explorer.studies.given import LoadedModels

MAX_ROWS = 128
"""Rows of a forward pass while many places are patched at once."""


@dataclass(frozen=True)
class Spot:
    """A place in a text, as people speak of it.

    Attributes:
        where: "all", "prompt", "last_prompt"; "instruction", the last token of what was asked, before the chat
            template goes on; "first", the answer's first tokens; "until", the prompt and these; "after", the answer
            without these; "behind", what follows a given opening.
        tokens: of "first", "until" and "after", how many.
    """

    where: str
    tokens: int = 0

    def positions(self, template: int | None, opening: int) -> str | int | None:
        """The same as `Patch` takes it; None where a text has no such place.

        Args:
            template: tokens behind the instruction; None where no token is its last one.
            opening: tokens of a given opening.
        """
        match self.where:
            case "instruction":
                return None if template is None else f"prompt[-{template + 1}]"
            case "first":
                return self.tokens
            case "until":
                return f"prompt+answer[:{self.tokens}]"
            case "after":
                return f"answer[{self.tokens}:]"
            case "behind":
                return f"answer[{opening}:]"
        return self.where


@dataclass(frozen=True)
class Placed:
    """How prompts are answered with every set patched at every place.

    Attributes:
        tokens: length limit of an answer, without its opening.
        sets: what is patched, from M2 into M1.
        spots: where.
        opening: what every answer begins with; "" for nothing.
        first, second: names of the model that is patched and of the one whose activations it gets.
    """

    tokens: int
    sets: tuple[NeuronSet, ...]
    spots: tuple[Spot, ...]
    opening: str = ""
    first: str = "m1"
    second: str = "m2"


def answer_placed(models: LoadedModels, how: Placed, prompts: list[Prompt]) -> list[dict[str, Any]]:
    """Rows of answers: "condition" is −1 for M1, −2 for M2, else set × spots + spot; a place that a prompt's text has
    not got has no row. The text of an answer is what follows its opening, whose tokens do not count."""
    from explorer.engine.options import Columns, Decoding
    from explorer.engine.patching import Answer, sweep
    from explorer.models.prompting import continuation, tokens_behind

    pair = models.pair(how.first, how.second)
    alike: dict[tuple[int | None, int], list[Prompt]] = {}
    for prompt in prompts:
        opening = continuation(pair.tokenizer, [("user", prompt.prompt)], how.opening) if how.opening else []
        alike.setdefault((tokens_behind(pair.tokenizer, prompt.prompt), len(opening)), []).append(prompt)
    rows = []
    for (template, given), part in alike.items():
        places = [spot.positions(template, given) for spot in how.spots]
        known = {
            number * len(places) + i: Patch(ns, positions=place)
            for number, ns in enumerate(how.sets)
            for i, place in enumerate(places)
            if place is not None
        }
        decoding = Decoding(how.tokens + given, MAX_ROWS, opening=how.opening)
        out = sweep(pair, [p.prompt for p in part], Columns(list(known.values())), decoding)

        def rest(answers: Sequence[Answer], given: int = given) -> list[Answer]:
            if not given:
                return list(answers)
            behind = [answer.token_ids[given:] for answer in answers]
            return [Answer(pair.decode(list(ids)), tuple(ids)) for ids in behind]

        columns = [(-1, out.unpatched), (-2, out.aligned), *zip(known, out.patched, strict=True)]
        rows += answer_rows(part, [(condition, rest(answers)) for condition, answers in columns])
    return rows


@dataclass(frozen=True)
class Along:
    """Patches whose distance from M2 is measured along M2's answers.

    Attributes:
        tokens: length limit of the answers.
        patches: what is patched, from M2 into M1.
        second: name of the aligned model.
    """

    tokens: int
    patches: tuple[Patch, ...]
    second: str = "m2"


def read_divergences(models: LoadedModels, how: Along, prompts: list[str]) -> dict[str, np.ndarray]:
    """KL(M2 ‖ M1) and KL(M2 ‖ patched M1) at each token of M2's own answer, by the name "kl".

    Returns:
        float32 [prompts, 1 + patches, tokens], nats; nan behind an answer's end.
    """
    from explorer.engine.divergence import answer_divergences
    from explorer.engine.options import Columns, Decoding
    from explorer.engine.patching import sweep

    pair = models.pair("m1", how.second)
    written = sweep(pair, prompts, Columns(unpatched=False), Decoding(how.tokens)).aligned
    ids = [pair.encode(prompt, how.tokens) for prompt in prompts]
    found = answer_divergences(pair, ids, [answer.token_ids for answer in written], how.patches)
    kl = np.full((len(prompts), 1 + len(how.patches), how.tokens), np.nan, dtype=np.float32)
    for row, own in zip(kl, found, strict=True):
        row[:, : own.shape[1]] = own
    return {"kl": kl}
