"""Training examples out of dialogues: HH-RLHF's pairs of answers, ShareGPT's conversations.

    {"chosen": "\\n\\nHuman: …\\n\\nAssistant: …", "rejected": "\\n\\nHuman: …\\n\\nAssistant: …"}
    {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}

The prompt is all of a dialogue but the last answer; of a conversation every answer is an example of its own.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError
from explorer.training.config import Source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, str]]

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def read_dialogues(source: Source) -> Iterator[tuple[Messages, str, str]]:
    """Prompt, preferred answer and rejected answer of each dialogue; "" where there is nothing to reject.

    Raises:
        ExplorerError: the file is missing, or a line is of neither form.
    """
    path = Path(source.suite)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ExplorerError(f"There is no readable file of dialogues {path}.") from problem
    for number, line in enumerate(lines[: source.limit or None], start=1):
        try:
            yield from _examples(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise ExplorerError(
                f"{path}, line {number}: a dialogue must have “chosen” and “rejected” in HH-RLHF's form, or "
                "“conversations” in ShareGPT's."
            ) from problem


def encode_dialogue(
    tokenizer: "PreTrainedTokenizerBase", prompt: Messages, chosen: str, rejected: str
) -> tuple[list[int], list[int], list[int]]:
    """Token ids of the chat-formatted prompt, and of both answers with their end token."""
    text = str(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True))

    def ids(of: str, end: bool) -> list[int]:
        found = list(tokenizer(of, add_special_tokens=False)["input_ids"])
        stop = tokenizer.eos_token_id
        return [*found, *([stop] if end and isinstance(stop, int) else [])]

    return ids(text, False), ids(chosen, True), ids(rejected, True) if rejected else []


def _examples(row: dict[str, Any]) -> Iterator[tuple[Messages, str, str]]:
    if "conversations" in row:
        turns = [{"role": _ROLES[turn["from"]], "content": turn["value"].strip()} for turn in row["conversations"]]
        for i, turn in enumerate(turns):
            if turn["role"] == "assistant" and turn["content"] and any(t["role"] == "user" for t in turns[:i]):
                yield turns[:i], turn["content"], ""
        return
    prompt, chosen = _split(row["chosen"])
    _, rejected = _split(row["rejected"])
    if chosen and rejected:
        yield prompt, chosen, rejected


def _split(dialogue: str) -> tuple[Messages, str]:
    """The turns before the last answer, and that answer."""
    parts = _TURN.split(dialogue)[1:]
    turns = [
        {"role": "user" if who == "Human" else "assistant", "content": said.strip()}
        for who, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        raise ValueError("no answer at the end")
    return turns[:-1], turns[-1]["content"]
