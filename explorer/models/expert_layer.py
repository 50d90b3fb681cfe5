"""Neurons of one layer that lie in several modules: routed experts and a shared one, or experts beside a dense MLP.

What the modules have in common, mostly the MLP, is run twice: once to see all neurons, with what it writes
thrown away, and once with the neurons that the visits have left. What came before the neurons (attention with its
cache, norms, the router) is computed in the first run alone and handed on in the second.

That is right only where the modules lie beside each other, so that the neurons of one do not depend on those of
another; `JoinedLayer.lie_apart` says whether they do, and `checking.check_structure` asks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from explorer.models.experts import RoutedExperts, column_index
from explorer.models.neuron_layer import NeuronVisit

_SAME = 1e-3
"""Relative distances below this are rounding: another kernel for the same numbers."""

_OPEN = float("inf")
"""What the gate of a shared expert is told to say while its neurons carry the gate themselves: its sigmoid is 1."""


class SharedNeurons:
    """The neurons of one linear map beside others, with the gate that weights what it writes, where it has one."""

    def __init__(self, down: nn.Module, gate: nn.Module | None) -> None:
        self.down: Any = down
        self._gate = gate
        self._seen: list[torch.Tensor] = []
        self._gates: list[torch.Tensor] = []
        self.moved = 0.0  # by how much what is seen differs between the two runs, while `watch`
        self.watch = False

    @property
    def width(self) -> int:
        return int(self.down.in_features if hasattr(self.down, "in_features") else self.down.weight.shape[0])

    def record(self, held: ExitStack) -> None:
        self._seen.clear()
        self._gates.clear()
        held.callback(self.down.register_forward_pre_hook(lambda _m, args: self._seen.append(args[0])).remove)
        if self._gate is not None:
            hook = self._gate.register_forward_hook(lambda _m, _a, out: self._gates.append(out))
            held.callback(hook.remove)

    def seen(self) -> torch.Tensor:
        """[tokens, width], after `record`."""
        h = self._seen[0].flatten(0, -2)
        return h * self._gates[0].flatten(0, -2).sigmoid() if self._gates else h

    def replay(self, held: ExitStack, h: torch.Tensor) -> None:
        def put(_module: nn.Module, args: tuple) -> tuple:
            if self.watch:
                self.moved = max(self.moved, _distance(args[0], self._seen[0]))
            return (h.reshape(args[0].shape).to(args[0].dtype), *args[1:])

        held.callback(self.down.register_forward_pre_hook(put).remove)
        if self._gate is not None:
            hook = self._gate.register_forward_hook(lambda _m, _a, out: torch.full_like(out, _OPEN))
            held.callback(hook.remove)

    def write(self, h: torch.Tensor) -> torch.Tensor:
        written: torch.Tensor = self.down(h.to(self.down.weight.dtype))
        return written

    def columns(self, index: torch.Tensor) -> torch.Tensor:
        weight: torch.Tensor = self.down.weight
        return weight[:, index].T if hasattr(self.down, "in_features") else weight[index]


class ExpertNeurons:
    """The neurons of routed experts, alone or beside others."""

    def __init__(self, experts: RoutedExperts) -> None:
        self.experts = experts
        self._args: tuple = ()
        self.moved = 0.0
        self.watch = False

    @property
    def width(self) -> int:
        return self.experts.width

    def record(self, held: ExitStack) -> None:
        def keep(*args: Any, **kwargs: Any) -> torch.Tensor:
            self._args = (*args, *kwargs.values())
            return torch.zeros_like(self._args[0])

        held.enter_context(forward_as(self.experts.module, keep))

    def alone(self, args: tuple, visited: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """What the experts return for their arguments, with their neurons [tokens, width] changed on the way."""
        written = self.experts.write(visited(self.experts.read(args)), args)
        return self.experts.shaped(written.to(args[0].dtype))

    def seen(self) -> torch.Tensor:
        """[tokens, width], after `record`."""
        return self.experts.read(self._args)

    def replay(self, held: ExitStack, h: torch.Tensor) -> None:
        def put(*args: Any, **kwargs: Any) -> torch.Tensor:
            if self.watch:
                self.moved = max(self.moved, _distance((*args, *kwargs.values())[0], self._args[0]))
            written = self.experts.write(h, self._args).to(self._args[0].dtype)
            return self.experts.shaped(written)

        held.enter_context(forward_as(self.experts.module, put))

    def write(self, h: torch.Tensor) -> torch.Tensor:
        return self.experts.write(h.to(self.experts.module.down_proj.dtype))

    def columns(self, index: torch.Tensor) -> torch.Tensor:
        return self.experts.columns(index)


class JoinedLayer:
    """The neurons of several modules of a block, one behind the other; see `neuron_layer.NeuronLayer`.

    Attributes:
        parts: routed experts first.
    """

    def __init__(self, block: nn.Module, common: nn.Module, parts: Sequence[ExpertNeurons | SharedNeurons]) -> None:
        """
        Args:
            block: of the model.
            common: the smallest module of it that holds all parts; the experts themselves where they are alone.
            parts: routed experts first.
        """
        self._block, self._common, self.parts = block, common, list(parts)

    @property
    def routed(self) -> RoutedExperts | None:
        """The routed experts of the layer, where it has them."""
        return next((part.experts for part in self.parts if isinstance(part, ExpertNeurons)), None)

    @property
    def width(self) -> int:
        return sum(part.width for part in self.parts)

    @property
    def device(self) -> torch.device:
        return next(self._common.parameters()).device

    def attach(self, visit: NeuronVisit) -> "_Attached":
        """See `neuron_layer.NeuronLayer.attach`."""
        return _Attached(self, self._block, self._common, visit)

    def write(self, neurons: torch.Tensor) -> torch.Tensor:
        """See `neuron_layer.NeuronLayer.write`."""
        flat = neurons.reshape(-1, self.width)
        written = [part.write(h) for part, h in zip(self.parts, self._split(flat), strict=True)]
        return torch.stack(written).sum(dim=0).view(*neurons.shape[:-1], -1)

    def columns(self, neurons: Sequence[int]) -> torch.Tensor:
        """See `neuron_layer.NeuronLayer.columns`."""
        index, start = column_index(neurons, self.device), 0
        out: torch.Tensor | None = None
        for part in self.parts:
            own = part.columns((index - start).clamp(0, part.width - 1))
            out = own if out is None else torch.where((index >= start)[:, None], own, out)
            start += part.width
        assert out is not None
        return out

    def forward(
        self, visits: Sequence[NeuronVisit], rows: int, own: Callable, args: tuple, kwargs: dict[str, Any]
    ) -> Any:
        """What the common module makes of its input, with the visits called on its neurons.

        Args:
            visits: in order.
            rows: of the batch.
            own: its own forward.
            args, kwargs: what that is called with.
        """

        def visited(flat: torch.Tensor) -> torch.Tensor:
            h = flat.view(rows, -1, self.width)
            for visit in visits:
                changed = visit(h)
                h = h if changed is None else changed
            return h.reshape(-1, self.width)

        first = self.parts[0]
        if isinstance(first, ExpertNeurons) and first.experts.module is self._common:  # nothing else to run
            return first.alone((*args, *kwargs.values()), visited)
        before = _Before(self._common, [_module_of(part) for part in self.parts])
        with ExitStack() as held:
            for part in self.parts:
                part.record(held)
            before.record(held)
            own(*args, **kwargs)
        h = visited(torch.cat([part.seen() for part in self.parts], dim=-1))
        with ExitStack() as held:
            before.replay(held)
            for part, its in zip(self.parts, self._split(h), strict=True):
                part.replay(held, its)
            return own(*args, **kwargs)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While this lasts, `lie_apart` learns from what is read with changed neurons."""
        for part in self.parts:
            part.moved, part.watch = 0.0, True
        try:
            yield
        finally:
            for part in self.parts:
                part.watch = False

    def lie_apart(self) -> bool:
        """Whether no part's neurons depended on what was done to another's, see `watched`."""
        return all(part.moved < _SAME for part in self.parts)

    def _split(self, flat: torch.Tensor) -> list[torch.Tensor]:
        return list(flat.split([part.width for part in self.parts], dim=-1))


