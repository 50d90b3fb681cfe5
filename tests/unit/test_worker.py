"""Generations: one at a time, told through a queue, stopped at once, never left to hang."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

import explorer
from explorer.engine.given_text import last_prompt_activations
from explorer.engine.patching import Step, Token
from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet
from explorer.serve import scoring
from explorer.serve.generation import COLUMNS, End, Generation, Guard, Limits, Phase, Request, Scored
from explorer.serve.loading import SharedPair
from explorer.serve.worker import Worker
from explorer.serve.writers import stream_request
from explorer.ui.patch_lab.foreseen_view import foreseen_words
from tests import tiny
from tests.close import assert_close


@pytest.fixture(scope="module")
def pair():
    return tiny.shared_pair()


@pytest.fixture
def source(pair):
    return SharedPair("tiny", lambda _tell: pair)


def request(prompt: str = "Why?", k: int = 30, tokens: int = 12) -> Request:
    ns = NeuronSet.from_flat(np.arange(k), tiny.shared_pair(), "some")
    return Request(prompt, ns, tokens)


def no_score(_pair, _prompt, texts) -> Scored:
    return Scored(dict.fromkeys(texts, -1.5), dict.fromkeys(texts, True), rewards=dict.fromkeys(texts, 0.5))


def until(condition: Callable[[], bool], *generations: Generation, seconds: float = 20.0) -> None:
    """Drain like a page does until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        for generation in generations:
            generation.drain()
        time.sleep(0.01)


def finish(*generations: Generation) -> None:
    until(lambda: not any(g.active for g in generations), *generations)


class Slow:
    """A stream of words without a model, a step each `pause` seconds, that counts how many run at once."""

    def __init__(self, pause: float = 0.02, steps: int = 1000) -> None:
        self.pause, self.steps = pause, steps
        self.running = self.most = self.written = 0
        self.order: list[str] = []

    def __call__(self, _pair, req: Request) -> Iterator[Step]:
        self.running += 1
        self.most = max(self.most, self.running)
        self.order.append(req.prompt)
        try:
            for i in range(self.steps):
                time.sleep(self.pause)
                self.written += 1
                token = Token(1, f"{req.prompt}{i} ")
                yield Step(token, token, token)
        finally:
            self.running -= 1


def test_the_answers_are_those_of_the_engine(pair, source) -> None:
    asked = request("Tell me about the sea.")
    generation = Generation(asked)
    Worker(source, stream_request, no_score).submit(generation)
    finish(generation)
    expected = explorer.generate(pair, [asked.prompt], asked.neurons, asked.max_new_tokens)
    assert generation.problem == ""
    for name in COLUMNS:
        answer, column = getattr(expected, name)[0], generation.columns[name]
        assert column.text == answer.text
        assert column.tokens == len(answer.token_ids)
        assert column.end is (End.TOKEN if answer.token_ids[-1] in pair.stop_ids else End.LIMIT)
        assert (column.cost, column.reward, column.refused) == (-1.5, 0.5, True)
    assert generation.tokens_per_second == pytest.approx(generation.tokens / generation.seconds)
    assert generation.steps == max(c.tokens for c in generation.columns.values())


def test_a_column_of_random_neurons_is_written_where_it_is_asked_for(pair, source) -> None:
    asked = replace(request("Tell me about the sea."), control=NeuronSet.random(pair, 30, seed=2))
    generation = Generation(asked)
    Worker(source, stream_request, no_score).submit(generation)
    finish(generation)
    assert tuple(generation.columns) == ("unpatched", "patched", "control", "aligned")
    for ns, name in ((asked.neurons, "patched"), (asked.control, "control")):
        expected = explorer.generate(pair, [asked.prompt], ns, asked.max_new_tokens)
        assert generation.columns[name].text == expected.patched[0].text
        assert generation.columns[name].cost == -1.5


