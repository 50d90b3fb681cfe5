"""PEFT adapters as files: what kind they are, which base they belong to, what they hold.

(IA)³ on the input of `down_proj` (whatever a family calls it) is kept as a scale vector per layer, never merged into
the weights: merged, the factor would move behind the neuron and its activation would no longer be what `down_proj`
receives (`ia3.py`). Everything else is merged by peft (`merging.py`).
"""

from pathlib import Path
from typing import Any

from explorer.digests import sha256_file
from explorer.errors import ExplorerError
from explorer.models.checkpoint import ADAPTER_CONFIG, read_json_file
from explorer.models.places import adapter_weights, is_there

PEFT_PREFIX = "base_model.model."
"""What peft puts before the name of every module."""

READING_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja")
"""Files of an adapter's own tokeniser and chat template."""


def adapter_kind(folder: Path) -> str:
    """The adapter's `peft_type` in capitals, for instance "IA3" or "LORA".

    Raises:
        ExplorerError: the folder holds no readable PEFT adapter.
    """
    return str(read_config(folder).get("peft_type", "")).upper()


def base_model(folder: Path) -> tuple[str, str]:
    """The base model that the adapter says it was trained on, and its revision ("" for none).

    A path is taken from the adapter's folder, as a checkpoint beside its base is written, else from here.

    Raises:
        ExplorerError: the folder holds no readable PEFT adapter, or it does not say.
    """
    config = read_config(folder)
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(base, str) or not base:
        raise ExplorerError(f"{folder} does not say which base model it belongs to; write a pair file that does.")
    for place in ((folder / base), Path(base)):
        if is_there(place):
            return str(place.resolve()), ""
    return base, revision if isinstance(revision, str) else ""


def digest(folder: Path) -> str:
    """SHA-256 of the adapter's weights file, for manifests.

    Raises:
        ExplorerError: there is none in safetensors.
    """
    return sha256_file(adapter_weights(folder))


def fingerprint(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that says what the adapter does: weights, settings (LoRA's alpha), tokeniser, template."""
    names = ("adapter_model.safetensors", ADAPTER_CONFIG, *READING_FILES)
    return {name: sha256_file(folder / name) for name in names if (folder / name).is_file()}


def read_config(folder: Path) -> dict[str, Any]:
    """The adapter's settings, as peft wrote them.

    Raises:
        ExplorerError: the folder holds no readable PEFT adapter.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        raise ExplorerError(f"{folder} is no PEFT adapter: it has no readable {ADAPTER_CONFIG}.")
    return read_json_file(folder / ADAPTER_CONFIG, f"The adapter {folder}")


def some_names(names: "list[str] | set[str]", most: int = 3) -> str:
    """The first names of a list in words, and how many more there are."""
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
