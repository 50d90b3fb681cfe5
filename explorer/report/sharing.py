"""What rankings of the same method share, and what the two methods share for the same model.

groups = groups_of(run, seeds)       # seeds: the run's table, or None
sharing_sentence(pairs, groups, 0.005, run)
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from explorer.charts.labels import percent, ranking_label, suite_label
from explorer.report.ranking_names import ATTRIBUTION, main_method, model_label, model_of, rankings_by_method
from explorer.runs.columns import BY_CHANGE
from explorer.runs.reader import Run
from explorer.studies.words import method_words

Cells = dict[tuple[str, str], dict[Any, Any]]
"""The likeness of two rankings, by their names."""

HELPFUL = "helpful"
"""The adapter that safety is set against, where a run has it."""


@dataclass(frozen=True)
class Groups:
    """The rankings of one method by the models they are of.

    Attributes:
        method: how they were computed.
        names: all of them.
        seeds: those of one recipe trained with several seeds; empty where the run has none.
        own: the ranking of M2 itself; "" for none.
        other: the ranking of another adapter that `own` is set against, helpfulness where there is one; "" for none.
    """

    method: str
    names: tuple[str, ...]
    seeds: tuple[str, ...]
    own: str
    other: str


def groups_of(run: Run, seeds: pd.DataFrame | None = None) -> list[Groups]:
    """The groups of a run by method, the main ranking's first, of the methods that compare two models' activations.

    Args:
        run: the run.
        seeds: its table of that name, which says which rankings are of one recipe.
    """
    found = []
    for method, names in rankings_by_method(run).items():
        if method not in (ATTRIBUTION, BY_CHANGE):
            continue
        alike = () if seeds is None else _named(seeds[seeds["method"] == method], names)
        adapters = {name: model_of(run, name) for name in names}
        own = next((name for name in names if not adapters[name]), "")
        others = [name for name in names if adapters[name] and name not in alike]
        other = next((name for name in others if adapters[name] == HELPFUL), next(iter(others), ""))
        found.append(Groups(method, tuple(names), alike, own, other))
    return found


def same_model(run: Run) -> list[tuple[str, str]]:
    """Rankings of one model on the same prompts, by change score and by attribution."""
    by_method = rankings_by_method(run)
    attributions: dict[tuple[str, str], str] = {}
    for name in by_method.get(ATTRIBUTION, []):
        attributions.setdefault(_origin(run, name), name)
    pairs, seen = [], set()
    for name in by_method.get(BY_CHANGE, []):
        origin = _origin(run, name)
        if origin in attributions and origin not in seen:
            seen.add(origin)
            pairs.append((name, attributions[origin]))
    return pairs


def sharing_sentence(pairs: pd.DataFrame, groups: list[Groups], fraction: float, run: Run) -> str:
    """What seeds of one recipe share against what another adapter shares with M2, by each method; "" for neither.

    Args:
        pairs: of `derived.ranking_pairs`, at this size of the top sets.
        groups: of `groups_of`.
        fraction: the size of the top sets.
        run: the run.
    """
    cells = _cells(pairs)
    parts = [text for group in groups if (text := _shared(cells, group, run))]
    if not parts:
        return ""
    k = int(pairs["k"].iloc[0])
    head = f"Of the top **{percent(fraction)}** ({k:,} neurons; chance {percent(pairs['chance'].iloc[0])}), "
    return head + "; ".join(parts) + "."


def _cells(pairs: pd.DataFrame) -> Cells:
    return {(str(row["a"]), str(row["b"])): row for row in pairs.to_dict("records")}


def _shared(cells: Cells, group: Groups, run: Run) -> str:
    """One method's part of the sentence."""
    seeds = [float(cells[pair]["overlap"]) for pair in combinations(group.seeds, 2)]
    told = []
    if seeds:
        many = f"{percent(min(seeds))} to {percent(max(seeds))}" if len(seeds) > 1 else percent(seeds[0])
        told.append(f"rankings of {len(group.seeds)} seeds share **{many}** with each other")
    other = float("nan")
    if group.own and group.other:
        other = float(cells[group.own, group.other]["overlap"])
        who, whom = (model_label(run, name) for name in (group.other, group.own))
        told.append(f"{who} shares **{percent(other)}** with {whom}")
    if not told:
        return ""
    asked = [_prompts(run, name) for name in dict.fromkeys([*group.seeds, group.own, group.other]) if name]
    known = sorted({n for n in asked if n})
    ends = f"{known[0]}" if len(known) == 1 else f"{known[0]} to {known[-1]}" if known else ""
    text = f"**by {method_words(group.method)}** {' and '.join(told)}"
    if seeds and other == other:
        text += f", so the seeds share {'more' if min(seeds) > other else 'no more'}"
    return text + (f" (each ranked on n = {ends} prompts)" if ends else "")


def same_model_rows(pairs: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Overlap of the two methods' top sets for each model: Model, Prompts, the two rankings, and their likeness."""
    cells, rows = _cells(pairs), []
    for first, second in same_model(run):
        found = cells[first, second]
        rows.append(
            {
                "Model": model_label(run, second),
                "Ranked on": suite_label(str((run.manifest["rankings"][first].get("meta") or {}).get("suite", ""))),
                "By change score": ranking_label(first),
                "By attribution": ranking_label(second),
                "Shared neurons": int(found["shared"]),
                "of": int(found["k"]),
                "Overlap": float(found["overlap"]),
                "Chance": float(found["chance"]),
                "Spearman ρ": float(found["spearman"]),
            }
        )
    return pd.DataFrame(rows)


def default_rankings(run: Run) -> tuple[str, str]:
    """The two rankings that are compared first: M2's by the main method, and one of the same method to set against it.

    That is helpfulness's where there is one, else that of ordinary prompts, else the next.
    """
    names, first = run.rankings, run.main_ranking
    alike = rankings_by_method(run)[main_method(run)]
    others = [name for name in alike if name != first] or [name for name in names if name != first]
    wanted = [name for name in others if model_of(run, name) == HELPFUL]
    wanted += [name for name in others if name.endswith(("helpful", "ordinary"))]
    return first, next(iter([*wanted, *others]), first)


def _named(seeds: pd.DataFrame, names: list[str]) -> tuple[str, ...]:
    found = dict.fromkeys([*seeds["a"], *seeds["b"]])
    return tuple(name for name in found if name in names)


def _origin(run: Run, name: str) -> tuple[str, str]:
    """The model and the prompts that a ranking is of."""
    return model_of(run, name), str((run.manifest["rankings"][name].get("meta") or {}).get("suite") or "")


def _prompts(run: Run, name: str) -> int:
    return int((run.manifest["rankings"][name].get("meta") or {}).get("prompts") or 0)
