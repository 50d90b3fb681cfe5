"""What is asked of a type of the zoo: every fast form equals the naive one, or the type is refused in one sentence.

python -m tests.zoo_checks                 # every type, each in a process of its own: the table of docs/models.md
python -m tests.zoo_checks llama zaya      # these alone
"""

import copy
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from explorer.engine.attribution import Answered
from explorer.engine.attribution import _add as add_batch
from explorer.engine.attribution_sums import AttributionSums
from explorer.engine.backends.caching import caches_level_rows, caches_rows
from explorer.engine.contrast import contrast
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import TokenText
from explorer.engine.reference import (
    _logits,
    _patched_logits,
    naive_activations,
    naive_greedy,
    naive_mixed_log_prob,
    naive_patched,
)
from explorer.errors import ExplorerError
from explorer.models.checking import check_structure, is_close
from explorer.models.expert_layer import ExpertNeurons, JoinedLayer
from explorer.models.families import family_of, same_family
from explorer.models.layers import DenseLayer, neuron_layers
from explorer.models.pair import Pair
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.models.ragged import EmptyLayer, PaddedLayer, own_width
from explorer.neurons.sets import NeuronSet
from tests import tiny, zoo

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROMPTS = ("Why?", "How do I pick a lock?", "Write a poem.")
NEW = 4
SECONDS = 60
"""Of processor time, after which a type counts as stuck."""

NEAR = 1e-3
"""Two tokens whose logits differ by less than this share of the largest are equally likely, as far as rounding goes."""

RIGHT, REFUSED, WRONG, NOT_BUILT = "right", "refused", "wrong", "not built"


@dataclass(frozen=True)
class Verdict:
    """What came of a type.

    Attributes:
        kind: the type.
        outcome: `RIGHT`, `REFUSED`, `WRONG` (a crash, too) or `NOT_BUILT`: transformers makes no tiny model of it.
        reason: the sentence of the refusal, or what went wrong; of a right one, where its neurons are.
    """

    kind: str
    outcome: str
    reason: str


def verdict(kind: str) -> Verdict:
    """Build a type, and try everything that is done with models on it."""
    try:
        model = zoo.tiny_model(kind)
    except Exception as problem:  # noqa: BLE001  every family raises its own
        return Verdict(kind, NOT_BUILT, _line(problem))
    try:
        family = family_of(model)
        check_structure(model)
        check_all(model)
    except ExplorerError as refusal:
        return Verdict(kind, REFUSED, str(refusal))
    except AssertionError as problem:
        return Verdict(kind, WRONG, _line(problem))
    except Exception as problem:  # noqa: BLE001  a crash
        where = traceback.extract_tb(problem.__traceback__)[-1]
        return Verdict(kind, WRONG, f"{_line(problem)} ({os.path.basename(where.filename)}:{where.lineno})")
    level = "; read anew at every step unless all prompts are of one length"
    anew = "" if caches_rows(model) else level if caches_level_rows(model) else "; read anew at every step"
    return Verdict(kind, RIGHT, f"{family.place}{anew}")


def check_all(model: "PreTrainedModel") -> None:
    """Raises:
    AssertionError: something is not what the naive form, transformers' `generate` or scaled weights give.
    """
    for shared in (True, False):
        pair = zoo_pair(model, shared)
        check_answers(pair)
        check_contrast(pair)
    pair = zoo_pair(model, shared=True)
    check_scaled_weights(pair)
    check_attribution(pair)


def zoo_pair(model: "PreTrainedModel", shared: bool) -> Pair:
    """A pair over one set of weights, or in lockstep with a copy that was moved a little."""
    second = model if shared else _copy(model)
    generator = torch.Generator().manual_seed(300)
    if not shared:
        for parameter in second.parameters():
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    factors = [1 + 0.6 * torch.randn(layer.width, generator=generator) for layer in neuron_layers(model)]
    spec = PairSpec("tiny", ModelSpec("tiny"), ModelSpec("tiny", ("tiny",)), "float32")
    return Pair(tiny.tokenizer(), model, second, None, factors, spec)


def _copy(model: "PreTrainedModel") -> "PreTrainedModel":
    twin = copy.deepcopy(model)
    same_family(twin, model)
    return twin


def check_answers(pair: Pair) -> None:
    """Rows of unlike length, dropped as they end: unpatched and aligned as `generate`, patched as the naive form.

    Where a cache cannot be used here, `generate` does without, too: some caches of transformers give other tokens.
    """
    ns = NeuronSet.random(pair, round(pair.total_neurons * 0.3), seed=1)
    out = sweep(pair, PROMPTS, Columns([ns]), Decoding(NEW))
    for number, prompt in enumerate(PROMPTS):
        ids = pair.encode(prompt)
        for name, model, answers in (("M1", pair.m1, out.unpatched), ("M2", pair.m2, out.aligned)):
            after = partial(_plain_logits, model, ids)
            got = answers[number].token_ids
            _same(f"{name}, “{prompt}”", got, naive_greedy(pair, model, ids, NEW), after)
            made = _generated(pair, model, ids, caches_rows(model))
            _same(f"{name} and generate, “{prompt}”", got, made, after)
        after = partial(_patched_logits_after, pair, ns, ids)
        _same(f"patched, “{prompt}”", out.patched[0][number].token_ids, naive_patched(pair, ids, ns, NEW), after)


