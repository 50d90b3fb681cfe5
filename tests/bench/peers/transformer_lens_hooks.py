"""TransformerLens 4: `run_with_hooks` on a TransformerBridge, with its manual KV cache."""

import torch

from tests.bench.peers.job import Job, Pass


def passes(job: Job) -> tuple[Pass, Pass]:
    """The guide's pass and the patched one."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer

    model = TransformerBridge.boot_transformers(
        job.folder, dtype=getattr(torch, job.dtype), tokenizer=AutoTokenizer.from_pretrained(job.folder), device="cpu"
    )
    factors, chosen = job.factors.to(getattr(torch, job.dtype)), job.chosen
    kept: list[torch.Tensor] = [torch.empty(0)] * len(factors)

    def read(layer: int):
        def hook(value, hook):
            kept[layer] = value * factors[layer]
            return kept[layer]

        return hook

    def patch(layer: int):
        return lambda value, hook: torch.where(chosen[layer], kept[layer], value)

    def run(make_hook):
        hooks = [(f"blocks.{i}.mlp.hook_post", make_hook(i)) for i in range(len(factors))]

        def one(ids, mask, positions, cache):
            logits, cache = model.run_with_hooks(
                ids,
                fwd_hooks=hooks,
                return_type="logits_and_cache",
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            return logits[:, -1], cache

        return one

    return run(read), run(patch)
