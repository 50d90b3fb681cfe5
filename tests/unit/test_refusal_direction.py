"""The refusal direction: numbers made by hand, the stage on tiny models, and its sentence, which has two ways out."""

import numpy as np
import pandas as pd
import pytest

from explorer.data.suites_io import load_suite
from explorer.engine.residuals import last_prompt_residuals
from explorer.errors import ExplorerError
from explorer.models.pair import load_pair
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.runs.reader import open_run
from explorer.studies import STUDIES
from explorer.studies.direction_tables import effect_rows
from explorer.studies.direction_words import direction_sentence
from explorer.studies.directions import choose_layer, cosines, difference, halves
from tests import tiny
from tests.close import assert_close
from tests.tiny_build import CONFIG, write_build

STUDY = """
[first_tokens]
suite = "redteam_train"
limit = 20
[refusal_direction]
fraction = 0.3
beside = ["ordinary"]
prompts = 6
held_out = 3
limit = 4
compared = 3
draws = 2
controls = 2
"""


def test_the_difference_of_means_points_to_harm():
    rng = np.random.default_rng(0)
    harmless = rng.normal(size=(2, 40, 5))
    harmful = rng.normal(size=(2, 40, 5)) + np.array([3.0, 0, 0, 0, 0])
    found = difference(harmful, harmless)
    assert_close(found, harmful.mean(axis=1) - harmless.mean(axis=1), "float64")
    assert (found[:, 0] > 2).all()
    for seed in range(5):
        control = halves(harmful[0], harmless[0], seed)
        assert abs(control[0]) < 1.5, "what tells harmful from harmless is in neither half"
        assert (control == halves(harmful[0], harmless[0], seed)).all()
    assert not np.array_equal(halves(harmful[0], harmless[0], 0), halves(harmful[0], harmless[0], 1))


def test_cosines_are_nan_where_nothing_differs():
    changes = np.zeros((1, 2, 3, 4))
    changes[0, 1, :, 0] = (1, -2, 0)
    found = cosines(changes, np.eye(2, 4))
    assert np.isnan(found[0, 0]).all()
    assert found.shape == (1, 2, 3)
    found = cosines(changes, np.array([[1.0, 0, 0, 0], [1, 1, 0, 0]]))
    assert_close(found[0, 1], [0.5**0.5, -(0.5**0.5), np.nan], "float64")


def test_the_layer_is_chosen_among_those_that_leave_harmless_prompts_be():
    lengths = np.array([0, 1, 1, 1, 1, 1.0])
    margin = np.array([np.inf, 0.0, -3.0, -5.0, -4.0, -9.0])
    kl = np.array([np.nan, 0.01, 0.02, 0.5, 0.05, 0.01])
    choice = choose_layer(lengths, margin, kl)
    assert choice.layer == 4, "the last is too late, 3 changes harmless prompts, 0 has no direction"
    assert choice.considered.tolist() == [False, True, True, False, True, False]
    loud = choose_layer(lengths, margin, kl + 1)
    assert loud.layer == 2, "the half that change harmless prompts least"


def test_a_build_measures_the_direction(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    run = open_run(build(read_build_config(write_build(tmp_path, CONFIG + STUDY))))
    study = STUDIES["refusal_direction"]
    tables = {table.name: run.whole_table(table.name) for table in study.tables}
    for table in study.tables:
        assert table.unknown(list(tables[table.name])) == []
        assert table.missing(list(tables[table.name])) == []
    rows = tables["refusal_direction"].set_index(["patched", "direction"])
    assert set(rows.index) == {
        *((name, what) for name in ("safety", "m2") for what in ("none", "refusal", "halves")),
        *((name, what) for name in ("ordinary", "random", "m1") for what in ("none", "refusal")),
    }
    assert set(rows["n"]) == {4}
    assert rows.loc[("m2", "halves"), "draws"] == 2
    layers = tables["refusal_direction_layers"]
    assert len(layers) == tiny.LAYERS + 1
    assert layers["chosen"].sum() == 1
    assert set(layers["held_out"]) == {3}
    pair = load_pair(tmp_path / "pair.toml", dtype="float32")
    read = [
        last_prompt_residuals(pair, [pair.encode(p.prompt) for p in load_suite(suite, 6)])
        for suite in ("redteam_train", "ordinary_train")
    ]
    wanted = np.linalg.norm(difference(read[0][1], read[1][1]), axis=-1)
    assert_close(layers["length2"], wanted, layers=tiny.LAYERS, scale=float(np.abs(read[0]).max()))
    likeness = tables["refusal_direction_cosines"]
    assert set(likeness["patched"]) == {"safety", "ordinary", "random", "m2"}
    assert set(likeness[likeness["patched"] == "random"]["draws"]) == {2}
    assert (likeness["cosine"].dropna().abs() <= 1 + 1e-9).all()
    assert study.finding(tables).endswith(".")


def test_it_needs_the_margin(tmp_path):
    with pytest.raises(ExplorerError, match=r"\[refusal_direction\] reads the margin of the table \[first_tokens\]"):
        read_build_config(write_build(tmp_path, CONFIG + STUDY[STUDY.index("[refusal_direction]") :]))


def _answers(shares: dict[tuple[str, str, int], float], n: int = 100) -> dict[tuple[str, str, int], pd.DataFrame]:
    def frame(share: float) -> pd.DataFrame:
        refused = np.arange(n) < round(share * n)
        return pd.DataFrame({"prompt_id": range(n), "refused": refused, "cost": 1.0 - 2 * refused, "degenerate": False})

    return {key: frame(share) for key, share in shares.items()}


CELLS = {"ranking": "attribution", "fraction": 0.01, "k": 461, "layer": 14, "suite": "redteam_eval"}
CELLS |= {"max_new_tokens": 24}


@pytest.mark.parametrize(
    ("patched", "control", "set_", "says"),
    [
        (
            0.02,
            0.78,
            0.8,
            ["**is carried by the refusal direction**: 0 % of it is left", "not distinguishable from none"],
        ),
        (0.4, 0.78, 0.8, ["carried by the refusal direction **in part**: 49 % of it is left"]),
        (0.78, 0.79, 0.8, ["**is not carried by the refusal direction**", "to **78 %** (69–85 %) when"]),
        (0.6, 0.6, 0.8, ["**is not carried by the refusal direction**: 74 % of it is left"]),
        (
            0.38,
            0.4,
            0.8,
            ["**It cannot be told** whether", "a control direction takes no distinguishably smaller share"],
        ),
        (0.02, 0.02, 0.02, ["Patching adds no distinguishable share of refusals here"]),
    ],
)
def test_the_sentence_can_come_out_either_way(patched, control, set_, says):
    shares = {("m1", "none", -1): 0.02, ("m2", "none", -1): 0.9, ("m2", "refusal", -1): 0.1, ("m2", "halves", 0): 0.9}
    shares |= {("attribution", "none", -1): set_, ("attribution", "refusal", -1): patched}
    shares |= {("attribution", "halves", 0): control, ("attribution", "halves", 1): control}
    table = effect_rows(CELLS, _answers(shares))
    text = direction_sentence(table).replace("\u00a0", " ")
    for part in [*says, "M2 itself goes from 90 % to **10 %**", "n = 100", "after block 14"]:
        assert part in text
    halved = table[(table["patched"] == "attribution") & (table["direction"] == "halves")].iloc[0]
    assert halved["draws"] == 2
    assert table.loc[table["patched"] == "m1", "remains"].isna().all()
