"""The most memory that loading, contrasting and patching a pair takes, beside what its weights take.

Both models share one set of weights, in bfloat16, and differ by (IA)³ factors, as the paper's do. Only the shape
matters, so the weights are random; they lie in a checkpoint on the disk, as a user's do. What counts is all that the
process holds, pages of the file that are mapped into it included.

    python -m tests.bench.memory 1.1B                 # makes the checkpoint, then measures in a process of its own
"""

import json
import sys
import tempfile
import threading
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig

import explorer
from explorer.models.pair_spec import ModelSpec, PairSpec
from tests import tiny
from tests.bench.measure import Line, own_process, resident_mb

SHAPES = {
    "1.1B": {
        "hidden_size": 2_048,
        "intermediate_size": 5_632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
    },
    "7B": {"hidden_size": 4_096, "intermediate_size": 11_008, "num_hidden_layers": 32, "num_attention_heads": 32},
}
PROMPTS = ["Say one.", "Say two.", "Say three.", "Say four."]
GOAL = 1.3


def line(shape: str) -> Line:
    """The peak of a shape's pair, as a line of the table; its checkpoint is made first and goes at the end."""
    with tempfile.TemporaryDirectory() as folder:
        own_process("-m", "tests.bench.memory", shape, folder, "make")
        found = json.loads(own_process("-m", "tests.bench.memory", shape, folder, "measure"))
    return Line(
        f"memory of a {shape}-shaped pair: load, contrast, patch; bfloat16",
        f"{found['peak']:.1f} GB",
        f"{found['weights']:.1f} GB of weights",
        found["peak"] / found["weights"],
        f"≤ {GOAL}",
        found["peak"] / found["weights"] <= GOAL,
    )


class Peak:
    """The most that this process held while the block ran, in GB (Linux), looked at every 20 ms."""

    def __enter__(self) -> "Peak":
        self.gigabytes, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.gigabytes = max(self.gigabytes, resident_mb("VmRSS") * 2**20 / 1e9)
            if self._done.wait(0.02):
                return


def _make(shape: str, folder: Path) -> None:
    """A checkpoint of random weights, written a shard a layer: it is never in memory whole."""
    config = LlamaConfig(vocab_size=32_000, **SHAPES[shape], dtype="bfloat16")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    torch.manual_seed(0)
    where: dict[str, str] = {}
    shards: dict[str, dict[str, torch.Size]] = {}
    for name, weight in model.state_dict().items():
        parts = name.split(".")
        shards.setdefault(parts[2] if parts[1] == "layers" else "rest", {})[name] = weight.shape
    for shard, weights in shards.items():
        file = f"model-{shard}.safetensors"
        made = {n: torch.randn(s, dtype=torch.float32).mul_(0.02).bfloat16() for n, s in weights.items()}
        made = {n: torch.ones_like(w) if "norm" in n else w for n, w in made.items()}
        save_file(made, folder / file, {"format": "pt"})
        where |= dict.fromkeys(weights, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    config.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)


def _measure(folder: Path) -> None:
    from explorer.models.layers import neuron_layers
    from explorer.models.pair import Pair

    with Peak() as peak:
        spec = ModelSpec(str(folder))
        loaded = explorer.load_pair(PairSpec("shape", spec, spec, "bfloat16"))
        factors = [1 + 0.1 * torch.randn(layer.width) for layer in neuron_layers(loaded.backbone1)]
        pair = Pair(loaded.tokenizer, loaded.backbone1, loaded.backbone1, None, factors, loaded.spec)
        changes = explorer.contrast(pair, PROMPTS, 2)
        explorer.generate(pair, PROMPTS[:1], changes.top(fraction=0.01), 4)
    print(json.dumps({"weights": pair.memory_bytes / 1e9, "peak": peak.gigabytes}))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(line(sys.argv[1]))
    elif sys.argv[3] == "make":
        _make(sys.argv[1], Path(sys.argv[2]))
    else:
        _measure(Path(sys.argv[2]))
