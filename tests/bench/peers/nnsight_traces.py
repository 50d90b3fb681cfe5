"""nnsight: values read and set inside a trace; a cache is handed from trace to trace."""

import nnsight
import torch
from nnsight import NNsight

from tests.bench.peers.job import Job, Pass


def passes(job: Job) -> tuple[Pass, Pass]:
    """The guide's pass and the patched one, a trace each."""
    inner = job.model()
    model = NNsight(inner)
    factors, chosen = job.factors.to(inner.dtype), job.chosen
    kept: list[torch.Tensor] = []
    layers = range(len(factors))

    def options(mask, positions, cache) -> dict:
        from transformers import DynamicCache

        return {
            "attention_mask": mask,
            "position_ids": positions,
            "past_key_values": DynamicCache(config=inner.config) if cache is None else cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }

    def guide(ids, mask, positions, cache):
        given = options(mask, positions, cache)
        with model.trace(ids, **given):
            seen = nnsight.save([])
            for i in layers:
                scaled = model.model.layers[i].mlp.down_proj.input * factors[i]
                model.model.layers[i].mlp.down_proj.input = scaled
                seen.append(scaled)
            logits = model.lm_head.output.save()
        kept[:] = seen
        return logits[:, -1], given["past_key_values"]

    def patched(ids, mask, positions, cache):
        given = options(mask, positions, cache)
        with model.trace(ids, **given):
            for i in layers:
                own = model.model.layers[i].mlp.down_proj.input
                model.model.layers[i].mlp.down_proj.input = torch.where(chosen[i], kept[i], own)
            logits = model.lm_head.output.save()
        return logits[:, -1], given["past_key_values"]

    return guide, patched
