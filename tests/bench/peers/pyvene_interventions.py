"""pyvene: two intervenable models over the same weights, an intervention of each on every `down_proj.input`."""

import pyvene
import torch

from tests.bench.peers.job import Job, Pass


def passes(job: Job) -> tuple[Pass, Pass]:
    """The guide's pass and the patched one."""
    model = job.model()
    factors, chosen = job.factors.to(model.dtype), job.chosen
    kept: list[torch.Tensor] = [torch.empty(0)] * len(factors)

    def read(layer: int):
        def intervene(base, source):
            kept[layer] = base * factors[layer]
            return kept[layer]

        return intervene

    def patch(layer: int):
        def intervene(base, source):
            return torch.where(chosen[layer], kept[layer], base)

        return intervene

    def run(make):
        intervenable = pyvene.IntervenableModel(
            [
                {"component": f"model.layers[{i}].mlp.down_proj.input", "intervention": make(i)}
                for i in range(len(factors))
            ],
            model=model,
        )

        def one(ids, mask, positions, cache):
            given = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "past_key_values": cache}
            _, out = intervenable({**given, "logits_to_keep": 1}, use_cache=True)
            return out.logits[:, -1], out.past_key_values

        return one

    return run(read), run(patch)
