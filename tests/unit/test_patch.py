"""Strength, positions and direction of a patch: the fast forms against the naive one, and what they leave alone."""

import pytest

import explorer
from explorer.engine.batch import DecodeBatch
from explorer.engine.options import UNPATCHED, Columns, Decoding
from explorer.engine.patching import generate, opening_of, stream, sweep
from explorer.engine.reference import naive_greedy, naive_patched
from explorer.errors import ExplorerError
from explorer.models.prompting import tokens_behind
from explorer.neurons.patch import POSITIONS, Patch, check_positions, check_strength
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.unit.test_drafts import Prophet
from tests.unit.test_patching import first_step

NEW = 6
PROMPTS = tiny.PROMPTS[:3]
PLACES = (*POSITIONS, 1, 3, "prompt[-3]", "prompt+answer[:2]", "answer[2:]")
STRENGTHS = (-1.0, 0.5, 1.0, 2.0)
PAIRS = {
    "fused": lambda: tiny.shared_pair("llama"),
    "fused lockstep": lambda: tiny.lockstep_pair("qwen2"),
    "hooks": lambda: tiny.shared_pair("gemma2"),
    "hooks lockstep": lambda: tiny.lockstep_pair("mistral"),
    **{kind: (lambda kind=kind: tiny.any_pair(kind)) for kind in ("gpt2", "opt", "qwen2_moe", "t5")},
    "t5 lockstep": lambda: tiny.any_pair("t5", shared=False),
}
"""Each way in which text is decoded, and each in which neurons are reached."""


@pytest.fixture(scope="module", params=PAIRS)
def pair(request):
    return PAIRS[request.param]()


def some(pair) -> NeuronSet:
    return NeuronSet.random(pair, round(0.4 * pair.total_neurons), seed=1)


@pytest.mark.parametrize("direction", ["restore", "break"])
def test_every_strength_at_every_place_equals_the_naive_form(pair, direction):
    pair = pair if direction == "restore" else pair.reversed()
    ns = some(pair)
    combinations = [(strength, places) for strength in STRENGTHS for places in PLACES]
    if direction == "break":  # the same code: every strength and every place once
        combinations = [(STRENGTHS[i % len(STRENGTHS)], places) for i, places in enumerate(PLACES)]
    out = sweep(pair, PROMPTS, Columns([Patch(ns, *both) for both in combinations]), Decoding(NEW))
    for (strength, places), answers in zip(combinations, out.patched, strict=True):
        for prompt, answer in zip(PROMPTS, answers, strict=True):
            naive = naive_patched(pair, pair.encode(prompt), ns, NEW, strength, places)
            assert list(answer.token_ids) == naive, (strength, places, prompt)


def test_strength_1_everywhere_is_the_plain_patch_and_0_none(pair):
    ns = some(pair)
    plain = generate(pair, PROMPTS, ns, NEW)
    assert generate(pair, PROMPTS, ns, NEW, strength=1, positions="all") == plain
    assert generate(pair, PROMPTS, ns, NEW, strength=0.0).patched == plain.unpatched
    assert generate(pair, PROMPTS, ns, NEW, strength=0, positions="answer").patched == plain.unpatched


def test_strength_and_positions_do_something(pair):
    ns = some(pair)
    out = sweep(
        pair, tiny.PROMPTS, Columns([ns, Patch(ns, 2.0), Patch(ns, -1.0), Patch(ns, 1.0, "prompt")]), Decoding(NEW)
    )
    assert all(other != out.patched[0] for other in out.patched[1:])
    assert all(other != out.unpatched for other in out.patched)


def test_columns_of_their_own_settings_are_those_of_one_setting(pair):
    ns, few = some(pair), NeuronSet.random(pair, 9, seed=2)
    patches = [Patch(ns, 0.5, "prompt"), Patch(few), Patch(ns, 2.0, 2), Patch(few, 1.0, "answer")]
    out = sweep(pair, PROMPTS, Columns(patches), Decoding(NEW))
    for patch, answers in zip(patches, out.patched, strict=True):
        alone = generate(pair, PROMPTS, patch.neurons, NEW, strength=patch.strength, positions=patch.positions)
        assert answers == alone.patched


