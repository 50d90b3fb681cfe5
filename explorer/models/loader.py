"""Load one model: its class by its family, its precision, its place, and the adapters that are merged into it.

transformers fills what a checkpoint lacks with random values and tells the console; here that is an error.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from explorer.errors import ExplorerError, first_line
from explorer.models.adapters import some_names
from explorer.models.checking import check_structure
from explorer.models.checkpoint import CONFIG, read_json_file
from explorer.models.families import Family, family_named, family_of, is_known
from explorer.models.loaded_once import loaded_once, state_of
from explorer.models.merging import merge
from explorer.models.pair_spec import ModelSpec
from explorer.models.places import model_folder
from explorer.models.placing import check_device, check_device_map, check_in_memory, whole_device
from explorer.progress import NamedProgress

if TYPE_CHECKING:
    from transformers import PreTrainedModel


OTHER_HEADS = ("score.", "score_head.", "classifier.", "v_head.")
"""Where checkpoints keep the head of a model that judges texts and writes none."""


@dataclass(frozen=True)
class Loader:
    """How models are loaded.

    Attributes:
        dtype: "float32", "bfloat16" or "float16".
        device: a torch device, or "auto".
        device_map, quantisation: see `pair_spec.PairSpec`.
        own: whether what is loaded is held by nobody else, so that it may be changed.
    """

    dtype: str
    device: str
    device_map: str | dict[str, str | int] | None = None
    quantisation: str = ""
    own: bool = False

    def load(self, spec: ModelSpec, progress: NamedProgress | None) -> "PreTrainedModel":
        """The model with the adapters of `spec` merged into its weights, ready to read.

        What is held already, from the same files, in the same type and place, is not loaded again.

        Raises:
            ExplorerError: it cannot be loaded whole, or is of a family that is not known.
        """
        self.check()
        folder = model_folder(spec.base, spec.revision, progress)
        if self.own:
            return self._load(folder, spec)
        files = [(str(place.resolve()), state_of(place)) for place in (folder, *map(Path, spec.adapters))]
        return loaded_once(repr((self, spec.base, files)), lambda: self._load(folder, spec))

    def _load(self, folder: Path, spec: ModelSpec) -> "PreTrainedModel":
        check_own_code(folder, spec.base)
        config = read_json_file(folder / CONFIG, f"The model “{spec.base}”")
        model_type = str(config.get("model_type"))
        family = family_named(model_type)
        if family is not None and family.kind == "encoder" and config.get("is_decoder") is True:
            family = None  # built to write text, from left to right
        model = self._read(folder, spec.base, family, _auto_class(family, model_type))
        check_in_memory(model, spec.base)
        model.eval()
        if reads_one_kv_head_on_gpu(model):
            model.set_attn_implementation("eager")
        family_of(model)
        if not is_known(model):
            check_structure(model)
        for adapter in spec.adapters:
            model = merge(model, Path(adapter))
        return model.requires_grad_(False)

    def check(self) -> None:
        """Raises:
        ExplorerError: a device is not there.
        """
        if isinstance(self.device_map, dict):
            check_device_map(self.device_map)
        elif self.device_map is None and self.device != "auto":
            check_device(self.device)

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

    def _whole(self, folder: Path) -> dict[str, Any]:
        """The `device_map` of a model that lies on one device: weights are read straight to it."""
        if self.device_map is not None or self.quantisation:
            return {}
        device = whole_device(folder, self.dtype) if self.device == "auto" else self.device
        return {"device_map": {"": device}} if device else {}

    def _read(self, folder: Path, place: str, family: Family | None, auto: Any) -> "PreTrainedModel":
        from transformers.utils import logging

        options = self.options() | self._whole(folder)
        if options.get("device_map") == {"": "cpu"}:
            del options["device_map"]
        logging.disable_progress_bar()
        said = logging.get_verbosity()
        logging.set_verbosity(logging.CRITICAL)  # what it would say of missing keys is said below, in a sentence
        try:
            model, info = auto.from_pretrained(
                folder,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # they are named below
                output_loading_info=True,
                **options,
            )
        except torch.OutOfMemoryError as problem:
            raise ExplorerError(
                f"The model “{place}” does not fit into the memory of {self.device}; use a smaller dtype, quantisation "
                "or device = “auto”."
            ) from problem
        except Exception as problem:  # a strange config.json raises whatever Python does
            raise ExplorerError(f"The model “{place}” could not be loaded: {first_line(problem)}") from problem
        finally:
            logging.set_verbosity(said)
        check_keys(info, place, family)
        if isinstance(self.device_map, dict):
            names = {name for name, _ in (*model.named_modules(), *model.named_parameters())}
            strange = set(self.device_map) - names
            if strange:
                raise ExplorerError(f"The device_map names {some_names(strange)}, which the model “{place}” has not.")
        return model

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


def reads_one_kv_head_on_gpu(model: "PreTrainedModel") -> bool:
    """Whether a model lies on a GPU and all its query heads share one key and value head.

    transformers then hands SDPA keys that are the same memory for every head. With a mask, torch 2.11 answered with
    other numbers (docs/speed.md, "On a GPU"): such a model computes its attention without SDPA.
    """
    config = model.config.get_text_config()
    heads, shared = (getattr(config, name, None) for name in ("num_attention_heads", "num_key_value_heads"))
    on_gpu = any(parameter.device.type == "cuda" for parameter in model.parameters())
    return on_gpu and shared == 1 and (heads or 0) > 1


def check_own_code(folder: Path, place: str) -> None:
    """Raises:
    ExplorerError: the model is only there as Python code of its own, which is never run here.
    """
    from transformers import AutoConfig

    config = read_json_file(folder / CONFIG, f"The model “{place}”")
    try:
        AutoConfig.for_model(str(config.get("model_type")))
    except Exception as problem:  # whatever it is, transformers does not know the type by its name alone
        if "auto_map" in config:
            raise ExplorerError(
                f"The model “{place}” brings Python code of its own ({CONFIG}: auto_map), which is never run here; use "
                "a model of a type that transformers knows."
            ) from problem


def check_keys(info: dict[str, Any], place: str, family: Family | None) -> None:
    """See that a checkpoint held every weight of the model, and no more of its blocks.

    Args:
        info: what `from_pretrained` says of keys.
        place: of the model, for the message.
        family: of the model, where it is in the table.

    Raises:
        ExplorerError: weights are missing, of another size, or belong to blocks that the model has not. What lies
            outside of the blocks (a vision tower, a value head) is not read and may be there.
    """
    mismatched = {key[0] if isinstance(key, tuple) else str(key) for key in info.get("mismatched_keys", ())}
    missing = {str(key) for key in info.get("missing_keys", ())} - mismatched
    strange = {str(key) for key in info.get("unexpected_keys", ())}
    blocks = (
        tuple(f"{path}." for path in (family.layers, family.encoder_layers) if path) if family else ("model.layers.",)
    )
    in_blocks = {key for key in strange if key.startswith(blocks)}
    if missing:
        instead = f"; it has {some_names(strange)} instead" if strange else ""
        raise ExplorerError(
            f"The checkpoint “{place}” lacks {some_names(missing)}, which would be random{instead}; get it again, or "
            "mend the names of its weights."
        )
    if mismatched:
        raise ExplorerError(
            f"The checkpoint “{place}” has {some_names(mismatched)} in another size than its {CONFIG} says; get it "
            "again."
        )
    heads = {key for key in strange if key.startswith(OTHER_HEADS)}
    if heads and (family is None or family.kind != "encoder"):
        raise ExplorerError(
            f"The checkpoint “{place}” has {some_names(heads)}: it is a classifier or a reward model, which writes no "
            "text; use the language model that it was made from."
        )
    if in_blocks:
        raise ExplorerError(
            f"The checkpoint “{place}” has {some_names(in_blocks)}, which its {CONFIG} knows nothing of and which "
            "would be left out; get it again, or merge the adapter that they belong to."
        )


def _auto_class(family: Family | None, model_type: str) -> Any:
    """The class of transformers that loads a model of a type."""
    import transformers

    kind = family.kind if family else "decoder"
    if kind == "encoder-decoder":
        return transformers.AutoModelForSeq2SeqLM
    return transformers.AutoModelForSequenceClassification if kind == "encoder" else decoder_class(model_type)


def decoder_class(model_type: str) -> Any:
    """The class of transformers that loads a decoder: a language model, or one that also sees."""
    import transformers
    from transformers.models.auto import modeling_auto

    sees = model_type in modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    if sees and model_type not in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return transformers.AutoModelForImageTextToText
    return transformers.AutoModelForCausalLM
