"""Load one model: its class by its family, its precision, its place, and the adapters that are merged into it."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from explorer.errors import ExplorerError, first_line
from explorer.models import adapters, embedded, gguf
from explorer.models.families import family_named, family_of
from explorer.models.hooks import check_hooks
from explorer.models.pair_file import EMBEDDED, ModelSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Loader:
    """How models are loaded.

    Attributes:
        dtype: "float32", "bfloat16" or "float16".
        device: a torch device, or "auto".
        device_map, quantisation: see `pair_file.PairSpec`.
    """

    dtype: str
    device: str
    device_map: str | dict[str, str | int] | None = None
    quantisation: str = ""

    def load(self, spec: ModelSpec, progress: gguf.Progress | None) -> "PreTrainedModel":
        """The model with the adapters of `spec` merged into its weights, ready to read.

        Raises:
            ExplorerError: it cannot be loaded, or is of a family that is not known.
        """
        from transformers import AutoConfig
        from transformers.utils import logging

        folder = _base_folder(spec.base, progress)
        options = self.options()
        logging.disable_progress_bar()
        try:
            family = family_named(AutoConfig.from_pretrained(folder).model_type)
            auto = _auto_class(family.kind if family else "decoder")
            model: PreTrainedModel = auto.from_pretrained(folder, **options)
            if "device_map" not in options:
                model.to(self.device)  # type: ignore[arg-type]
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as problem:
            reason = first_line(problem)
            raise ExplorerError(f"The model “{spec.base}” could not be loaded: {reason}") from problem
        model.eval()
        family_of(model)
        if family is None:
            check_hooks(model)
        for adapter in spec.adapters:
            model = adapters.merge(model, Path(adapter))
        return model.requires_grad_(False)

    def options(self) -> dict[str, Any]:
        """What `from_pretrained` is called with.

        Raises:
            ExplorerError: the quantisation needs a package that is not installed.
        """
        options: dict[str, Any] = {"dtype": getattr(torch, self.dtype)}
        if self.device_map is not None:
            options["device_map"] = self.device_map
        elif self.device == "auto":
            options["device_map"] = "auto"
        if self.quantisation:
            options["quantization_config"] = self._quantisation()
            options.setdefault("device_map", {"": self.device})  # quantised weights cannot be moved afterwards
        return options

    def _quantisation(self) -> Any:
        from transformers import BitsAndBytesConfig

        if find_spec("bitsandbytes") is None:
            raise ExplorerError(
                f"Loading in {self.quantisation.removesuffix('bit')} bits needs the package bitsandbytes and a GPU; "
                "run pip install bitsandbytes, or leave out quantisation."
            )
        if self.quantisation == "8bit":
            return BitsAndBytesConfig(load_in_8bit=True)
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, self.dtype),
        )


def load_tokenizer(base: str) -> "PreTrainedTokenizerBase":
    """The tokeniser of a base model.

    Raises:
        ExplorerError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(_base_folder(base, None))
    except (OSError, ValueError) as problem:
        raise ExplorerError(f"The tokeniser of “{base}” could not be loaded; it needs tokenizer.json.") from problem


def _auto_class(kind: str) -> Any:
    """The class of transformers that loads models of a kind."""
    import transformers

    if kind == "encoder-decoder":
        return transformers.AutoModelForSeq2SeqLM
    return transformers.AutoModelForSequenceClassification if kind == "encoder" else transformers.AutoModelForCausalLM


def _base_folder(base: str, progress: gguf.Progress | None) -> str:
    if base.endswith(gguf.SUFFIX):
        return str(gguf.unpacked(Path(base), progress))
    if not base.startswith(EMBEDDED):
        return base
    name = base.removeprefix(EMBEDDED)
    if name != embedded.NAME:
        raise ExplorerError(f"There is no embedded model “{name}”; the embedded model is {EMBEDDED}{embedded.NAME}.")
    return str(embedded.ensure(progress))