def test_a_stream_takes_them_too(pair):
    ns = some(pair)
    for strength, places in ((2.0, "answer"), (-1.0, 3)):
        options = {"strength": strength, "positions": places}
        answer = generate(pair, PROMPTS[:1], ns, NEW, **options).patched[0]
        steps = stream(pair, PROMPTS[0], ns, NEW, **options)
        assert tuple(step.patched.id for step in steps if step.patched) == answer.token_ids


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_drafts_verified_ahead_are_patched_where_their_positions_are(kind):
    for pair in (tiny.shared_pair(kind), tiny.lockstep_pair(kind)):
        ns = some(pair)
        patches = [Patch(ns, 1.0, 3), Patch(ns, 2.0, "answer"), Patch(ns, 1.0, "prompt"), Patch(ns)]
        plain = sweep(pair, PROMPTS, Columns(patches), Decoding(NEW))
        known = [
            pair.encode(prompt) + list(answer.token_ids)
            for column in (plain.unpatched, plain.aligned, *plain.patched)
            for prompt, answer in zip(PROMPTS, column, strict=True)
        ]
        for errs in (False, True):
            assert sweep(pair, PROMPTS, Columns(patches), Decoding(NEW, draft=Prophet(known, errs))) == plain


@pytest.mark.parametrize("prompts", [["Hi", "Hi"], ["Hi", "Hi there", "Hi the"], tiny.PROMPTS[:4]])
def test_what_prompts_share_ends_before_a_place_that_is_told_apart(prompts):
    """The shared prefix is read once for all prompts, but a place counted from the end is another in each."""
    pair = tiny.shared_pair("llama")
    ns = some(pair)
    for places in ("prompt[-2]", "prompt[-25]", "prompt[-400]", "last_prompt"):
        answers = sweep(pair, prompts, Columns([Patch(ns, 1.0, places)]), Decoding(NEW)).patched[0]
        for prompt, answer in zip(prompts, answers, strict=True):
            assert list(answer.token_ids) == naive_patched(pair, pair.encode(prompt), ns, NEW, 1.0, places)


def test_a_place_in_the_template_is_patched_behind_every_prompt(pair):
    ns = some(pair)
    behind = {tokens_behind(pair.tokenizer, prompt) for prompt in PROMPTS}
    assert len(behind) == 1
    places = f"prompt[-{behind.pop() + 1}]"
    ids = pair.encode(PROMPTS[0])
    assert pair.decode([ids[-int(places[8:-1])]]) == PROMPTS[0][-1]  # a byte a token
    out = sweep(pair, PROMPTS, Columns([Patch(ns, 1.0, places)]), Decoding(NEW))
    for prompt, answer in zip(PROMPTS, out.patched[0], strict=True):
        assert list(answer.token_ids) == naive_patched(pair, pair.encode(prompt), ns, NEW, 1.0, places)


def test_answers_go_on_from_a_given_opening(pair):
    ns, opening = some(pair), "Su"
    places = ("all", "prompt", "answer[2:]", "answer[1:]", 2, "prompt[-3]")
    how = Decoding(NEW, opening=opening)
    out = sweep(pair, PROMPTS, Columns([Patch(ns, 1.0, place) for place in places]), how)
    for number, prompt in enumerate(PROMPTS):
        ids = pair.encode(prompt)
        given = opening_of(pair, prompt, how)
        assert out.unpatched[number].text.startswith(opening)
        assert list(out.unpatched[number].token_ids) == naive_greedy(pair, pair.m1, ids, NEW, given)
        assert list(out.aligned[number].token_ids) == naive_greedy(pair, pair.m2, ids, NEW, given)
        for place, answers in zip(places, out.patched, strict=True):
            naive = naive_patched(pair, ids, ns, NEW, 1.0, place, given)
            assert list(answers[number].token_ids) == naive, (place, prompt)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_drafts_are_verified_behind_an_opening_too(kind):
    pair = tiny.shared_pair(kind)
    columns = Columns([Patch(some(pair), 1.0, place) for place in ("all", "answer[3:]", 3)])
    plain = sweep(pair, PROMPTS, columns, Decoding(NEW, opening="Sur"))
    known = [
        pair.encode(prompt) + list(answer.token_ids)
        for column in (plain.unpatched, plain.aligned, *plain.patched)
        for prompt, answer in zip(PROMPTS, column, strict=True)
    ]
    for errs in (False, True):
        assert sweep(pair, PROMPTS, columns, Decoding(NEW, draft=Prophet(known, errs), opening="Sur")) == plain


def test_an_opening_that_leaves_no_room_is_one_sentence():
    with pytest.raises(ExplorerError, match=r"The opening “Sure, here is” has 13 tokens, .* raise the length"):
        sweep(tiny.shared_pair(), PROMPTS, Columns(), Decoding(NEW, opening="Sure, here is"))


# -- what is patched -------------------------------------------------------------------------------


