"""Where a model of a type that no table names keeps its MLP neurons, found by its structure and by what it computes.

    found = structure_of(model)

A short text is read and watched. The blocks are the longest list of modules that it passes through once, in order. In a
block, neurons are what routed experts hold (`experts.py`), and what a linear map to the residual stream receives when
that follows position by position from maps that read the stream: a change of what those say at one position must not
reach another, as it does in attention and in state spaces. No name of a family is asked for.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from explorer.errors import ExplorerError, first_line
from explorer.models.experts import reads_as_experts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBE = (3, 4, 5, 6, 7)
"""Token ids of the text that is read."""

_NO_MLP = ("attn", "attention", "router", "per_layer", "adapter", "laurel", "indexer", "hyper", "norm")
"""Parts of the names of modules whose maps are no MLP of a layer: attention, routers, and small side paths."""


@dataclass(frozen=True)
class Structure:
    """Where a model's neurons are.

    Attributes:
        body: path from the model to what gives its final hidden states.
        layers: path from the model to its list of blocks.
        norm: path to the norm behind the blocks; "" where there is none.
        parts: for each block, paths to the routed experts and to the linear maps whose inputs are its neurons, experts
            first; none where the block has no MLP.
        flat: whether some of those maps see positions without rows, [rows × positions, size].
    """

    body: str
    layers: str
    norm: str
    parts: tuple[tuple[str, ...], ...]
    flat: bool


@dataclass(frozen=True)
class _Call:
    """One linear map as it was called: its path in the block, and its input."""

    path: str
    module: nn.Module
    seen: torch.Tensor


def structure_of(model: "PreTrainedModel") -> Structure:
    """Where a model's neurons are.

    Raises:
        ExplorerError: they cannot be found without any doubt; the sentence says why.
    """
    with torch.inference_mode():
        layers = _find_layers(model)
        blocks: list[nn.Module] = list(model.get_submodule(layers).children())
        calls = _calls(model, blocks)
        hidden = _hidden_size(model)
        known: dict[Any, tuple[str, ...]] = {}
        parts = []
        for number, block in enumerate(blocks):
            shape = tuple((c.path, _size(c.module)) for c in calls[number])
            key = (type(block), shape, tuple(name for name, _ in _stacks(block)))
            if key not in known:
                known[key] = _parts_of(model, block, calls[number], hidden)
            parts.append(known[key])
    if not any(parts):
        raise ExplorerError(
            f"Models of type “{model.config.model_type}” have no MLP in their blocks that works token by token "
            "(state spaces or attention alone), so no neurons of the kind that is contrasted and patched; choose a "
            "model with MLPs."
        )
    flat = any(call.seen.ndim == 2 for own, seen in zip(parts, calls, strict=True) for call in seen if call.path in own)
    return Structure(_find_body(model, layers), layers, _find_norm(model, layers), tuple(parts), flat)


def _hidden_size(model: "PreTrainedModel") -> int:
    """Of the stream that the blocks write to."""
    size = getattr(model.config.get_text_config(decoder=True), "hidden_size", None)
    if not isinstance(size, int):
        raise ExplorerError(
            f"Models of type “{model.config.model_type}” have no one hidden size, but streams of several; they are not "
            "read here."
        )
    return size


def read_probe(model: "PreTrainedModel", ids: torch.Tensor | None = None) -> Any:
    """Let a model read the probing text, or another.

    Raises:
        ExplorerError: it cannot.
    """
    if ids is None:
        ids = torch.tensor([_PROBE], device=model.device)
    try:
        return model(input_ids=ids, use_cache=False)
    except ExplorerError:
        raise
    except Exception as problem:  # whatever the family's own code raises on a plain text
        raise ExplorerError(
            f"Models of type “{model.config.model_type}” do not read a plain text of tokens alone "
            f"({first_line(problem)}), so they cannot be contrasted or patched here."
        ) from problem


def _find_layers(model: "PreTrainedModel") -> str:
    """The path of the blocks: the list of modules that a text passes through, each once and in order."""
    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) and name
    }
    outer = {n: m for n, m in lists.items() if not any(n.startswith(f"{o}.") for o in lists)}
    order: dict[str, list[int]] = {name: [] for name in outer}
    with ExitStack() as held:
        for name, blocks in outer.items():
            for number, block in enumerate(blocks):
                hook = block.register_forward_pre_hook(lambda _m, _a, n=name, i=number: order[n].append(i))
                held.callback(hook.remove)
        read_probe(model)
    once = [name for name, seen in order.items() if seen == list(range(len(outer[name])))]
    if not once:
        raise ExplorerError(
            f"Models of type “{model.config.model_type}” have no list of blocks that a text passes through once, in "
            "order, so their neurons cannot be told apart by layer; they are not read here."
        )
    return max(once, key=lambda name: sum(p.numel() for p in outer[name].parameters()))


def _find_body(model: "PreTrainedModel", layers: str) -> str:
    """The path of the outermost module around the blocks that the model calls, to make logits of what it returns."""
    names = layers.split(".")
    around = [".".join(names[:end]) for end in range(1, len(names))]
    called: list[str] = []
    with ExitStack() as held:
        for path in around:
            hook = model.get_submodule(path).register_forward_pre_hook(lambda _m, _a, p=path: called.append(p))
            held.callback(hook.remove)
        read_probe(model)
    if not called:
        raise ExplorerError(
            f"Models of type “{model.config.model_type}” have no body that is called on its own, whose states an "
            "unembedding reads; they are not read here."
        )
    return min(called, key=len)


def _find_norm(model: "PreTrainedModel", layers: str) -> str:
    """The path of the norm that stands beside the blocks and comes after them; "" where there is none."""
    home, _, name = layers.rpartition(".")
    after: list[str] = []
    found: list[str] = []
    blocks: Any = model.get_submodule(layers)
    with ExitStack() as held:
        held.callback(blocks[-1].register_forward_hook(lambda _m, _a, _o: after.append("")).remove)
        for child, module in model.get_submodule(home).named_children():
            if child != name and "norm" in type(module).__name__.lower():

                def see(_m: nn.Module, _a: Any, child: str = child) -> None:
                    if after:
                        found.append(f"{home}.{child}" if home else child)

                held.callback(module.register_forward_pre_hook(see).remove)
        read_probe(model)
    return found[-1] if found else ""


def _calls(model: "PreTrainedModel", blocks: Sequence[nn.Module]) -> list[list[_Call]]:
    """For each block its linear maps, as they are called while the probing text is read."""
    calls: list[list[_Call]] = [[] for _ in blocks]
    running = [-1]
    with ExitStack() as held:
        for number, block in enumerate(blocks):

            def enter(_m: nn.Module, _a: Any, number: int = number) -> None:
                running[0] = number

            held.callback(block.register_forward_pre_hook(enter).remove)
            for path, module in block.named_modules():
                if _size(module) is None:
                    continue

                def see(m: nn.Module, args: tuple, number: int = number, path: str = path) -> None:
                    if args and running[0] == number:
                        calls[number].append(_Call(path, m, args[0].clone()))

                held.callback(module.register_forward_pre_hook(see).remove)
        read_probe(model)
    return calls


def _parts_of(model: "PreTrainedModel", block: nn.Module, calls: Sequence[_Call], hidden: int) -> tuple[str, ...]:
    """The paths of a block's neurons, experts first.

    Raises:
        ExplorerError: there are experts of another form, or two MLPs one of which would be left out.
    """
    kind = model.config.model_type
    stacks = list(_stacks(block))
    experts = [name for name, module in stacks if reads_as_experts(module)]
    strange = [name for name, module in stacks if not reads_as_experts(module)]
    if strange:
        raise ExplorerError(
            f"Models of type “{kind}” keep experts in {strange[0]} in a form that is not read here (stacked weights "
            "whose output is a plain sum over experts are), so their neurons cannot be patched."
        )
    dense = [call for number, call in enumerate(calls) if _is_down(model, block, calls, number, hidden)]
    if len(experts) > 1:
        raise ExplorerError(f"Models of type “{kind}” have several sets of experts in a block, which is not read here.")
    if experts:
        return (experts[0], *(call.path for call in dense if not call.path.startswith(f"{experts[0]}.")))
    if not dense:
        return ()
    widest = max(_width(call) for call in dense)
    wide = [call.path for call in dense if _width(call) == widest]
    if len(wide) > 1:
        raise ExplorerError(
            f"Models of type “{kind}” have several MLPs in a block ({', '.join(wide)}), one after the other, so that a "
            "layer has no one set of neurons; they are not read here."
        )
    return (wide[0],)


def _stacks(block: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules of a block that hold the weights of several experts on top of each other, with their paths."""
    for name, module in block.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.ndim == 3]
        is_stack = "down_proj" in dict(module.named_parameters(recurse=False)) or type(module).__name__.endswith(
            "Experts"
        )
        if own and is_stack and not _is_aside(name):
            yield name, module