def test_stop_is_immediate_and_keeps_the_text(source) -> None:
    slow = Slow()
    generation = Generation(request())
    Worker(source, slow, no_score).submit(generation)
    until(lambda: generation.tokens > 5, generation)
    generation.stop()
    kept = {name: generation.columns[name].text for name in COLUMNS}
    assert all(column.end is End.STOPPED for column in generation.columns.values())
    finish(generation)
    assert {name: generation.columns[name].text for name in COLUMNS} == kept
    assert all(kept.values())
    assert generation.columns["patched"].cost == -1.5
    written = slow.written
    time.sleep(0.1)
    assert slow.written <= written + 1
    assert slow.running == 0


def test_what_is_scored_is_what_is_shown(source) -> None:
    scored: dict[str, str] = {}

    def score(_pair, _prompt, texts) -> Scored:
        scored.update(texts)
        return Scored({}, {})

    for _ in range(5):
        generation = Generation(request())
        Worker(source, Slow(pause=0.001), score).submit(generation)
        until(lambda g=generation: g.tokens > 30, generation)
        generation.stop()
        finish(generation)
        assert scored == {name: generation.columns[name].text for name in COLUMNS}


def test_one_runs_at_a_time_in_the_order_of_asking(source) -> None:
    slow = Slow(pause=0.005, steps=10)
    worker = Worker(source, slow, no_score)
    generations = [Generation(request(f"p{i}")) for i in range(4)]
    for generation in generations:
        worker.submit(generation)
    until(lambda: generations[0].tokens > 0, *generations)
    assert worker.ahead_of(generations[0]) == 0
    assert [worker.ahead_of(g) for g in generations[1:]] == [1, 2, 3]
    finish(*generations)
    assert slow.order == ["p0", "p1", "p2", "p3"]
    assert slow.most == 1
    for i, generation in enumerate(generations):
        assert generation.columns["aligned"].text.startswith(f"p{i}0 p{i}1 ")


def test_a_waiting_generation_can_be_stopped_and_is_never_run(source) -> None:
    slow = Slow(pause=0.01, steps=30)
    worker = Worker(source, slow, no_score)
    first, second, third = (Generation(request(p)) for p in ("first", "second", "third"))
    for generation in (first, second, third):
        worker.submit(generation)
    until(lambda: first.tokens > 0, first, second, third)
    second.stop()
    assert second.phase is Phase.DONE
    assert worker.ahead_of(third) == 1
    finish(first, third)
    assert slow.order == ["first", "third"]


def test_a_generation_that_nobody_looks_at_ends_and_says_so_when_somebody_does(source) -> None:
    slow = Slow(pause=0.01)
    worker = Worker(source, slow, no_score)
    generation = Generation(request(), Limits(undrained=0.2))
    worker.submit(generation)
    time.sleep(0.1)
    assert slow.running == 1
    time.sleep(0.6)
    assert slow.running == 0
    finish(generation)
    assert "page was left" in generation.notice
    assert generation.columns["patched"].text


def test_waiting_too_long_is_one_sentence(source) -> None:
    worker = Worker(source, Slow(pause=0.01, steps=80), no_score)
    first, second = Generation(request("a")), Generation(request("b"), Limits(waiting=0.2))
    worker.submit(first)
    worker.submit(second)
    until(lambda: not second.active, first, second)
    assert second.problem.startswith("Other generations kept the model busy")
    finish(first)
    assert first.problem == ""


def test_a_model_that_hangs_is_given_up(source) -> None:
    let_go = threading.Event()

    def hang(_pair, _req) -> Iterator[Step]:
        let_go.wait(10)
        yield from ()

    generation = Generation(request(), Limits(silence=0.2))
    Worker(source, hang, no_score).submit(generation)
    finish(generation)
    assert "no sign of life" in generation.problem
    let_go.set()


def test_a_generation_that_takes_too_long_is_cut_with_its_text_kept(source) -> None:
    generation = Generation(request(), Limits(running=0.1))
    Worker(source, Slow(pause=0.01), no_score).submit(generation)
    finish(generation)
    assert generation.notice.startswith("The answers were cut after")
    assert generation.columns["patched"].text
    assert generation.columns["patched"].end is End.STOPPED
    assert generation.problem == ""