def test_only_the_chosen_positions_of_the_prompt_change():
    pair = tiny.shared_pair("gemma2")
    ids = pair.encode(PROMPTS[0])
    ns = NeuronSet.from_pairs([(1, 3)], pair)
    plain = first_step(pair, ids, NeuronSet.empty(pair), 0)[1]
    for positions, changed in (
        ("all", range(len(ids))),
        ("last_prompt", [len(ids) - 1]),
        ("prompt[-4]", [len(ids) - 4]),
        ("prompt+answer[:1]", range(len(ids))),
        (f"prompt[-{len(ids) + 1}]", []),
        ("answer", []),
        ("answer[1:]", []),
        (4, []),
    ):
        patched = first_step(pair, ids, Patch(ns, 1.0, positions), 0)[1]
        differs = (plain != patched).any(dim=1).nonzero().flatten().tolist()
        assert differs == list(changed)


def test_half_a_patch_lies_half_way():
    pair = tiny.shared_pair("llama")
    ids, ns = pair.encode(PROMPTS[0]), NeuronSet.from_pairs([(0, 3), (0, 5)], pair)
    none, half, whole = (first_step(pair, ids, Patch(ns, strength), 0)[0] for strength in (0.0, 0.5, 1.0))
    assert (none != whole).any()
    assert abs(half - (none + whole) / 2).max() <= 1e-6 * abs(whole).max()


def test_where_nothing_is_left_to_patch_nothing_is_computed(monkeypatch):
    """Behind the prompt, a patch of the prompt costs no kernel."""
    pair = tiny.shared_pair("llama")
    batch = DecodeBatch(pair, [pair.encode("Hi")], [Patch(some(pair), 1.0, "prompt")], [0, UNPATCHED], Decoding(NEW))
    replacing, seen = batch.replacing, []
    monkeypatch.setattr(replacing, "_where", lambda *a, f=replacing._where: seen.append(f(*a)) or seen[-1])
    batch.step()
    batch.advance()
    batch.step()
    assert seen == [True] * pair.n_layers + [False] * pair.n_layers


# -- the other direction ---------------------------------------------------------------------------


def test_a_reversed_pair_has_m1_and_m2_exchanged(pair):
    back = pair.reversed()
    assert back.shared == pair.shared
    assert back.backbone1 is pair.backbone2
    assert back.lock is pair.lock
    assert "reversed" in back.spec.name
    assert (back.spec.m1, back.spec.m2) == (pair.spec.m2, pair.spec.m1)
    assert back.memory_bytes == pair.memory_bytes
    there, again = (generate(p, PROMPTS, NeuronSet.empty(pair), NEW) for p in (back, back.reversed()))
    plain = generate(pair, PROMPTS, NeuronSet.empty(pair), NEW)
    assert (there.unpatched, there.aligned) == (plain.aligned, plain.unpatched)
    assert again == plain


def test_breaking_with_all_neurons_makes_m2_m1():
    pair = tiny.shared_pair()
    out = generate(pair.reversed(), PROMPTS, NeuronSet.all(pair), NEW)
    assert out.patched == out.aligned == generate(pair, PROMPTS, NeuronSet.empty(pair), NEW).unpatched


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1.1, 2.5, float("nan"), float("inf"), "1", True, None])
def test_a_wrong_strength_is_one_clear_sentence(wrong):
    with pytest.raises(ExplorerError, match=r"from -1 to 2 .* not ") as caught:
        check_strength(wrong)
    assert "\n" not in str(caught.value)


SLICED_WRONG = (
    "prompt[-0]",
    "prompt[-x]",
    "answer[-2:]",
    "prompt+answer[2:]",
    "prompt[-2:]",
    "answer[2]",
    "answer[:0]",
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("prompt[-1]", "last_prompt"),
        ("prompt[-5]", "prompt[-5]"),
        ("answer[:3]", 3),
        ("answer[0:]", "answer"),
        ("answer[08:]", "answer[8:]"),
        ("prompt+answer[:0]", "prompt"),
        ("prompt+answer[:3]", "prompt+answer[:3]"),
    ],
)
def test_a_place_is_written_in_one_way(written, meant):
    assert check_positions(written) == meant
    assert check_positions(meant) == meant


@pytest.mark.parametrize("wrong", ["everywhere", 0, -3, 1.5, True, None, "", "0", *SLICED_WRONG])
def test_wrong_positions_are_one_clear_sentence(wrong):
    with pytest.raises(ExplorerError, match="all, prompt, last_prompt, answer, or how many first tokens"):
        check_positions(wrong)


def test_they_are_checked_before_anything_is_read():
    pair = tiny.shared_pair()
    ns = NeuronSet.empty(pair)
    for options in ({"strength": 3}, {"positions": "here"}):
        with pytest.raises(ExplorerError):
            stream(pair, "Hi", ns, NEW, **options)
        with pytest.raises(ExplorerError):
            explorer.generate(pair, ["Hi"], ns, NEW, **options)
    assert Patch(ns, 1, "4").positions == 4
