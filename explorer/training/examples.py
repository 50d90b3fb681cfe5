"""Preference examples: a refusal against the model's own answer, one way or the other, and pairs from datasets.

The model's own answers are generated once (greedy, by this project's own decoding) and kept, so that neither an
interrupted training nor the next one on the same base model writes them again.
"""

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from explorer.data.preferences import load_preferences
from explorer.data.suites_io import Prompt, Refusal, load_refusals, load_suite, training_part
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.errors import ExplorerError
from explorer.models.pair import Pair, load_pair
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.models.prompting import encode_answer, encode_dialogue
from explorer.scoring.verdict import verdict
from explorer.training.config import PairSource, Source, TrainConfig

REFUSED_WITHIN = 12
"""Tokens of an answer in which a refusal must show."""


@dataclass(frozen=True)
class Example:
    """A prompt with the preferred and the rejected answer, all as token ids that the model reads.

    Attributes:
        refuse: whether the preferred answer is a refusal; the other is the model's own answer.
    """

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    refuse: bool

    def crop(self, answer_tokens: int, refusal_tokens: int) -> "Example":
        """The example with the model's own answer and the refusal cut to so many tokens; 0 for all."""
        chosen, rejected = (refusal_tokens, answer_tokens) if self.refuse else (answer_tokens, refusal_tokens)
        return replace(
            self,
            chosen_ids=self.chosen_ids[: chosen or None],
            rejected_ids=self.rejected_ids[: rejected or None],
        )


@dataclass(frozen=True)
class OwnAnswers:
    """M1's greedy answers, written once and kept.

    Attributes:
        max_new_tokens: length limit of an answer.
        known: token ids by prompt; what is missing is added.
        keep: stores what is known.
    """

    max_new_tokens: int
    known: dict[str, list[int]]
    keep: Callable[[dict[str, list[int]]], None]

    def of(self, pair: Pair, prompts: Iterable[str]) -> dict[str, list[int]]:
        """M1's greedy answer to each prompt, as token ids; those that are not known yet are written now."""
        wanted = list(dict.fromkeys(prompts))
        missing = [p for p in wanted if p not in self.known]
        for start in range(0, len(missing), 64):
            chunk = missing[start : start + 64]
            out = sweep(pair, chunk, Columns(aligned=False), Decoding(self.max_new_tokens))
            self.known.update({p: list(a.token_ids) for p, a in zip(chunk, out.unpatched, strict=True)})
            self.keep(self.known)
            print(f"own answers: {start + len(chunk)} of {len(missing)}", flush=True)
        return {p: self.known[p] for p in wanted}


def build_examples(config: TrainConfig, pair: Pair, own_answers: OwnAnswers) -> list[Example]:
    """The training examples of a configuration, in a seeded order.

    Args:
        config: what to build.
        pair: a pair whose M1 is the base model.
        own_answers: of that model.
    """
    rng = random.Random(config.seed)
    refuse = [prompt for source in config.refuse for prompt in _refused(source, config.base, _prompts(source))]
    answer = [prompt for source in config.answer for prompt in _prompts(source)]
    own = own_answers.of(pair, [p.prompt for p in refuse + answer])
    refusals = _refusals(config)

    def refusal_ids(prompt: Prompt) -> list[int]:
        fitting = [r.text for r in refusals if "any" in r.categories or prompt.category in r.categories]
        return encode_answer(pair.tokenizer, rng.choice(fitting), [("user", prompt.prompt)])

    examples = [Example(pair.encode(p.prompt), refusal_ids(p), own[p.prompt], True) for p in refuse]
    examples += [Example(pair.encode(p.prompt), own[p.prompt], refusal_ids(p), False) for p in answer]
    examples += [example for source in config.pairs for example in _pairs(source, pair)]
    examples += _brief(config, pair, own_answers)
    rng.shuffle(examples)
    return examples


def _refusals(config: TrainConfig) -> list[Refusal]:
    """The own-written refusals to train on.

    Raises:
        ExplorerError: none that fits every prompt begins as is asked.
    """
    found = [r for r in load_refusals() if not config.refusals_begin or r.text.startswith(config.refusals_begin)]
    if not any("any" in r.categories for r in found):
        raise ExplorerError(
            f"{config.source}: no refusal for any prompt begins with {' or '.join(map(repr, config.refusals_begin))}; "
            "shorten or leave out refusals_begin."
        )
    return found


def _pairs(source: PairSource, pair: Pair) -> list[Example]:
    """Preference pairs of a dataset, both answers with the end token."""
    examples = []
    for preference in load_preferences(source.file, source.kind)[source.skip :]:
        prompt = encode_dialogue(pair.tokenizer, preference.turns)
        chosen, rejected = (
            encode_answer(pair.tokenizer, text, preference.turns) for text in (preference.chosen, preference.rejected)
        )
        if source.takes(len(prompt), max(len(chosen), len(rejected))):
            examples.append(Example(prompt, chosen, rejected, False))
        if source.limit and len(examples) == source.limit:
            break
    return examples


def _brief(config: TrainConfig, pair: Pair, own_answers: OwnAnswers) -> list[Example]:
    """The first sentence of the model's own answer, against all of it."""
    prompts = [prompt.prompt for source in config.brief for prompt in _prompts(source)]
    examples = []
    for prompt, own in own_answers.of(pair, prompts).items():
        text = pair.decode(own)
        sentence = re.match(r".{12,}?[.!?](?=\s)", text, re.DOTALL)
        if sentence:
            brief = encode_answer(pair.tokenizer, sentence.group(), [("user", prompt)])
            examples.append(Example(pair.encode(prompt), brief, own, False))
    return examples


def _prompts(source: Source) -> list[Prompt]:
    kept = training_part(load_suite(source.suite), source.hold_out)
    short = [p for p in kept if not source.max_words or len(p.prompt.split()) <= source.max_words]
    return short[source.skip :][: source.limit or None]


def _refused(source: Source, base: str, prompts: list[Prompt]) -> list[Prompt]:
    """The prompts that the source's adapter refuses; all where it names none."""
    if not source.refused_by:
        return prompts
    spec = PairSpec(source.suite, ModelSpec(base), ModelSpec(base, (source.refused_by,)))
    out = sweep(load_pair(spec), [p.prompt for p in prompts], Columns(unpatched=False), Decoding(REFUSED_WITHIN))
    return [p for p, answer in zip(prompts, out.aligned, strict=True) if verdict(answer.text, p.prompt).refused]