def _is_down(model: "PreTrainedModel", block: nn.Module, calls: Sequence[_Call], number: int, hidden: int) -> bool:
    """Whether a map of a block is one whose input holds neurons: see the module's docstring."""
    down = calls[number]
    size = _size(down.module)
    if size is None or size[1] != hidden or _is_aside(down.path):
        return False
    if [call.path for call in calls].count(down.path) != 1:
        return False
    home = down.path.rpartition(".")[0]
    readers: list[_Call] = []
    for call in reversed(calls[:number]):
        inputs, outputs = _size(call.module) or (0, 0)
        if outputs == hidden and call.path.rpartition(".")[0] != home:
            break  # what came before has been written to the stream
        if inputs == hidden:
            readers.append(call)
    widths = {(_size(call.module) or (0, 0))[1] for call in readers}
    if not widths & {size[0], 2 * size[0]}:
        return False
    return _goes_by_position(model, block, readers, down)


def _goes_by_position(model: "PreTrainedModel", block: nn.Module, readers: Sequence[_Call], down: _Call) -> bool:
    """Whether a change of what the readers say at the first position reaches `down` there, and nowhere else."""
    seen: list[torch.Tensor] = []
    running: list[bool] = []

    def disturb(_m: nn.Module, _a: Any, out: torch.Tensor) -> torch.Tensor | None:
        if not running or not isinstance(out, torch.Tensor):
            return None
        out = out.clone()
        first = out[0] if out.ndim == 2 else out[:, 0]
        first += 1 + first.abs()
        return out

    def keep(_m: nn.Module, args: tuple) -> None:
        if running:
            seen.append(args[0].clone())

    with ExitStack() as held:
        for reader in readers:
            held.callback(reader.module.register_forward_hook(disturb).remove)
        held.callback(down.module.register_forward_pre_hook(keep).remove)
        held.callback(block.register_forward_pre_hook(lambda _m, _a: running.append(True)).remove)
        held.callback(block.register_forward_hook(lambda _m, _a, _o: running.clear()).remove)
        read_probe(model)
    if len(seen) != 1 or seen[0].shape != down.seen.shape:
        return False
    width = down.seen.shape[-1]
    now, then = seen[0].reshape(-1, width).float(), down.seen.reshape(-1, width).float()
    moved = (now - then).norm(dim=-1)
    return bool(moved[0] > 0) and bool((moved[1:] <= 1e-4 * then.norm(dim=-1).max()).all())


def _is_aside(path: str) -> bool:
    return any(word in path.lower() for word in _NO_MLP) or "gate" in path.split(".")


def _width(call: _Call) -> int:
    return (_size(call.module) or (0, 0))[0]


def _size(module: nn.Module) -> tuple[int, int] | None:
    """Inputs and outputs of a plain linear map; None for anything else."""
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    return (module.weight.shape[0], module.weight.shape[1]) if isinstance(module, Conv1D) else None
