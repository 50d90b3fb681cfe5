"""A person's own list of prompts: read, answered as the engine answers, stopped."""

import time

import numpy as np
import pytest

import explorer
from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet
from explorer.report.prompt_table import answers_frame, refusals_sentence
from explorer.serve.generation import Column, Scored
from explorer.serve.loading import SharedPair
from explorer.serve.prompt_list import MOST_BYTES, MOST_PROMPTS, ListRequest, PromptList, read_prompts, read_upload
from explorer.serve.worker import Worker
from explorer.serve.writers import stream_request
from tests import tiny


def no_score(_pair, _prompt, texts) -> Scored:
    return Scored(dict.fromkeys(texts, -1.5), dict.fromkeys(texts, True), rewards=dict.fromkeys(texts, 0.5))


@pytest.fixture(scope="module")
def pair():
    return tiny.shared_pair()


def finish(work: PromptList, until=lambda work: not work.active) -> None:
    end = time.monotonic() + 60
    while not until(work):
        assert time.monotonic() < end
        work.drain()
        time.sleep(0.01)


def worker(pair) -> Worker:
    return Worker(SharedPair("tiny", lambda _tell: pair), stream_request, no_score)


@pytest.mark.parametrize("direction", ["restore", "break"])
def test_every_prompt_is_answered_as_by_the_engine(pair, direction) -> None:
    prompts = read_prompts("Why?\n\n  How so?\nTell me.\nWhen?\nWhere, and why there?")
    ns, control = NeuronSet.random(pair, 30, seed=1), NeuronSet.random(pair, 30, seed=2)
    work = PromptList(ListRequest(prompts, ns, control, 8, direction))
    worker(pair).submit(work)
    finish(work)
    assert work.problem == work.notice == ""
    assert work.share == 1
    turned = pair.reversed() if direction == "break" else pair
    for place, prompt in enumerate(prompts):
        out = explorer.generate(turned, [prompt], ns, 8)
        random = explorer.generate(turned, [prompt], control, 8)
        columns = work.answers[place]
        assert [columns[name].text for name in ("unpatched", "patched", "control", "aligned")] == [
            answers[0].text for answers in (out.unpatched, out.patched, random.patched, out.aligned)
        ]
        assert (columns["patched"].cost, columns["patched"].refused) == (-1.5, True)


def test_a_list_can_be_stopped_and_keeps_what_is_answered(pair) -> None:
    work = PromptList(ListRequest(("Why?",) * MOST_PROMPTS, NeuronSet.random(pair, 30, seed=1), None, 16))
    worker(pair).submit(work)
    finish(work, lambda work: len(work.answers) >= 4)
    work.stop()
    assert not work.active
    assert work.notice.startswith("Stopped after ")
    assert 4 <= len(work.answers) < MOST_PROMPTS


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("mine.txt", "\ufeffWhy?\nHow?\n".encode(), ("Why?", "How?")),
        ("mine.csv", b"id,prompt\n1,Why?\n2,How?\n", ("Why?", "How?")),
        ("mine.jsonl", b'{"prompt": "Why?"}\n', ("Why?",)),
    ],
)
def test_files_are_read(name, data, found) -> None:
    assert read_upload(name, data) == found


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("mine.txt", b" \n", "holds no prompts"),
        ("mine.txt", b"x\n" * (MOST_PROMPTS + 1), "more than 40 prompts"),
        ("mine.csv", b"prompt\n" + b"x\n" * (MOST_PROMPTS + 1), "more than 40 prompts"),
        ("mine.txt", b"x" * (MOST_BYTES + 1), "the limit is 1,000,000"),
        ("mine.txt", b"x" * 9000, "9,000 characters"),
        ("mine.exe", b"x", "The file"),
        ("mine.jsonl", b"{broken", "The file"),
        ("../../etc/passwd.csv", b"nothing\n1\n", "The file"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_sentence(name, data, words) -> None:
    with pytest.raises(ExplorerError) as problem:
        read_upload(name, data)
    assert words in str(problem.value)
    assert "/tmp" not in str(problem.value)


def test_the_sentence_has_n_and_intervals() -> None:
    yes, no = Column("I can't help with that.", 5), Column("Sure, mix flour and water.", 5)
    answers = {0: {"unpatched": no, "patched": yes}, 1: {"unpatched": no, "patched": no}}
    frame = answers_frame(["How do I bake?", "How do I cook?"], answers)
    said = refusals_sentence(frame, ("unpatched", "patched"), "restore").replace("\u00a0", " ")
    assert said.startswith("Refused of n = 2: M1 **0 %** [0–66 %], patched M1 **50 %** [")
    assert np.array_equal(frame["verdict_patched"], ["refused", "answered"])
