"""Where a run's numbers come from, as tables, out of its manifest."""

from typing import Any

import pandas as pd

from explorer.charts.labels import ranking_about, ranking_label


def model_rows(manifest: dict[str, Any]) -> pd.DataFrame:
    """What M1 and M2 are made of: columns Model, Part, Name, SHA-256."""
    rows = []
    for name in ("m1", "m2"):
        model = manifest["pair"][name]
        rows.append((name.upper(), "base", model["base"], model.get("digest", "")))
        rows += [(name.upper(), "adapter", a.get("name", ""), a.get("sha256", "")) for a in model.get("adapters", [])]
    return pd.DataFrame(rows, columns=["Model", "Part", "Name", "SHA-256"]).astype(str)


def suite_rows(manifest: dict[str, Any]) -> pd.DataFrame:
    """The prompt suites: columns Suite, Prompts, SHA-256, and Description where there is one."""
    suites = manifest.get("suites", {})
    frame = pd.DataFrame(
        [
            (name, int(s.get("n", 0)), str(s.get("sha256", "")), str(s.get("description", "")))
            for name, s in suites.items()
        ],
        columns=["Suite", "Prompts", "SHA-256", "Description"],
    )
    return frame if frame["Description"].any() else frame.drop(columns="Description")


def ranking_rows(manifest: dict[str, Any]) -> pd.DataFrame:
    """The rankings: columns Ranking, Name in files, Computed from."""
    rows = [(ranking_label(name), name, ranking_about(about)) for name, about in manifest["rankings"].items()]
    return pd.DataFrame(rows, columns=["Ranking", "Name in files", "Computed from"])


def setting_rows(manifest: dict[str, Any]) -> pd.DataFrame:
    """All other settings: columns Setting, Value."""
    rows = [("created", manifest.get("created", "")), ("explorer", manifest.get("explorer_version", ""))]
    rows.append(("number format", manifest["pair"].get("dtype", "")))
    for group, label in (("decoding", ""), ("seeds", "seed: "), ("packages", "")):
        rows += [(f"{label}{name}", value) for name, value in manifest.get(group, {}).items()]
    return pd.DataFrame(rows, columns=["Setting", "Value"]).astype(str)
