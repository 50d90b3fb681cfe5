"""Models over several devices, as far as one processor can show: where row indices go, and what a Ray worker gets."""

import pytest
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from explorer.engine.backends.caching import select_rows
from explorer.engine.backends.encoder_decoder import EncoderDecoderPass
from explorer.pipeline.ray_engine import Share, shares
from tests import tiny


def two_devices() -> DynamicCache:
    """A cache whose first layer lies on the processor and whose second on another device, which computes nothing."""
    cache = DynamicCache()
    for layer, device in enumerate(("cpu", "meta")):
        cache.update(*(torch.ones(3, 2, 5, 4, device=device) for _ in range(2)), layer)
    return cache


@pytest.fixture
def chosen(monkeypatch) -> list[tuple[str, str]]:
    """The device of each layer whose rows are chosen, and that of the index."""
    seen: list[tuple[str, str]] = []
    choose = DynamicLayer.batch_select_indices

    def watched(layer: DynamicLayer, indices: torch.Tensor) -> None:
        seen.append((layer.keys.device.type, indices.device.type))
        choose(layer, indices)

    monkeypatch.setattr(DynamicLayer, "batch_select_indices", watched)
    return seen


def test_rows_are_chosen_where_each_layer_lies(chosen):
    cache = two_devices()
    select_rows(cache, torch.tensor([2, 0]))
    assert chosen == [("cpu", "cpu"), ("meta", "meta")]
    assert [layer.keys.shape[0] for layer in cache.layers] == [2, 2]


def test_so_are_those_of_an_encoder_decoder(chosen):
    one = EncoderDecoderPass(tiny.any_model("t5"))
    one.states, one.mask = torch.ones(3, 5, 16, device="meta"), torch.ones(3, 5)
    one.cache.self_attention_cache, one.cache.cross_attention_cache = two_devices(), two_devices()
    one.keep([1])
    assert chosen == [("cpu", "cpu"), ("meta", "meta")] * 2
    assert (one.states.shape[0], one.mask.shape[0]) == (1, 1)


@pytest.mark.parametrize(
    ("nodes", "workers", "share"),
    [
        ([(2, 0)], 0, Share(1, 2, 0)),
        ([(2, 0)], 2, Share(2, 1, 0)),
        ([(2, 0)], 4, Share(4, 0.5, 0)),
        ([(32, 8)], 0, Share(8, 4, 1)),
        ([(32, 8)], 1, Share(1, 32, 8)),
        ([(32, 8)], 3, Share(3, 8, 2)),
        ([(32, 8)], 16, Share(16, 2, 0.5)),
        ([(32, 4), (32, 4)], 1, Share(1, 32, 4)),
        ([(32, 4), (32, 4)], 2, Share(2, 32, 4)),
        ([(32, 6), (32, 2)], 2, Share(2, 16, 3)),
        ([(32, 6), (32, 2)], 3, Share(3, 10, 2)),
        ([(96, 0), (8, 4)], 4, Share(4, 2, 1)),
        ([(1, 4)], 4, Share(4, 0.25, 1)),
        ([(16, 0), (4, 0)], 2, Share(2, 8, 0)),
    ],
)
def test_a_worker_has_what_one_machine_can_give_it(nodes, workers, share):
    assert shares([{"CPU": float(cpus), "GPU": float(gpus)} for cpus, gpus in nodes], workers) == share
    gpus = sum(int(have / share.gpus + 1e-9) for _, have in nodes) if share.gpus else share.workers
    assert gpus >= share.workers
