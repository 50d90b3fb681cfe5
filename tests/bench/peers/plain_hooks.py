"""Plain transformers with forward pre-hooks of torch: what most published code does."""

import torch

from tests.bench.peers.job import Job, Pass


def passes(job: Job, model=None) -> tuple[Pass, Pass]:
    """The guide's pass and the patched one; hooks are set for each pass and let go after it."""
    model = model or job.model()
    downs = [layer.mlp.down_proj for layer in model.model.layers]
    factors, chosen = job.factors.to(model.dtype), job.chosen
    kept: list[torch.Tensor] = [torch.empty(0)] * len(downs)

    def read(layer: int):
        def hook(_module, args):
            kept[layer] = args[0] * factors[layer]
            return (kept[layer],)

        return hook

    def patch(layer: int):
        return lambda _module, args: (torch.where(chosen[layer], kept[layer], args[0]),)

    def run(make_hook):
        def one(ids, mask, positions, cache):
            handles = [down.register_forward_pre_hook(make_hook(i)) for i, down in enumerate(downs)]
            try:
                out = model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            finally:
                for handle in handles:
                    handle.remove()
            return out.logits[:, -1], out.past_key_values

        return one

    return run(read), run(patch)