class _Before:
    """What the children of a module that hold no neurons return before the first neurons are reached."""

    def __init__(self, common: nn.Module, neurons: Sequence[nn.Module]) -> None:
        holds = {id(m) for m in neurons}
        self._children = [
            child
            for child in common.children()
            if not isinstance(child, nn.ModuleList) and not any(id(m) in holds for m in child.modules())
        ]
        self._neurons = list(neurons)
        self._kept: dict[int, list[Any]] = {id(child): [] for child in self._children}
        self._reached = False

    def record(self, held: ExitStack) -> None:
        def reach(_module: nn.Module, _args: tuple) -> None:
            self._reached = True

        def keep(child: nn.Module, _args: tuple, out: Any) -> None:
            if not self._reached:
                self._kept[id(child)].append(out)

        for module in self._neurons:
            held.callback(module.register_forward_pre_hook(reach).remove)
        for child in self._children:
            held.callback(child.register_forward_hook(keep).remove)

    def replay(self, held: ExitStack) -> None:
        for child in self._children:
            kept = iter(self._kept[id(child)])
            own = child.forward

            def again(*args: Any, _kept: Iterator = kept, _own: Callable = own, **kwargs: Any) -> Any:
                for out in _kept:
                    return out
                return _own(*args, **kwargs)

            held.enter_context(forward_as(child, again))


