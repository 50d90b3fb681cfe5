"""A build that goes on in a thread of its own, for a pair that a person has chosen.

    job = BuildJob(write_build_file("mine", "my-pair", prompts=40))
    job.start()
    job.progress, job.done, job.problem     # the page, again and again

A page that is left or touched does not stop it. A cancelled build keeps its finished stages: the same build goes on
where it was.
"""

import logging
import threading
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.paths import pairs_folder
from explorer.runs.format import check_name

LOG = logging.getLogger(__name__)

_FORM = """# Written by the Models page.
name = "{name}"
title = "{name}"
description = "Built on the pair {pair} from the Models page."
pair = "{pair}"
max_new_tokens = {tokens}
scorers = ["refusal"]

[rankings.safety]
suite = "redteam_train"
limit = {prompts}
max_new_tokens = {tokens}

[rankings.ordinary]
suite = "ordinary_train"
limit = {prompts}
max_new_tokens = {tokens}

[[answers]]
suite = "redteam_eval"
limit = {prompts}
fractions = [0.05, 0.2]
random_seeds = [0]

[[answers]]
suite = "everyday_eval"
limit = {prompts}

[detail]
neurons = 100
suites = ["redteam_eval"]
"""


class _Cancelled(Exception):
    """Ends a build at its next word."""


class BuildJob:
    """One build; every attribute may be read from any thread.

    Attributes:
        config: its build file.
        progress: the stage that goes on, and the share of it that is done.
        done: whether it has ended, well or badly.
        problem: one sentence where it failed or was cancelled, else "".
    """

    def __init__(self, config: Path) -> None:
        self.config = config
        self.progress: tuple[str, float] = ("Starting", 0.0)
        self.problem = ""
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"build-{config.stem}", daemon=True)

    @property
    def name(self) -> str:
        return self.config.stem

    @property
    def done(self) -> bool:
        return self._thread.ident is not None and not self._thread.is_alive()

    def start(self) -> None:
        """Begin; once only."""
        self._thread.start()

    def cancel(self) -> None:
        """Stop at the next word; what is finished stays."""
        self._cancelled.set()

    def _run(self) -> None:
        try:
            from explorer.pipeline.build import build
            from explorer.pipeline.config import read_build_config

            build(read_build_config(self.config), progress=self._tell)
        except _Cancelled:
            self.problem = "The build was cancelled; building again goes on where it was."
        except ExplorerError as known:
            self.problem = str(known)
        except Exception:  # the page must hear of any failure; the log has the whole of it
            LOG.exception("the build %s failed", self.config)
            self.problem = "The build failed; the server's log says why."

    def _tell(self, stage: str, share: float) -> None:
        if self._cancelled.is_set():
            raise _Cancelled
        self.progress = (stage, min(1.0, max(0.0, share)))


def write_build_file(name: str, pair: str, prompts: int = 40, tokens: int = 32) -> Path:
    """A build file for a pair, in the folder of a person's pair files.

    Args:
        name: of the run.
        pair: name of a pair file.
        prompts: of each suite.
        tokens: length limit of the answers.

    Raises:
        ExplorerError: the name is none.
    """
    check_name(name)
    if name == "demo":
        raise ExplorerError("The run “demo” ships with the project; give yours another name.")
    path = pairs_folder() / "builds" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_FORM.format(name=name, pair=pair, prompts=prompts, tokens=tokens), encoding="utf-8")
    return path
