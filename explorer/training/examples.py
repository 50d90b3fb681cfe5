"""Preference examples from prompt suites: a refusal against the model's own answer, one way or the other.

The model's own answers are generated once (greedy, by this project's own decoding) and kept beside
the checkpoints, so an interrupted training does not write them again.
"""

import json
import os
import random
from dataclasses import dataclass, replace
from pathlib import Path

from explorer.data.suites_io import Prompt, load_refusals, load_suite
from explorer.models.pair import Pair
from explorer.neurons.patching import sweep
from explorer.training.config import Source, TrainConfig
from explorer.training.dialogues import encode_dialogue, read_dialogues


@dataclass(frozen=True)
class Example:
    """A prompt with the preferred and the rejected answer, all as token ids that the model reads.

    Attributes:
        refuse: whether the refusal is the preferred one; the other is the model's own answer.
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


def build_examples(config: TrainConfig, pair: Pair, work: Path) -> list[Example]:
    """The training examples of a configuration, in a seeded order.

    Args:
        config: what to build.
        pair: a pair whose M1 is the base model.
        work: folder where the model's own answers are kept.
    """
    rng = random.Random(config.seed)
    refuse = [prompt for source in config.refuse for prompt in _prompts(source)]
    answer = [prompt for source in config.answer for prompt in _prompts(source)]
    own = _own_answers(config, pair, [p.prompt for p in refuse + answer], work)
    refusals = load_refusals()

    def refusal_ids(prompt: Prompt) -> list[int]:
        fitting = [r.text for r in refusals if "any" in r.categories or prompt.category in r.categories]
        text = rng.choice(fitting)
        return [*pair.tokenizer(text, add_special_tokens=False)["input_ids"], pair.tokenizer.eos_token_id]

    examples = [Example(pair.encode(p.prompt), refusal_ids(p), own[p.prompt], True) for p in refuse]
    examples += [Example(pair.encode(p.prompt), own[p.prompt], refusal_ids(p), False) for p in answer]
    for source in config.dialogues:
        for prompt, chosen, rejected in read_dialogues(source):
            ids = encode_dialogue(pair.tokenizer, prompt, chosen, rejected)
            if not config.max_tokens or len(ids[0]) + max(len(ids[1]), len(ids[2])) <= config.max_tokens:
                examples.append(Example(*ids, refuse=False))
    rng.shuffle(examples)
    return examples


def _prompts(source: Source) -> list[Prompt]:
    short = [p for p in load_suite(source.suite) if not source.max_words or len(p.prompt.split()) <= source.max_words]
    return short[: source.limit or None]


def _own_answers(config: TrainConfig, pair: Pair, prompts: list[str], work: Path) -> dict[str, list[int]]:
    """M1's greedy answer to each prompt, as token ids; read from `work` where it is there already."""
    file = work / f"own_answers_{config.answer_tokens}.json"
    known: dict[str, list[int]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    missing = [p for p in dict.fromkeys(prompts) if p not in known]
    for start in range(0, len(missing), 64):
        chunk = missing[start : start + 64]
        out = sweep(pair, chunk, [], config.answer_tokens, aligned=False)
        known |= {p: list(a.token_ids) for p, a in zip(chunk, out.unpatched, strict=True)}
        work.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".half")
        half.write_text(json.dumps(known), encoding="utf-8")
        os.replace(half, file)
        print(f"own answers: {start + len(chunk)} of {len(missing)}", flush=True)
    return {p: known[p] for p in prompts}