class _Attached:
    """A visit on a layer. Several may be attached; the module's own forward comes back with the last one's end."""

    def __init__(self, layer: JoinedLayer, block: nn.Module, common: nn.Module, visit: NeuronVisit) -> None:
        self._common, self._visit = common, visit
        state = common.__dict__
        if "_neuron_visits" not in state:
            visits: list[NeuronVisit] = []
            rows = [0]
            own = state.get("forward")  # accelerate puts one on a module, too
            real: Callable = common.forward
            state["_neuron_visits"], state["_own_forward"] = visits, own

            def count_rows(_block: nn.Module, args: tuple, kwargs: dict) -> None:
                rows[0] = rows_of(args, kwargs)

            def visited(*args: Any, **kwargs: Any) -> Any:
                return layer.forward(visits, rows[0], real, args, kwargs)

            state["_rows_hook"] = block.register_forward_pre_hook(count_rows, with_kwargs=True)
            state["forward"] = visited
        state["_neuron_visits"].append(visit)

    def remove(self) -> None:
        state = self._common.__dict__
        visits = state.get("_neuron_visits", [])
        if self._visit in visits:
            visits.remove(self._visit)
        if not visits and "_neuron_visits" in state:
            state.pop("_rows_hook").remove()
            del state["_neuron_visits"], state["forward"]
            own = state.pop("_own_forward")
            if own is not None:
                state["forward"] = own


def rows_of(args: tuple, kwargs: dict[str, Any]) -> int:
    """How many rows a block is called with: the first axis of its first tensor."""
    tensors = (value for value in (*args, kwargs.get("hidden_states"), *kwargs.values()))
    return next(len(value) for value in tensors if isinstance(value, torch.Tensor))


@contextmanager
def forward_as(module: nn.Module, forward: Callable) -> Iterator[None]:
    """Let a module compute something else for as long as the with statement lasts."""
    state = module.__dict__
    own = state.get("forward")
    state["forward"] = forward
    try:
        yield
    finally:
        if own is None:
            del state["forward"]
        else:
            state["forward"] = own


def _distance(now: torch.Tensor, then: torch.Tensor) -> float:
    """How far two tensors of one shape lie apart, as a share of the size of the second."""
    size = float(then.float().norm())
    return float((now.float() - then.float()).norm()) / size if size else float(now.float().norm())


def _module_of(part: ExpertNeurons | SharedNeurons) -> nn.Module:
    module: nn.Module = part.experts.module if isinstance(part, ExpertNeurons) else part.down
    return module
