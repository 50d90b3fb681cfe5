"""Made-up tables of the study of paths, in the shape of real ones."""

import pandas as pd

from explorer.studies.path_parts import PARTS, WAYS

SETS = {"safety": 4.0, "ordinary": 1.0, "random": 0.1}
_SHARES = {"direct": 0.2, "patterns": 0.1, "values": 0.3, "mlps": 0.4, "attention": 0.4, "whole": 1.0}
LAYERS, HEADS, WORDS = 6, 2, ("<b>Is</b>", " it", "\n")


def path_tables(n: int = 12, tokens: int = 16, whole: float | None = None) -> dict[str, pd.DataFrame]:
    """All tables of the study.

    Args:
        n: prompts.
        tokens: length limit of the answers.
        whole: the first set's change of the margin, in logits, where it is another one.
    """
    sizes = SETS if whole is None else SETS | {"safety": whole}
    lead = {"suite": "redteam_eval", "fraction": 0.05, "k": 12}
    parts = [
        {"set": name, **lead, "part": part}
        | _interval("margin", size * _SHARES.get(part, 0.05))
        | _interval("share", _SHARES.get(part, 0.05))
        | {"n": n}
        for name, size in sizes.items()
        for part in PARTS
    ]
    left = dict(zip(WAYS, (1.0, 0.9, 0.7, 0.6, 0.6, 0.2), strict=True))
    kept = [
        {"set": name, **lead, "kept": way}
        | _interval("margin", size * share)
        | _interval("share", share)
        | {"n": n, "max_new_tokens": tokens}
        | _interval("refusal", 0.2 + 0.15 * size * share)
        | _interval("refusal_change", 0.15 * size * (share - 1))
        | _interval("degenerate", 0.0)
        | {"refusal_m1": 0.1, "refusal_m2": 0.9, "margin_m2": 5.0}
        for name, size in sizes.items()
        for way, share in left.items()
    ]
    heads = [
        {"set": name, "suite": "redteam_eval", "layer": layer, "head": head}
        | _interval("lost", size * 0.1 * (layer - 2) * (1 - 1.5 * head))
        | {"n": n}
        for name, size in sizes.items()
        for layer in range(LAYERS)
        for head in range(HEADS)
    ]
    looked = [
        {"set": "safety", "suite": "redteam_eval", "prompt_id": f"p{i}", "prompt": f"A *prompt* & <b>more</b> {i}"}
        | {"layer": 5, "head": 1, "column": column, "position": position, "token": word, "weight": 0.2 + 0.2 * position}
        for i in range(2)
        for column in ("unpatched", "patched", "aligned")
        for position, word in enumerate(WORDS)
    ]
    answers = [
        {"set": name, "suite": "redteam_eval", "kept": way, "prompt_id": f"p{i}", "prompt": f"<b>Prompt</b> {i}"}
        | {"margin": size * share, "answer": "# no heading", "refused": i % 2 == 0, "degenerate": False}
        for name, size in sizes.items()
        for way, share in left.items()
        for i in range(3)
    ]
    tables = {
        "paths": parts,
        "paths_kept": kept,
        "paths_heads": heads,
        "paths_attention": looked,
        "paths_answers": answers,
    }
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


def _interval(name: str, value: float, half: float = 0.15) -> dict[str, float]:
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}