def _plain_logits(model: "PreTrainedModel", ids: list[int], answer: list[int]) -> torch.Tensor:
    return _logits(model, TokenText(ids, answer))


def _patched_logits_after(pair: Pair, ns: NeuronSet, ids: list[int], answer: list[int]) -> torch.Tensor:
    return _patched_logits(pair, TokenText(ids, answer), ns, 1.0, "all")


def check_contrast(pair: Pair) -> None:
    """Change scores of a batch are those of texts that were read one by one."""
    found = contrast(pair, PROMPTS, NEW, batch_size=3)
    answers = sweep(pair, PROMPTS, Columns(aligned=False), Decoding(NEW)).unpatched
    squares, count, size = 0.0, 0, 0.0
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids = pair.encode(prompt)
        a1, a2 = (torch.stack(naive_activations(m, ids, answer.token_ids)).double() for m in (pair.m1, pair.m2))
        at = slice(len(ids) - 1, len(ids) + len(answer.token_ids) - 1)
        squares = squares + (a1 - a2)[:, at].square().sum(dim=1).numpy()
        count, size = count + at.stop - at.start, max(size, float(a1.abs().max()), float(a2.abs().max()))
    assert found.count == count
    worst = float(np.abs(found.scores - np.sqrt(squares / count)).max())
    assert worst <= 1e-3 * size, f"change scores differ by {worst:.3g} of {size:.3g}"


def check_attribution(pair: Pair) -> None:
    """The gradients are the slope of the naive form along a random direction of the mask.

    In float64, for a step so small that no router chooses otherwise on the way.
    """
    answers = sweep(pair, PROMPTS, Columns(unpatched=False), Decoding(NEW)).aligned
    texts = [Answered(pair.encode(p), a.token_ids) for p, a in zip(PROMPTS, answers, strict=True)]
    try:
        double = _copy(pair.backbone1).double()
        exact = Pair(pair.tokenizer, double, double, None, pair.scale2, pair.spec)
        got, slope, size = _slopes(exact, texts, 1e-4)
    except RuntimeError:  # a family that computes a part in float32, whatever the rest is in
        got, slope, size = _slopes(pair, texts, 1e-3)
    assert abs(got - slope) <= 0.02 * size, f"attribution says {got:.4g}, the naive form {slope:.4g} (size {size:.3g})"


def _slopes(pair: Pair, texts: Sequence[Answered], step: float) -> tuple[float, float, float]:
    """By attribution, and by two values of the naive form; the size of what the first is a sum of."""
    sums = AttributionSums.zeros(1, pair.n_layers, pair.n_neurons)
    add_batch(pair, list(texts), [0.0], sums)
    direction = torch.randn(sums.by_step[0].shape, generator=torch.Generator().manual_seed(1))
    ends = []
    for sign in (1, -1):
        mask = (sign * step * direction).to(pair.backbone1.dtype)
        ends.append(sum(naive_mixed_log_prob(pair, list(text.prompt), text.answer, mask) for text in texts))
    each = sums.by_step[0] * direction.numpy()
    return float(each.sum()), (ends[0] - ends[1]) / (2 * step), float(np.abs(each).sum())


def check_scaled_weights(pair: Pair) -> None:
    """Factors of neurons do what factors in the weights behind them do, whatever is hooked."""
    model = _copy(pair.backbone1)
    assert pair.scale2 is not None
    places = [path for own in family_of(model).parts for path in own]
    weights = [p for n, p in model.named_parameters(remove_duplicate=False) if any(f".{path}." in n for path in places)]
    if len({id(p) for p in weights}) < len(weights):
        return  # layers share weights: what is done to one layer's neurons cannot be done to its weights alone
    for layer, factors in zip(neuron_layers(model), pair.scale2, strict=True):
        _scale(layer, factors[: own_width(layer)])
    ids = torch.tensor([pair.encode(PROMPTS[0])])
    with torch.inference_mode():
        got, wanted = pair.m2(input_ids=ids, use_cache=False).logits, model(input_ids=ids, use_cache=False).logits
    assert is_close(got, wanted), "factors of neurons are not what factors in the weights are"


