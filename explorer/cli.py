"""The command line: `python -m explorer --help`."""

import os
import sys
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from explorer.commands import measuring, patching, runs, serving, training
from explorer.commands.common import fail
from explorer.errors import ExplorerError
from explorer.files import file_problem

app = typer.Typer(
    help="Find, patch and watch the neurons that carry a language model's safety alignment.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

COMMANDS = (
    ("app", serving.app_command),
    ("patch", patching.patch),
    ("rank", patching.rank),
    ("build", runs.build),
    ("train", training.train),
    ("runs", runs.runs),
    ("check", runs.check),
    ("refusals", measuring.refusals),
    ("acceptance", measuring.acceptance_command),
    ("preferences", measuring.preferences),
    ("card", training.card),
    ("audit", runs.audit),
    ("figure", runs.figure),
    ("fit-heads", training.fit_heads),
    ("agreement", training.agreement),
)
"""By name, in the order of `--help`."""

for _name, _command in COMMANDS:
    app.command(_name)(_command)


_INTERRUPTED = 130
"""The exit code after Ctrl+C; typer catches that itself and returns this."""


def main() -> NoReturn:
    """Run the command line; a person's mistake is one line on standard error and exit code 2."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()  # what it is told to may be full, or closed
    except ExplorerError as problem:
        fail(str(problem))
    except TyperException as problem:  # a misspelt option or a value out of range
        message = problem.format_message() if hasattr(problem, "format_message") else str(problem)
        if not message:  # no arguments: the help was shown
            sys.exit(2)
        fail(" ".join(message.split()))
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        sys.exit(0)
    except MemoryError:
        fail("There is not enough memory for this; free some, or take fewer prompts or a smaller model.")
    except Exception as problem:
        said = file_problem(problem)
        if said is None:  # a defect of ours
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to print may be what failed
        fail(said)
    if code == _INTERRUPTED:
        print("explorer: stopped; what was finished is kept.", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)