def test_known_errors_reach_the_page_as_they_are(source) -> None:
    generation = Generation(request(prompt="x" * 9000))
    Worker(source, stream_request, no_score).submit(generation)
    finish(generation)
    assert generation.problem.startswith("The prompt has 9,000 characters")


def test_unknown_errors_become_one_sentence_and_the_queue_goes_on(source, caplog) -> None:
    def broken(_pair, req: Request) -> Iterator[Step]:
        if req.prompt == "bad":
            raise ZeroDivisionError("secret detail")
        yield Step(Token(1, "fine"), None, None)

    worker = Worker(source, broken, no_score)
    bad, good = Generation(request("bad")), Generation(request("good"))
    worker.submit(bad)
    worker.submit(good)
    finish(bad, good)
    assert bad.problem == "The generation failed; the server's log says why."
    assert good.columns["unpatched"].text == "fine"
    assert "secret detail" in caplog.text


def test_a_cost_that_cannot_be_had_is_explained(source, monkeypatch) -> None:
    def load_scorer(name, pair=None):
        if name == "demo-cost":
            raise ExplorerError("the head is missing.")
        from explorer.scoring.refusal import RefusalScorer

        return RefusalScorer()

    monkeypatch.setattr("explorer.scoring.scorers.load_scorer", load_scorer)
    scored = scoring.score_answers(None, "p", {"unpatched": "Sure.", "patched": "", "aligned": "I can't help."})
    assert scored.note == "Cost not available: the head is missing."
    assert scored.refused == {"unpatched": False, "aligned": True}
    assert scored.costs == {}
    assert scored.rewards == {"unpatched": 0.0, "aligned": 1.0}


def test_scores_that_lack_the_same_thing_say_so_once(source, monkeypatch) -> None:
    from explorer.scoring.refusal import RefusalScorer

    def load_scorer(name, pair=None):
        if name != "refusal":
            raise ExplorerError("the model is missing.")
        return RefusalScorer()

    monkeypatch.setattr("explorer.scoring.scorers.load_scorer", load_scorer)
    scored = scoring.score_answers(None, "p", dict.fromkeys(COLUMNS, "Sure."))
    assert scored.note == "Cost and reward not available: the model is missing."


def test_the_pair_is_loaded_once_for_all_and_progress_is_told(pair) -> None:
    calls, go_on = [], threading.Event()

    def load(tell):
        calls.append(1)
        tell("Unpacking", 0.4)
        go_on.wait(10)
        return pair

    shared = SharedPair("tiny", load)
    worker = Worker(shared, Slow(pause=0.001, steps=2), no_score)
    first, second = Generation(request("a")), Generation(request("b"))
    worker.submit(first)
    worker.submit(second)
    until(lambda: first.loading == ("Unpacking", 0.4), first, second)
    assert first.phase is Phase.LOADING
    assert second.phase is Phase.WAITING
    shared.start()
    go_on.set()
    finish(first, second)
    assert calls == [1]
    assert first.problem == second.problem == ""


def test_a_load_can_be_stopped_on_the_page_and_still_serves_the_next(pair) -> None:
    go_on = threading.Event()

    def load(_tell):
        go_on.wait(10)
        return pair

    worker = Worker(SharedPair("tiny", load), Slow(pause=0.001, steps=2), no_score)
    generation = Generation(request())
    worker.submit(generation)
    until(lambda: generation.phase is Phase.LOADING, generation)
    generation.stop()
    assert not generation.active
    go_on.set()
    later = Generation(request("later"))
    worker.submit(later)
    finish(later)
    assert later.columns["patched"].text


def test_a_load_that_fails_is_told_and_tried_again(pair) -> None:
    tries = []

    def load(_tell):
        tries.append(1)
        if len(tries) == 1:
            raise ExplorerError("The embedded model is not installed; run make setup.")
        return pair

    worker = Worker(SharedPair("tiny", load), Slow(pause=0.001, steps=2), no_score)
    first = Generation(request())
    worker.submit(first)
    finish(first)
    assert first.problem == "The embedded model is not installed; run make setup."
    second = Generation(request())
    worker.submit(second)
    finish(second)
    assert second.problem == ""
    assert second.columns["aligned"].text


