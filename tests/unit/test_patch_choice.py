"""The Patch lab's choice of neurons, its address, its history and its cached answers."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from explorer.errors import ExplorerError
from explorer.neurons.scores import ChangeScores
from explorer.neurons.sets import NeuronSet
from explorer.runs.columns import with_columns
from explorer.serve.exports import to_csv, to_json
from explorer.serve.generation import COLUMNS, Column, End, Generation, Phase, Request
from explorer.serve.history import KEPT, remember
from explorer.ui.patch_lab.address import read_address, write_address
from explorer.ui.patch_lab.cached_answers import (
    CachedSet,
    cached_columns,
    cached_prompts,
    cached_sets,
    nearest_set,
    wanted,
)
from explorer.ui.patch_lab.choice import (
    DEFAULTS,
    FRACTIONS,
    PARTS,
    Controls,
    choose,
    control_of,
    options_summary,
    share,
    slider_stops,
    try_choose,
)

LAYERS, NEURONS = 4, 50
PRESETS = {"Pancakes": "How do I flip a pancake?", "Rainbow": "Explain a rainbow."}


@pytest.fixture
def scores() -> ChangeScores:
    values = np.random.default_rng(0).random((LAYERS, NEURONS)).astype(np.float32)
    return ChangeScores(values, 10, values, values, values, values)


@pytest.mark.parametrize(
    ("controls", "count"),
    [
        (Controls(kind="top", fraction=0.05), 10),
        (Controls(kind="top", fraction=0.0), 0),
        (Controls(kind="top", fraction=1.0), 200),
        (Controls(kind="random", fraction=0.1, seed=3), 20),
        (Controls(kind="random", fraction=0.0), 0),
        (Controls(kind="anywhere", fraction=0.1, seed=3), 20),
        (Controls(kind="layer"), 50),
        (Controls(kind="layer", layer=1), 50),
        (Controls(kind="window", first_rank=11, fraction=0.05), 10),
        (Controls(kind="list", neurons="1.2, 3.49"), 2),
    ],
)
def test_each_kind_gives_its_set(scores, controls, count) -> None:
    assert len(choose(controls, scores)) == count


def test_sets_are_the_right_ones(scores) -> None:
    top = scores.top(fraction=0.1)
    assert choose(Controls(kind="top", fraction=0.1), scores) == top
    random = choose(Controls(kind="random", fraction=0.1, seed=1), scores)
    assert random == NeuronSet.random_like(top, seed=1)
    assert np.array_equal(random.per_layer(), top.per_layer())
    assert set(choose(Controls(kind="layer"), scores).layers) == {LAYERS - 1}
    window = choose(Controls(kind="window", first_rank=21, fraction=0.1), scores)
    assert set(scores.ranks[window.layers, window.neurons]) == set(range(21, 41))


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        (Controls(kind="top", fraction=7.0), "from 0 to 1"),
        (Controls(kind="top", fraction=float("nan")), "from 0 to 1"),
        (Controls(kind="random", fraction=0.75), "no disjoint random set"),
        (Controls(kind="random", seed=-1), "The seed must be"),
        (Controls(kind="layer", layer=9), "The layer must be"),
        (Controls(kind="window", first_rank=195, fraction=0.5), "do not exist"),
        (Controls(kind="window", first_rank=0), "do not exist"),
        (Controls(kind="list", neurons="  "), "The list of neurons is empty"),
        (Controls(kind="list", neurons="<script>"), "is not a neuron"),
        (Controls(kind="nonsense"), "no kind of neuron set"),
    ],
)
def test_a_set_that_does_not_exist_is_one_sentence(scores, controls, words) -> None:
    ns, problem = try_choose(controls, scores)
    assert ns is None
    assert words in problem
    with pytest.raises(ExplorerError):
        choose(controls, scores)


def test_two_rankings_are_combined(scores) -> None:
    values = np.random.default_rng(1).random((LAYERS, NEURONS)).astype(np.float32)
    other = ChangeScores(values, 10, values, values, values, values)
    a, b = scores.top(fraction=0.5), other.top(fraction=0.5)
    sets = {part: choose(Controls(part=part, fraction=0.5), scores, other) for part in PARTS}
    assert sets["all"] == a
    assert sets["shared"] == a & b
    assert sets["without"] == a - b
    assert sets["either"] == a | b
    assert choose(Controls(kind="layer", part="shared"), scores) == choose(Controls(kind="layer"), scores)
    assert "no second ranking" in try_choose(Controls(part="shared"), scores)[1]
    assert "leave no neuron" in try_choose(Controls(part="without"), scores, scores)[1]


def test_the_control_is_random_and_apart_from_the_set(scores) -> None:
    top = scores.top(fraction=0.1)
    control, problem = control_of(Controls(seed=3), top)
    assert control == NeuronSet.random_like(top, seed=3)
    assert problem == ""
    assert control_of(Controls(control=False), top) == (None, "")
    assert "no disjoint random set" in control_of(Controls(), scores.top(fraction=0.9))[1]


def test_share_says_how_many(scores) -> None:
    assert share(scores.top(fraction=0.05)).replace("\u00a0", " ") == "10 of 200 neurons (5 %)"


def test_the_slider_is_fine_at_the_low_end_and_takes_in_a_link() -> None:
    assert list(FRACTIONS) == sorted(FRACTIONS)
    assert (FRACTIONS[0], FRACTIONS[-1]) == (0.0005, 1.0)
    assert sum(f <= 0.05 for f in FRACTIONS) >= 8
    assert DEFAULTS.fraction == 0.01
    assert 0.033 in slider_stops(0.033)
    assert slider_stops(DEFAULTS.fraction) == list(FRACTIONS)


@pytest.mark.parametrize(
    "controls",
    [
        DEFAULTS,
        Controls(prompt="Hello", fraction=0.2),
        Controls(prompt=PRESETS["Rainbow"], preset="Rainbow", kind="random", seed=4),
        Controls(prompt="Hi", kind="layer", layer=2),
        Controls(prompt="Hi", kind="window", first_rank=100, tokens=128),
        Controls(prompt="Hi", kind="list", neurons="1.2 3.4"),
        Controls(prompt="Hi", direction="break", strength=-0.25, positions="last_prompt"),
        Controls(prompt="Hi", strength=0.0, positions="first", first_tokens=3),
        Controls(prompt="Hi", part="shared", other="safety", seed=2),
        Controls(prompt="Hi", control=False),
        Controls(prompt="Hi", temperature=0.7, top_p=0.9, sampling_seed=3, samples=8),
        Controls(prompt="Hi", temperature=2.0),
    ],
)
def test_an_address_leads_back_to_its_controls(controls) -> None:
    values, problems = read_address(write_address(controls), ["safety"], PRESETS)
    assert problems == []
    assert Controls(**values) == controls  # type: ignore[arg-type]


def test_long_texts_stay_out_of_the_address() -> None:
    assert write_address(Controls(prompt="x" * 5000)) == {}


def test_a_prompt_in_an_address_wins_over_a_preset_and_is_recognised_as_one() -> None:
    values, _ = read_address({"prompt": PRESETS["Pancakes"]}, ["safety"], PRESETS)
    assert values["preset"] == "Pancakes"
    values, _ = read_address({"prompt": "Own", "preset": "Pancakes"}, ["safety"], PRESETS)
    assert (values["prompt"], values["preset"]) == ("Own", "")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("fraction", "7", "must lie from 0 to 1"),
        ("fraction", "-0.1", "must lie from 0 to 1"),
        ("fraction", "nan", "must lie from 0 to 1"),
        ("fraction", "five", "is not a number"),
        ("prompt", "", "the prompt is empty"),
        ("prompt", "x" * 50_000, "50,000 characters"),
        ("set", "all", "no kind of neuron set"),
        ("ranking", "secret", "has no ranking"),
        ("preset", "nothing", "there is no preset"),
        ("seed", "1.5", "the seed must be"),
        ("temperature", "2.1", "the temperature must be a number from 0 to 2"),
        ("temperature", "hot", "the temperature must be a number from 0 to 2"),
        ("top-p", "0", "the top-p must be a number from 0.01 to 1"),
        ("top-p", "nan", "the top-p must be a number from 0.01 to 1"),
        ("sampling-seed", "-1", "the seed of the sampling must be"),
        ("samples", "17", "the number of samples must be a whole number from 1 to 16"),
        ("tokens", "100000", "the length of an answer must be"),
        ("layer", "last", "the layer must be"),
        ("rank", "0", "the first rank must be"),
        ("direction", "forwards", "the direction must be one of restore, break"),
        ("strength", "3", "the strength must be a number from -1 to 2"),
        ("strength", "nan", "the strength must be a number from -1 to 2"),
        ("strength", "strong", "is not a number"),
        ("positions", "0", "the number of first answer tokens must be"),
        ("positions", "9" * 5000, "the number of first answer tokens must be"),
        ("positions", "here" * 200, "one of all, prompt, last_prompt, answer"),
    ],
)
def test_what_is_wrong_in_an_address_is_left_out_with_one_sentence(name, text, words) -> None:
    values, problems = read_address({name: text, "tokens": "32"} | {name: text}, ["safety"], PRESETS)
    assert len(problems) == 1
    assert problems[0].startswith(f"The link's {name} was left out: ")
    assert words in problems[0]
    assert len(problems[0]) < 250
    assert values == ({} if name == "tokens" else {"tokens": 32})


# -- history -------------------------------------------------------------------------------------


def ended(scores: ChangeScores, text: str = "words", stopped: bool = False) -> Generation:
    generation = Generation(Request("=SUM(A1)\n<b>", scores.top(10), 64, {"ranking": "safety", "kind": "top"}))
    for name in COLUMNS:
        generation.columns[name] = Column(f"{text} {name}, “quoted”\nline", 3, End.TOKEN, 1.25, False, 0.5)
    generation.columns["aligned"] = Column("", 1, End.TOKEN, None, None)
    generation.phase, generation.stopped = Phase.DONE, stopped
    generation.steps, generation.seconds = 3, 1.5
    return generation


def test_the_history_holds_each_generation_once_newest_first_and_not_too_many(scores) -> None:
    history, first = [], ended(scores)
    for generation in (first, first, *(ended(scores) for _ in range(KEPT + 2))):
        history = remember(history, generation)
    assert len(history) == KEPT
    assert len({record.id for record in history}) == KEPT
    newest = ended(scores, stopped=True)
    assert remember(history, newest)[0].stopped


def test_a_generation_without_a_word_is_not_kept(scores) -> None:
    assert remember([], Generation(Request("p", scores.top(1), 16))) == []


def test_downloads_hold_everything(scores) -> None:
    history = remember(remember([], ended(scores, "old")), ended(scores, "new"))
    loaded = json.loads(to_json(history))
    assert [r["texts"]["patched"] for r in loaded] == ["new patched, “quoted”\nline", "old patched, “quoted”\nline"]
    assert loaded[0]["prompt"] == "=SUM(A1)\n<b>"
    rows = list(csv.DictReader(io.StringIO(to_csv(history))))
    assert rows[0]["text_unpatched"] == "new unpatched, “quoted”\nline"
    assert (rows[0]["cost_unpatched"], rows[0]["cost_aligned"]) == ("1.25", "")
    assert (rows[0]["reward_unpatched"], rows[0]["reward_aligned"]) == ("0.5", "")
    assert (rows[0]["neurons"], rows[0]["ranking"]) == ("10", "safety")
    assert [rows[0][name] for name in ("direction", "strength", "positions")] == ["restore", "1.0", "all"]
    assert to_csv([]) == ""


# -- cached answers ------------------------------------------------------------------------------


@pytest.fixture
def answers() -> pd.DataFrame:
    def row(suite, prompt_id, column, set_="", seed=-1, fraction=float("nan"), tokens=8):
        text = f"{prompt_id} {column} {set_} {fraction}"
        return (suite, prompt_id, f"prompt {prompt_id}", "c", column, set_, seed, fraction, text, tokens, 1.5, False)

    rows = [
        row("a", "1", "unpatched", tokens=32),
        row("a", "1", "aligned"),
        row("a", "1", "patched", "safety", -1, 0.2),
        row("a", "1", "patched", "safety", -1, 0.05),
        row("a", "1", "patched", "random", 0, 0.05),
        row("b", "1", "unpatched"),
        row("b", "2", "unpatched"),
    ]
    names = "suite prompt_id prompt category column set seed fraction answer tokens cost refused"
    return with_columns("answers", pd.DataFrame(rows, columns=names.split()))


def test_cached_answers_are_found(answers) -> None:
    assert cached_prompts(answers)["prompt 2"] == ("b", "2")
    sets = {label.replace("\u00a0", " "): key for label, key in cached_sets(answers, "a").items()}
    assert list(sets) == [
        "5 %, top of the ranking",
        "20 %, top of the ranking",
        "5 %, random, same number per layer, seed 0",
    ]
    columns = cached_columns(answers, ("a", "1"), CachedSet("random", 0, 0.05), 32)
    assert columns["patched"].text == "1 patched random 0.05"
    assert columns["unpatched"].end is End.LIMIT
    assert columns["aligned"].end is End.TOKEN
    assert (columns["aligned"].cost, columns["aligned"].reward) == (1.5, None)


def test_cached_answers_are_those_of_the_chosen_ranking(answers) -> None:
    patched = answers["column"] == "patched"
    named = answers.assign(ranking=np.where(patched, "safety", ""))
    cause = named[patched & (named["set"] == "safety")].assign(ranking="attribution", answer="by attribution")
    both = pd.concat([named, cause], ignore_index=True)
    assert list(cached_sets(both, "a")) == list(cached_sets(answers, "a"))
    sets = cached_sets(both, "a", "attribution")
    assert set(sets.values()) == {CachedSet("safety", -1, f, "attribution") for f in (0.05, 0.2)}
    columns = cached_columns(both, ("a", "1"), CachedSet("safety", -1, 0.05, "attribution"), 32)
    assert columns["patched"].text == "by attribution"
    assert columns["aligned"].text == "1 aligned  nan"
    assert cached_columns(both, ("a", "1"), CachedSet("safety", -1, 0.05), 32)["patched"].text.startswith("1 patched")
    assert cached_sets(answers, "a", "attribution") == {}


def test_a_run_holds_patches_of_the_paper_alone(answers) -> None:
    assert wanted(Controls(ranking="attribution")) == CachedSet("safety", -1, 0.01, "attribution")
    assert wanted(Controls(kind="random", seed=3, fraction=0.2)) == CachedSet("random", 3, 0.2, "")
    assert wanted(Controls(strength=0.5)) is None
    assert wanted(Controls(positions="prompt")) is None
    assert wanted(Controls(kind="list", neurons="1.2")) is None
    sets = cached_sets(answers, "a")
    assert nearest_set(sets, Controls(fraction=0.15)) == 1
    assert nearest_set(sets, Controls(kind="random", fraction=0.5)) == 2
    assert nearest_set({}, Controls()) == 0


def test_options_are_summed_up_where_they_differ_from_the_paper() -> None:
    assert options_summary(DEFAULTS) == ""
    controls = Controls(direction="break", strength=-0.5, positions="first", first_tokens=1)
    assert options_summary(controls) == "break · strength −0.5 · first 1 answer token"
    assert options_summary(Controls(positions="last_prompt")) == "last prompt token"
    said = options_summary(Controls(temperature=0.7, sampling_seed=3, samples=8))
    assert said == "sampled, temperature 0.7, seed 3, 8 samples"
    assert options_summary(Controls(samples=8, top_p=0.5)) == ""


def test_cached_scores_are_those_that_the_run_has(answers) -> None:
    columns = cached_columns(answers.assign(cost=float("nan"), reward=0.25), ("a", "1"), None, 32)
    assert (columns["aligned"].cost, columns["aligned"].reward) == (None, 0.25)


def test_what_the_run_has_not_is_an_empty_column(answers) -> None:
    columns = cached_columns(answers, ("b", "2"), None, 32)
    assert columns["unpatched"].text
    assert columns["patched"] == columns["aligned"] == Column()