def _scale(layer, factors: torch.Tensor) -> None:
    if isinstance(layer, PaddedLayer):
        layer = layer.own
    if isinstance(layer, EmptyLayer):
        return
    if isinstance(layer, DenseLayer):
        _scale_map(layer.down, factors)
        return
    assert isinstance(layer, JoinedLayer)
    for part, own in zip(layer.parts, factors.split([p.width for p in layer.parts]), strict=True):
        if isinstance(part, ExpertNeurons):
            experts = part.experts
            down, each = experts.module.down_proj, own.view(experts.n_experts, experts.expert_width)
            down.data *= each[:, :, None] if down.shape[1] == experts.expert_width else each[:, None, :]
        else:
            _scale_map(part.down, own)


def _scale_map(down, factors: torch.Tensor) -> None:
    down.weight.data *= factors if hasattr(down, "in_features") else factors[:, None]


def _generated(pair: Pair, model, ids: list[int], cached: bool) -> list[int]:
    options = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 258, "eos_token_id": list(pair.stop_ids)}
    mask = torch.ones(1, len(ids), dtype=torch.long)
    made = model.generate(torch.tensor([ids]), attention_mask=mask, use_cache=cached, **options)
    return made[0, len(ids) :].tolist()


def _same(
    what: str, got: Sequence[int], wanted: Sequence[int], logits_after: Callable[[list[int]], torch.Tensor]
) -> None:
    """Two greedy answers are the same up to a near-tie, where rounding decides."""
    at = next((i for i, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), None)
    if at is None and len(got) == len(wanted):
        return
    assert at is not None, f"{what}: {list(got)} in place of {list(wanted)}"
    with torch.inference_mode():
        logits = logits_after(list(wanted[:at])).float()
    gap = float(logits[wanted[at]] - logits[got[at]])
    assert abs(gap) <= NEAR * float(logits.abs().max()), f"{what}: {list(got)} in place of {list(wanted)}"


def _line(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {str(problem).strip().splitlines()[0] if str(problem).strip() else ''}"


def verdict_apart(kind: str) -> Verdict:
    """`verdict` in a process of its own, ended after `SECONDS`."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of this process alone, whatever runs beside it
        found = verdict(kind)
        os.write(into, f"{found.outcome}\n{found.reason}".encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    outcome, _, reason = said.partition("\n")
    return Verdict(kind, outcome or WRONG, reason or f"not done after {SECONDS} s")


_HEAD = """# Which types of models work

Generated by `python -m tests.zoo_checks --page docs/models.md`; `make test-slow` holds it against what happens, and
`make test` a part of it.

A tiny random model of every causal language model type that transformers {version} knows is built from its settings.
*Right* means: contrast, patching and attribution equal the naive reference in float32, unpatched answers equal
transformers' `generate`, factors of neurons do what factors in the weights do, all with prompts of unlike length in a
batch, over one set of weights and over two. Anything else is refused, in the sentence that stands here. *Not built* is
what transformers makes no tiny model of, from its configuration alone, that reads tokens.

{counts}

| type | outcome | where its neurons are, or why not |
|---|---|---|
"""


def page_of(verdicts: Sequence[Verdict]) -> str:
    """The table as a page."""
    import transformers

    outcomes = [found.outcome for found in verdicts]
    counts = ", ".join(f"{outcomes.count(o)} {o}" for o in (RIGHT, REFUSED, NOT_BUILT, WRONG) if o in outcomes)
    head = _HEAD.format(version=transformers.__version__, counts=f"{len(verdicts)} types: {counts}.")
    rows = [f"| {v.kind} | {v.outcome} | {v.reason.replace('|', '/')} |" for v in verdicts]
    return head + "\n".join(rows) + "\n"


def read_page(file: Path) -> dict[str, Verdict]:
    """What a page says of each type."""
    rows = [line.strip("| ").split(" | ", 2) for line in file.read_text("utf-8").splitlines() if line.startswith("| ")]
    return {kind: Verdict(kind, outcome, reason) for kind, outcome, reason in rows if kind != "type"}


def main(kinds: Sequence[str], page: Path | None = None) -> None:
    """Print a line for each type, and write the page, which keeps what it says of other types."""
    import warnings

    from transformers.utils import logging

    warnings.filterwarnings("ignore")
    logging.set_verbosity(logging.CRITICAL)
    zoo.tiny_model("llama")  # what every child needs is imported once
    known = read_page(page) if page is not None and page.is_file() else {}
    for kind in kinds or zoo.types():
        found = verdict_apart(kind)
        print(f"{found.outcome}\t{kind}\t{found.reason}", flush=True)
        known[kind] = found
        if page is not None:
            page.write_text(page_of([known[k] for k in zoo.types() if k in known]), "utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    asked = sys.argv[1:]
    to_page = Path(asked[1]) if asked[:1] == ["--page"] else None
    main(asked[2:] if to_page else asked, to_page)
