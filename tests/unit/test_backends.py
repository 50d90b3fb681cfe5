"""Which back end takes which model, and how texts of unlike length lie beside each other."""

import pytest

import explorer
from explorer.engine.backends.choosing import BACKENDS, backend_of
from explorer.models.padding import padded, real_tokens
from tests import tiny


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("llama", "fused"),
        ("qwen2", "fused"),
        ("gemma2", "fused"),
        ("gpt2", "transformers"),
        ("t5", "encoder–decoder"),
        ("bert", "transformers"),
    ],
)
def test_the_first_back_end_that_takes_a_model_runs_it(kind, name):
    assert backend_of(tiny.any_model(kind)).name == name


def test_back_ends_have_names_of_their_own():
    assert len({backend.name for backend in BACKENDS}) == len(BACKENDS)


def test_texts_end_together_or_begin_together():
    rows = [[5, 6, 7], (8,)]
    assert padded(rows).tolist() == [[5, 6, 7], [8, 0, 0]]
    assert padded(rows, left=True).tolist() == [[5, 6, 7], [0, 0, 8]]
    assert real_tokens(rows).tolist() == [[1, 1, 1], [1, 0, 0]]
    assert real_tokens(rows, left=True).tolist() == [[1, 1, 1], [0, 0, 1]]


def test_what_a_sweep_is_asked_with_is_public():
    assert explorer.Columns(aligned=False).numbers == [-1]
    with pytest.raises(explorer.ExplorerError, match="tokens"):
        explorer.Decoding(max_new_tokens=0)
