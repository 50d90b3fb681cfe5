"""Public mode: a server that shows runs and answers prompts to anybody, and that nobody changes.

EXPLORER_PUBLIC=1, or `safety-neurons app --public`. Whatever would change the server asks `refuse_in_public` first, so
it is refused by the server itself, whether or not a page offers it. docs/server.md has the table of all of it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from explorer.errors import ExplorerError

SETTING = "EXPLORER_PUBLIC"


@dataclass(frozen=True)
class PublicLimits:
    """What a visitor of a public server may ask for; each is a setting EXPLORER_PUBLIC_… of its name in capitals.

    Attributes:
        tokens: length limit of an answer.
        prompt: characters of a prompt, with what was said before it.
        prompts: of a list.
        answers: of one generation: its columns times its samples.
        queue_of_visitor: requests of one visitor that wait or are at work.
        queue_in_all: of all visitors.
    """

    tokens: int = 64
    prompt: int = 2_000
    prompts: int = 8
    answers: int = 32
    queue_of_visitor: int = 3
    queue_in_all: int = 60


def is_public() -> bool:
    """Whether this server runs in public mode."""
    return os.environ.get(SETTING, "").strip().lower() not in ("", "0", "false", "no")


def public_limits() -> PublicLimits:
    """The limits that the operator has set.

    Raises:
        ExplorerError: a setting is no whole number from 1.
    """
    return PublicLimits(**{name: _number(name, default) for name, default in vars(PublicLimits()).items()})


def refuse_in_public(what: str) -> None:
    """See that this server may be changed.

    Args:
        what: would be done, as a sentence begins: "Loading other models".

    Raises:
        ExplorerError: it runs in public mode.
    """
    if is_public():
        raise ExplorerError(f"{what} is not possible on this public server; run the tool on a machine of your own.")


def check_size(tokens: int, prompts: Sequence[str], answers: int = 0) -> None:
    """See that a request is within the limits of a public server.

    Args:
        tokens: length limit of an answer.
        prompts: what is answered, each with what was said before it.
        answers: of a generation, columns times samples.

    Raises:
        ExplorerError: it is not.
    """
    if not is_public():
        return
    limits = public_limits()
    if tokens > limits.tokens:
        raise ExplorerError(
            f"Answers on this public server have at most {limits.tokens:,} tokens, not {tokens:,}; lower the length."
        )
    longest = max(map(len, prompts), default=0)
    if longest > limits.prompt:
        raise ExplorerError(
            f"The prompt has {longest:,} characters; this public server takes {limits.prompt:,}. Shorten it."
        )
    if len(prompts) > limits.prompts:
        raise ExplorerError(
            f"The list has {len(prompts):,} prompts; this public server takes {limits.prompts:,}. Shorten it."
        )
    if answers > limits.answers:
        raise ExplorerError(
            f"Columns times samples are {answers:,} answers; this public server writes {limits.answers:,} at once. Ask "
            "for fewer samples."
        )


def _number(name: str, default: int) -> int:
    setting = f"{SETTING}_{name.upper()}"
    said = os.environ.get(setting)
    if not said:
        return default
    if not said.isascii() or not said.isdecimal() or not 1 <= int(said) <= 10**9:
        raise ExplorerError(f"{setting} must be a whole number from 1, not “{said[:40]}”.")
    return int(said)