def test_a_released_pair_is_loaded_again_when_it_is_needed(pair) -> None:
    calls = []
    shared = SharedPair("tiny", lambda _tell: calls.append(1) or pair)
    shared.start()
    assert shared.wait(5)
    shared.release()
    assert not shared.ready
    with pytest.raises(ExplorerError, match="still loading"):
        shared.result()
    shared.start()
    assert shared.wait(5)
    assert shared.result() is pair
    assert len(calls) == 2


def test_the_worker_needs_neither_torch_nor_streamlit_to_be_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys, explorer.serve.worker; sys.exit(bool({'torch', 'streamlit', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_harm_is_foreseen_before_the_first_word(pair, source):
    ns = NeuronSet.random(pair, 5, seed=2)
    weight = np.linspace(-1, 1, 5)
    worker = Worker(source, score=lambda *_: Scored({"unpatched": 1.5}, {}))
    generation = Generation(Request("Why?", ns, 16, {}, Guard(ns, weight, 0.25, 40)))
    worker.submit(generation)
    until(lambda: not generation.active, generation)
    seen = last_prompt_activations(pair, ["Why?"], ns)[0]
    foreseen = 1 / (1 + np.exp(-(float(seen @ weight) + 0.25)))  # its slope in the odds is at most 1/4
    assert_close(generation.foreseen, foreseen, layers=pair.n_layers, scale=max(1.0, np.abs(seen * weight).sum() / 4))
    words = foreseen_words(generation)
    assert "5 neurons" in words
    assert "harmful**, cost +1.5" in words


@pytest.mark.parametrize("direction", ["restore", "break"])
def test_direction_strength_and_positions_reach_the_engine(pair, source, direction) -> None:
    how = {"strength": 0.5, "positions": 3}
    asked = replace(request("Tell me about the sea.", k=60), direction=direction, **how)
    generation = Generation(asked)
    Worker(source, stream_request, no_score).submit(generation)
    finish(generation)
    way = pair.reversed() if direction == "break" else pair
    expected = explorer.generate(way, [asked.prompt], asked.neurons, asked.max_new_tokens, **how)
    assert generation.problem == ""
    for name in COLUMNS:
        assert generation.columns[name].text == getattr(expected, name)[0].text


def test_harm_is_foreseen_of_m1_whichever_way_round(pair, source) -> None:
    ns = NeuronSet.random(pair, 5, seed=2)
    asked = Request("Why?", ns, 16, {}, Guard(ns, np.linspace(-1, 1, 5), 0.25, 40), direction="break")
    foreseen = []
    for way in ("restore", "break"):
        generation = Generation(replace(asked, direction=way))
        Worker(source, score=lambda *_: Scored({"unpatched": 1.5, "aligned": -2.0}, {})).submit(generation)
        finish(generation)
        foreseen.append(generation.foreseen)
    assert foreseen[0] == foreseen[1]
    assert "not harmful**, cost −2.0" in foreseen_words(generation)


def test_what_was_said_before_is_read_by_every_column(pair, source) -> None:
    said = (("system", "Be brief."), ("user", "Hello."), ("assistant", "Yes?"))
    asked = replace(request("Tell me about the sea."), before=said)
    generation = Generation(asked)
    Worker(source, stream_request, no_score).submit(generation)
    finish(generation)
    assert generation.problem == ""
    ids = pair.encode_behind(said, asked.prompt, asked.max_new_tokens)
    assert len(ids) > len(pair.encode(asked.prompt))
    steps = list(explorer.stream(pair, asked.prompt, asked.neurons, asked.max_new_tokens, before=said))
    for name in COLUMNS:
        tokens = [getattr(step, name) for step in steps]
        assert generation.columns[name].ids == [token.id for token in tokens if token is not None]


def test_a_dialogue_that_leaves_no_room_is_one_sentence(pair) -> None:
    with pytest.raises(ExplorerError, match="Shorten it"):
        explorer.stream(pair, "Why?", NeuronSet.empty(pair), 12, before=[("user", "x" * 7000), ("assistant", "y")])
