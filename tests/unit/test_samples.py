"""Samples and conversations of a generation: what is written, what is kept of it, and the code that repeats it."""

import contextlib
import csv
import io
import json
from dataclasses import asdict, replace

import pytest

import explorer
from explorer.digests import digest
from explorer.engine.options import Sampling
from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet
from explorer.serve import snapshots
from explorer.serve.exports import to_code, to_csv, to_markdown
from explorer.serve.generation import End, Generation, Request
from explorer.serve.history import Record, columns_of, record_of
from explorer.serve.loading import SharedPair
from explorer.serve.samples import MOST_SAMPLES, Refusals, check_samples, decoding_words
from explorer.serve.tracing import TraceRequest, trace_request
from explorer.serve.worker import Worker
from explorer.serve.writers import JointWriters, waves_of
from tests import tiny
from tests.unit.test_worker import finish, no_score

HOW = Sampling(1.2, 0.9, seed=4)
OWN = {
    name: (("user", "Hi"), ("assistant", text))
    for name, text in {"unpatched": "Yes.", "patched": "No.", "control": "So?", "aligned": "I can't."}.items()
}


@pytest.fixture(scope="module")
def pair():
    return tiny.shared_pair()


def asked(pair, **changes) -> Request:
    ns, control = NeuronSet.random(pair, 25, seed=2), NeuronSet.random(pair, 25, seed=3)
    plain = Request("Why?", ns, 8, {"ranking": "safety"}, control=control, sampling=HOW, samples=7)
    return replace(plain, **changes)


def written(pair, request: Request) -> Generation:
    generation = Generation(request)
    Worker(SharedPair("tiny", lambda _tell: pair), score=no_score).submit(generation)
    finish(generation)
    assert generation.problem == ""
    return generation


def streamed(pair, request: Request, column: str, sample: int) -> str:
    before = request.before_in(column)
    how = {"control": request.control, "before": before, "sampling": request.sampling, "sample": sample}
    steps = list(explorer.stream(pair, request.prompt, request.neurons, request.max_new_tokens, **how))
    return "".join(getattr(step, column).text for step in steps if getattr(step, column))


@pytest.mark.parametrize("changes", [{}, {"own": OWN, "samples": 2}, {"control": None, "samples": 1}])
def test_a_worker_writes_the_samples_that_the_engine_streams(pair, changes):
    request = asked(pair, **changes)
    generation = written(pair, request)
    assert len(generation.samples) == request.samples
    for sample, columns in enumerate(generation.samples):
        assert tuple(columns) == request.columns
        for name, column in columns.items():
            assert column.text == streamed(pair, request, name, sample)
            assert column.end in (End.TOKEN, End.LIMIT)
            assert column.cost == -1.5
    assert generation.tokens == sum(len(column.ids) for column in generation.answers)


@pytest.mark.parametrize("kind", ["t5", "gpt2"])
def test_samples_of_models_that_are_not_joined(kind):
    pair = tiny.any_pair(kind)
    request = asked(pair, control=None, samples=9)
    generation = written(pair, request)
    for sample, columns in enumerate(generation.samples):
        assert columns["patched"].text == streamed(pair, request, "patched", sample)


def test_more_samples_than_fit_are_written_one_after_the_other(pair):
    generation = Generation(asked(pair))
    assert waves_of(generation) == 2
    assert waves_of(generation, rows=1) == 7
    writers, found, most = JointWriters(rows=12), {}, 0
    pieces, ended = writers.begin(pair, generation)
    while True:
        for name, its in pieces.items():
            for piece in its:
                found[name, piece.sample] = found.get((name, piece.sample), "") + piece.text
        most = max([most, *(len({sample for _, sample in seat.open}) for seat in writers._seats)])
        if ended:
            break
        [(_, pieces, ended)] = writers.step()
    assert most == 2  # six rows each
    whole = written(pair, generation.request)
    assert found == {(n, s): c.text for s, columns in enumerate(whole.samples) for n, c in columns.items()}


def test_stopped_samples_stop(pair):
    generation = Generation(asked(pair, max_new_tokens=200))
    Worker(SharedPair("tiny", lambda _tell: pair), score=no_score).submit(generation)
    generation.stop()
    finish(generation)
    assert all(column.end is not None for column in generation.answers)


# -- what is kept ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(pair) -> Record:
    return record_of(written(pair, asked(pair, samples=3)))


def test_a_record_holds_all_samples(pair, kept):
    assert kept.sampling == HOW
    assert kept.decoding == "sampled, temperature 1.2, top-p 0.9, seed 4, 3 samples"
    generation = written(pair, asked(pair, samples=3))
    for sample, columns in enumerate(generation.samples):
        assert {n: c.text for n, c in columns_of(kept, sample).items()} == {n: c.text for n, c in columns.items()}
    assert kept.refusals("patched").of == 3


