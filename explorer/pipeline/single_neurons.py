"""The stage that patches the top-ranked neurons one by one, in both directions."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from explorer.neurons.sets import NeuronSet
from explorer.pipeline.context import CHUNK, Context, share, table_file
from explorer.pipeline.models import Models
from explorer.pipeline.parts import chunks
from explorer.pipeline.specs import DIRECTIONS
from explorer.pipeline.stages import Stage, Tell, digest
from explorer.studies import statistics

NAME = "single_neurons"


@dataclass(frozen=True)
class Margins:
    """Sets whose effect on the margin between both models' answers is measured.

    Attributes:
        tokens: length limit of the answers.
        second: name of the aligned model.
        sets: what is patched, from either model into the other.
    """

    tokens: int
    second: str
    sets: tuple[NeuronSet, ...]


def read_margins(models: Models, how: Margins, prompts: list[str]) -> dict[str, np.ndarray]:
    """For each direction float64 [1 + sets, prompts]: the margin of M2's answer over M1's, unpatched and patched."""
    from explorer.engine.margins import answer_margins
    from explorer.engine.options import Columns, Decoding
    from explorer.engine.patching import sweep

    pair = models.pair("m1", how.second)
    out = sweep(pair, prompts, Columns(), Decoding(how.tokens))
    ids = [pair.encode(prompt, how.tokens) for prompt in prompts]
    first, second = ([answer.token_ids for answer in answers] for answers in (out.unpatched, out.aligned))
    ways = {DIRECTIONS[0]: pair, DIRECTIONS[1]: pair.reversed()}
    return {name: answer_margins(way, ids, second, first, how.sets) for name, way in ways.items()}


def single_neurons(ctx: Context) -> list[Stage]:
    """Refusals, cost and margin with each of the top neurons patched alone; none where the build asks for none."""
    spec = ctx.config.single_neurons
    if spec is None:
        return []
    prompts, tokens = ctx.prompts(spec.suite, spec.limit), ctx.config.max_new_tokens
    second = ctx.config.model_of(spec.ranking)
    inputs: dict[str, Any] = {
        "options": asdict(spec),
        "tokens": tokens,
        "scorers": ctx.scorer_keys(),
        "models": ctx.models_key("m1", second),
        "ranking": ctx.key_of(f"ranking-{spec.ranking}"),
        "prompts": digest([p.prompt for p in prompts]),
        "statistics": statistics.VERSION,
    }

    def run(tell: Tell) -> None:
        from explorer.studies.single_neurons import single_rows

        ranking = ctx.ranking(spec.ranking)
        sets = tuple(ranking.window(i, 1) for i in range(min(spec.neurons, len(ranking.order))))
        texts = chunks([p.prompt for p in prompts], CHUNK)
        how = Margins(tokens, second, sets)
        margins = list(ctx.compute(NAME, stage.key, read_margins, how, texts, share(tell, 0, 3), "margins"))
        rows = []
        for number, direction in enumerate(DIRECTIONS):
            first, other = ("m1", second) if number == 0 else (second, "m1")
            patching = ctx.patching(sets=sets, first=first, second=other, aligned=False)
            frame = ctx.answer(NAME, stage.key, patching, prompts, share(tell, 1 + number, 3), direction)
            cells: dict[str, object] = {"ranking": spec.ranking, "direction": direction, "suite": spec.suite}
            found = np.concatenate([part[direction] for part in margins], axis=1)
            rows += single_rows(cells, sets, frame, found, tokens)
        ctx.writer.table(NAME, pd.DataFrame(rows))

    work = ctx.estimate(prompts, 2 * 2 * (2 * spec.neurons + 1), tokens)
    stage = Stage(NAME, inputs, run, (table_file(NAME),), work)
    return [stage]
