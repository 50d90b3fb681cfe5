"""What a run on disk looks like: names, schema version, and the rules for both.

cache/<run>/manifest.json            what was computed from what, and a checksum for every file
cache/<run>/tensors/<name>.safetensors
cache/<run>/tables/<name>.parquet
"""

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
TENSORS = "tensors"
TABLES = "tables"

KEY_COLUMNS = {
    "answers": "suite column ranking set seed fraction start prompt_id prompt category answer tokens refused",
    "effect": "suite ranking set fraction start k n",
    "models": "suite column n",
    "restoring": "suite ranking score share fraction",
    "overlap": "a b fraction k shared overlap chance",
    "seeds": "method a b fraction k shared overlap chance",
    "place": "ranking group layer",
    "projection": "layer neuron direction place token logit",
    "words": "position token part text suite prompt_id",
    "transfer": "method kind source target k fraction n",
    "categories": "method kind source target k fraction n",
    "tax": "method a b into activations_of set suite fraction score n",
    "ablation": "method a b suite into set value fraction score n",
    "safeguard": "method ranking neurons seed k train test n",
    "capability": "method ranking task measure model fraction n value",
    "identification": "method reference ranking fraction k suite n",
    "series": "method step fraction k n",
    "shared_neurons": "a b layer neuron",
    "sparsity": "ranking fraction k",
    "fewest": "direction ranking method suite score share fraction largest n",
    "single_neurons": "ranking direction rank layer neuron suite n margin",
    "single_beside": "ranking set direction rank layer neuron suite n margin",
}
"""The columns of each table that tell its rows apart: a table without one of them is damaged. Scores and intervals
differ from run to run and are no part of it."""

KEY_COLUMNS |= {f"{name}_break": KEY_COLUMNS[name] for name in ("answers", "effect", "models", "restoring")}

TEXT_COLUMNS = (
    *("suite", "column", "prompt_id", "prompt", "answer", "category", "ranking", "method", "direction"),
    *("a", "b", "task", "model"),
)
"""Of these, those that hold text."""

KEY_ARRAYS = {"words": "layers neurons m1 m2", "safeguard": "layers neurons weight bias n"}
"""The arrays of each tensor file that is no ranking."""