def test_files_hold_all_samples(kept):
    rows = list(csv.DictReader(io.StringIO(to_csv([kept]))))
    assert [(row["sample"], row["samples"]) for row in rows] == [("1", "3"), ("2", "3"), ("3", "3")]
    assert [row["text_patched"] for row in rows] == [one["texts"]["patched"] for one in kept.samples]
    assert rows[0]["temperature"] == "1.2"
    report = to_markdown(kept)
    assert "- decoding: sampled, temperature 1.2, top-p 0.9, seed 4, 3 samples, up to 8 tokens" in report
    assert "## Patched M1, sample 2 of 3" in report
    assert "95 % interval" in report.replace("\u00a0", " ")


def run_code(code: str, pair, kept: Record, monkeypatch) -> str:
    """What the code prints, with the tiny pair and its set in place of a run's."""
    lines = [line for line in code.splitlines() if not line.startswith(("run =", "pair =", "ranking =", "neurons ="))]
    monkeypatch.setattr(NeuronSet, "random_like", lambda _ns, seed: NeuronSet.random(pair, 25, seed=3))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec("\n".join(lines), {"pair": pair, "neurons": NeuronSet.random(pair, 25, seed=2)})
    return out.getvalue()


@pytest.mark.parametrize("changes", [{}, {"own": OWN}, {"before": OWN["patched"]}, {"sampling": None, "samples": 1}])
def test_the_code_gives_the_same_answers(pair, changes, monkeypatch):
    kept = record_of(written(pair, asked(pair, **({"samples": 2} | changes))))
    printed = run_code(to_code(kept), pair, kept, monkeypatch)
    texts = [sample["texts"][name] for sample in kept.samples for name in kept.names]
    assert sorted(printed.split("\n\n")[:-1]) == sorted("\n\n".join(texts).split("\n\n"))


# -- links -------------------------------------------------------------------------------------------


@pytest.fixture
def links(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path))
    return tmp_path / "links"


def test_a_link_brings_samples_and_conversations_back(pair, kept, links):
    assert snapshots.load(snapshots.save(kept)) == kept
    own = record_of(written(pair, asked(pair, own=OWN, samples=2)))
    assert snapshots.load(snapshots.save(own)) == own
    assert "Said before to Unpatched M1" in to_markdown(own)


def test_a_link_of_before_sampling_is_greedy(pair, links):
    found = record_of(written(pair, asked(pair, sampling=None, samples=1)))
    newer = ("temperature", "top_p", "sampling_seed", "others", "own")
    value = {name: field for name, field in asdict(found).items() if name not in newer}
    links.mkdir()
    (links / f"{digest(value)[:16]}.json").write_text(json.dumps(value))
    assert snapshots.load(digest(value)[:16]) == found
    assert found.decoding == "greedy"


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"top_p": "all"},
        {"sampling_seed": 1.5},
        {"others": {}},
        {"others": [{}]},
        {"others": [None] * 20},
        {"own": []},
        {"own": {"nobody": []}},
        {"own": {"patched": [["user"]]}},
    ],
)
def test_a_damaged_link_says_so(kept, links, wrong):
    value = asdict(kept) | wrong
    links.mkdir()
    (links / f"{digest(value)[:16]}.json").write_text(json.dumps(value))
    with pytest.raises(ExplorerError, match="damaged"):
        snapshots.load(digest(value)[:16])


# -- words -------------------------------------------------------------------------------------------


def test_decoding_in_words():
    assert decoding_words(None) == decoding_words(Sampling(0.0), 1) == "greedy"
    assert decoding_words(Sampling(0.7, seed=3), 8) == "sampled, temperature 0.7, seed 3, 8 samples"
    assert decoding_words(Sampling(1.0, 0.95, 0)) == "sampled, temperature 1, top-p 0.95, seed 0"


def test_the_share_that_refuses_has_an_interval():
    assert Refusals(6, 8).words.replace("\u00a0", " ") == "6 of 8 refuse: 75 % (41 % to 93 %)"
    assert Refusals(0, 0).words == ""


@pytest.mark.parametrize("wrong", [0, MOST_SAMPLES + 1, 1.5, True, "3"])
def test_a_wrong_number_of_samples_is_one_sentence(wrong):
    with pytest.raises(ExplorerError, match="The number of samples must be a whole number from 1 to 16"):
        check_samples(wrong)


def test_a_trace_reads_what_was_said_before(pair):
    request = asked(pair, own=OWN, samples=1, sampling=None)
    column = written(pair, request).columns["patched"]
    trace = TraceRequest("Why?", explorer.Patch(request.neurons), tuple(column.ids), before=OWN["patched"])
    found = trace_request(pair, trace, lambda _share: None)
    assert found.parts(1) is None  # patched M1 itself goes on as this greedy answer does
    by_text = trace_request(pair, replace(trace, answer=(), text=column.text), lambda _share: None)
    assert len(by_text) >= 1
