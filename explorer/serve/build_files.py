"""The build files that the app can start: those of the project, and a person's own.

file = write_build_file("mine", "my-pair", prompts=40)
"""

from pathlib import Path

from explorer.errors import ExplorerError
from explorer.files import check_name, whole
from explorer.paths import PROJECT, pairs_folder
from explorer.public import refuse_in_public

FOLDER = PROJECT / "configs" / "build"

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


def own_folder() -> Path:
    """The folder of a person's own build files, beside the pair files."""
    return pairs_folder() / "builds"


def build_files() -> list[Path]:
    """The build files that can be started, the project's first."""
    return [file for folder in (FOLDER, own_folder()) for file in sorted(folder.glob("*.toml"))]


def shown_path(file: Path) -> str:
    """A file's path as one types it in the project's folder."""
    return str(file.relative_to(PROJECT) if file.is_relative_to(PROJECT) else file)


def own_build_file(name: str) -> Path:
    """Where a person's own build file of this name lies, or would lie.

    Raises:
        ExplorerError: the name cannot be a run's, or the project has a build file of this name.
    """
    check_name(name)
    if (FOLDER / f"{name}.toml").is_file():
        raise ExplorerError(f"The build file “{name}” ships with the project; give your run another name.")
    return own_folder() / f"{name}.toml"


def write_build_file(name: str, pair: str, prompts: int = 40, tokens: int = 32) -> Path:
    """A small build file for a pair, in the person's own folder; one that is there is replaced.

    Args:
        name: of the run.
        pair: name of a pair file.
        prompts: of each suite.
        tokens: length limit of the answers.

    Raises:
        ExplorerError: see `own_build_file`, or this server is public.
    """
    refuse_in_public("Writing a build file")
    path = own_build_file(name)
    with whole(path) as half:
        half.write_text(_FORM.format(name=name, pair=pair, prompts=prompts, tokens=tokens), encoding="utf-8")
    return path
