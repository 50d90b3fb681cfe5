"""What a pair is made of, as plain values: two models, their adapters, and how they are loaded and asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from explorer.errors import ExplorerError

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
QUANTISATIONS = ("", "8bit", "4bit")
LORA = MERGED, BESIDE = ("merged", "shared")
"""What becomes of LoRA: it goes into the weights, or stays beside weights that both models share."""

OWN, OF_M1, OF_M2, TULU = "own", "m1", "m2", "tulu"


@dataclass(frozen=True)
class ModelSpec:
    """One model of a pair: a base and the adapters put on it, in order.

    Attributes:
        base: a hub id, a folder, a .gguf file, or an `embedded:` name.
        adapters: PEFT folders or hub ids.
        revision: branch, tag or commit of a hub id; "" for the main branch.
    """

    base: str
    adapters: tuple[str, ...] = ()
    revision: str = ""


@dataclass(frozen=True)
class SeriesStep:
    """M2 at one step of its training."""

    step: int
    model: ModelSpec


@dataclass(frozen=True)
class PairSpec:
    """What a pair file says.

    Attributes:
        name: for people.
        m1, m2: the model that lacks safety alignment, and the aligned one.
        dtype: "bfloat16", "float16", "float32", or "auto" for the fastest that this machine computes natively.
        device: a torch device ("cpu", "cuda:0"), or "auto" for the emptiest GPU, or the processor where there is none;
            what is too large for one device is spread over what there is by transformers.
        source: the file, or the adapter's folder.
        device_map: one of `DEVICE_MAPS`, or the device of each module by name, as transformers takes them;
            None to put the whole model on `device`.
        quantisation: "8bit" or "4bit" to load the weights so, by bitsandbytes; "" to load them as they are.
        lora: one of `LORA`.
        chat_template: "own" (M2's, else M1's), "m1" or "m2", "tulu" (the paper's), or a Jinja file.
        template_arguments: what the template is given beside the messages, by name (`enable_thinking`).
        date: the day that a template which prints the date is told, as YYYY-MM-DD; "" for the day it is loaded on.
        series: M2 along its training, by rising step; empty where the file lists none.
    """

    name: str
    m1: ModelSpec
    m2: ModelSpec
    dtype: str = "auto"
    device: str = "cpu"
    source: Path | None = None
    device_map: str | dict[str, str | int] | None = None
    quantisation: str = ""
    chat_template: str = OWN
    series: tuple[SeriesStep, ...] = ()
    template_arguments: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    date: str = ""
    lora: str = MERGED

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        try:
            date.fromisoformat(self.date or "2000-01-01")
        except (ValueError, TypeError) as problem:
            raise ExplorerError(f"The date must be written as 2026-07-26, not “{self.date}”.") from problem
        if self.quantisation not in QUANTISATIONS:
            raise ExplorerError(f"The quantisation must be 8bit or 4bit, not “{self.quantisation}”.")
        if self.lora not in LORA:
            raise ExplorerError(f"The setting lora must be {' or '.join(LORA)}, not “{self.lora}”.")
        by_name = isinstance(self.device_map, dict) and self.device_map
        if self.device_map is not None and not by_name and self.device_map not in DEVICE_MAPS:
            raise ExplorerError(
                f"The device_map must be one of {', '.join(DEVICE_MAPS)} or a table of modules and devices, not "
                f"“{self.device_map}”."
            )


def check_dtype(dtype: object) -> None:
    """Raises:
    ExplorerError: the dtype is not one of `DTYPES`.
    """
    if dtype not in DTYPES:
        raise ExplorerError(f"The dtype must be one of {', '.join(DTYPES)}, not “{dtype}”.")
