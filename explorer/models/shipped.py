"""The adapters that ship with the project: a folder for each, with its weights and what they were trained on.

find_adapter("helpful")             # …/models/shipped/helpful
"""

from pathlib import Path

from explorer.errors import ExplorerError
from explorer.paths import SHIPPED


def shipped_adapters() -> dict[str, Path]:
    """The folders of the shipped adapters whose weights are there, by name."""
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob("*/adapter_model.safetensors"))}


def find_adapter(name: str | Path) -> Path:
    """The folder that a shipped adapter's name, or a path, means.

    Raises:
        ExplorerError: there is no such adapter.
    """
    shipped = shipped_adapters()
    folder = shipped.get(str(name), Path(name))
    if not (folder / "adapter_config.json").is_file():
        raise ExplorerError(f"There is no adapter “{name}”; give its folder or one of: {', '.join(shipped)}.")
    return folder
