"""A model that several pairs are made of is in memory once, for as long as one of them holds it."""

import gc
import threading
import weakref

import pytest
import torch

from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.models.loaded_once import Locks
from explorer.models.pair import load_pair
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.models import Models, ModelsSpec
from tests import tiny, tiny_adapter


@pytest.fixture
def place(tmp_path):
    for name, seed in (("base", 0), ("safe", 1), ("kind", 2)):
        tiny.model("llama", seed).save_pretrained(tmp_path / name)
        tiny.tokenizer().save_pretrained(tmp_path / name)
    return tmp_path


def spec_of(place, second: str, **settings) -> PairSpec:
    return PairSpec(second, ModelSpec(str(place / "base")), ModelSpec(str(place / second)), "float32", **settings)


def weights(*pairs) -> int:
    """Bytes of all pairs' weights; what is shared counts once."""
    tensors = [t for pair in pairs for m in (pair.backbone1, pair.backbone2) for t in [*m.parameters(), *m.buffers()]]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_two_pairs_share_their_m1(place):
    first, second = (load_pair(spec_of(place, name)) for name in ("safe", "kind"))
    assert second.backbone1 is first.backbone1
    assert second.backbone2 is not first.backbone2
    for one, other in zip(first.m1.parameters(), second.m1.parameters(), strict=True):
        assert one.data_ptr() == other.data_ptr()
    alone = weights(first) / 2
    assert weights(first, second) == 3 * alone


def test_an_m2_can_be_the_m1_of_another_pair(place):
    first = load_pair(spec_of(place, "safe"))
    other = load_pair(PairSpec("other", ModelSpec(str(place / "safe")), ModelSpec(str(place / "kind")), "float32"))
    assert other.backbone1 is first.backbone2


def test_a_model_that_no_pair_holds_is_gone(place):
    first, second = (load_pair(spec_of(place, name)) for name in ("safe", "kind"))
    shared, own = weakref.ref(first.backbone1), weakref.ref(first.backbone2)
    del first
    gc.collect()
    assert own() is None
    assert shared() is second.backbone1
    del second
    gc.collect()
    assert shared() is None


def test_another_type_another_file_and_weights_of_ones_own_are_other_models(place):
    first = load_pair(spec_of(place, "safe"))
    assert load_pair(spec_of(place, "kind"), dtype="bfloat16").backbone1 is not first.backbone1
    assert load_pair(spec_of(place, "kind"), own=True).backbone1 is not first.backbone1
    tiny.model("llama", 5).save_pretrained(place / "base")
    again = load_pair(spec_of(place, "kind"))
    assert again.backbone1 is not first.backbone1
    with torch.inference_mode():
        assert not torch.equal(next(again.m1.parameters()), next(first.m1.parameters()))


def test_a_build_with_several_second_models_holds_m1_once(place):
    adapter = tiny_adapter.write(place / "ia3", place / "safe")
    models = Models(ModelsSpec(spec_of(place, "safe"), "float32", {"other": str(adapter)}))
    assert models.pair("m1", "other").backbone1 is models.pair().backbone1


def test_pairs_that_share_m1_answer_at_once_as_alone(place):
    pairs = [load_pair(spec_of(place, name)) for name in ("safe", "kind")]
    ns = NeuronSet.random(pairs[0], 20)

    def answers(pair):
        return sweep(pair, tiny.PROMPTS[:3], Columns([ns]), Decoding(8)).patched

    alone = [answers(pair) for pair in pairs]
    found: list = [[], []]

    def work(number: int) -> None:
        found[number] = [answers(pairs[number]) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[one] * 3 for one in alone]


def test_locks_are_taken_together_or_not_at_all():
    models = [tiny.model("llama", seed) for seed in range(3)]
    first, second = Locks(models[0], models[1]), Locks(models[1], models[2])
    seen: list[bool] = []

    def other() -> None:
        seen.append(second.acquire(blocking=False))
        alone = Locks(models[2])
        seen.append(alone.acquire(blocking=False))
        alone.release()

    with first, first:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == [False, True]
