"""Safety-neuron explorer: find, patch and watch the neurons that carry safety alignment.

    pair = explorer.load_pair("demo")                       # M1 and its aligned sibling M2
    changes = explorer.contrast(pair, prompts)              # change score of every neuron
    answers = explorer.generate(pair, prompts, changes.top(fraction=0.05))

The method is that of Chen et al., "Towards Understanding Safety Alignment: A Mechanistic
Perspective from Safety Neurons" (arXiv 2406.14144).

Names are imported on first use, so `import explorer` is instant and does not import torch:
the pages that show cached runs never pay for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from explorer.version import __version__ as __version__

if TYPE_CHECKING:
    from explorer.engine.attribution import attribute
    from explorer.engine.contrast import contrast
    from explorer.engine.options import Columns, Decoding, Sampling
    from explorer.engine.patching import Answer, Generations, Step, generate, stream, sweep
    from explorer.errors import ExplorerError
    from explorer.models.pair import Pair, load_pair
    from explorer.neurons.patch import Patch
    from explorer.neurons.scores import Attributions, ChangeScores
    from explorer.neurons.sets import NeuronSet
    from explorer.report.run import open_run
    from explorer.runs.reader import Run
    from explorer.scoring.base import Scorer
    from explorer.scoring.scorers import load_scorer

_HOME = {
    "ExplorerError": "explorer.errors",
    "Pair": "explorer.models.pair",
    "load_pair": "explorer.models.pair",
    "attribute": "explorer.engine.attribution",
    "contrast": "explorer.engine.contrast",
    "Attributions": "explorer.neurons.scores",
    "ChangeScores": "explorer.neurons.scores",
    "NeuronSet": "explorer.neurons.sets",
    "Patch": "explorer.neurons.patch",
    "Columns": "explorer.engine.options",
    "Decoding": "explorer.engine.options",
    "Sampling": "explorer.engine.options",
    "Answer": "explorer.engine.patching",
    "Generations": "explorer.engine.patching",
    "Step": "explorer.engine.patching",
    "generate": "explorer.engine.patching",
    "stream": "explorer.engine.patching",
    "sweep": "explorer.engine.patching",
    "Run": "explorer.runs.reader",
    "open_run": "explorer.report.run",
    "Scorer": "explorer.scoring.base",
    "load_scorer": "explorer.scoring.scorers",
}


__all__ = [
    "Answer",
    "Attributions",
    "ChangeScores",
    "Columns",
    "Decoding",
    "ExplorerError",
    "Generations",
    "NeuronSet",
    "Pair",
    "Patch",
    "Run",
    "Sampling",
    "Scorer",
    "Step",
    "attribute",
    "contrast",
    "generate",
    "load_pair",
    "load_scorer",
    "open_run",
    "stream",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'explorer' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
