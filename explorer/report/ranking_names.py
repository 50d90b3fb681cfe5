"""How a run's rankings are named and ordered, and which ranking a result is of. The one place that does.

ranking_title("attribution_helpful", run.manifest["rankings"])      # "Attribution: Helpfulness"
methods = methods_in(run, tax)                                      # the main ranking's first
spoken(methods[0], "With 460 neurons, …")                           # "**By attribution.** With 460 neurons, …"

A *method* is how a ranking was computed (`runs.columns.method_of`); `charts.labels.ranking_label` is what a ranking is
called by its name alone, where its method is said elsewhere.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from explorer.charts.labels import BY_ATTRIBUTION, ranking_label
from explorer.runs.columns import BY_CHANGE, MAIN, method_of
from explorer.runs.reader import Run
from explorer.studies.statistics import Estimate
from explorer.studies.words import ATTRIBUTION, METHODS, method_words
from explorer.studies.words import known_method as _known

RANDOM = "random"
"""What tables call random neurons where they stand among rankings."""

PAPERS = "change score, the paper's ranking"
"""The paper's ranking in a sentence."""


_TITLES = {
    ATTRIBUTION: METHODS[ATTRIBUTION].title,
    MAIN: METHODS[BY_CHANGE].choice,
    "effect_size": METHODS["effect_size"].title,
    "prompt_difference": "Prompt difference, M1",
    "prompt_difference_m2": "Prompt difference, M2",
    "activation_variance": METHODS["activation_variance"].title,
    RANDOM: "Random neurons of the same layers",
}
"""Rankings whose names say what they rank by."""


# -- names -----------------------------------------------------------------------------------------


def ranking_title(name: str, rankings: Mapping[str, Any]) -> str:
    """A ranking by what it ranks by: "Attribution", "Change score: Safety, whole prompt".

    Args:
        name: of a ranking.
        rankings: what the manifest says of each.
    """
    method = _method(name, rankings)
    if name in _TITLES and (name == RANDOM or _method_of_name(name) == method):
        return _TITLES[name]
    of = name.removeprefix(BY_ATTRIBUTION) if method == ATTRIBUTION else name
    return f"{_known(method).title}: {ranking_label(of)}"


def ranking_words(name: str, rankings: Mapping[str, Any]) -> str:
    """A ranking's title for the middle of a sentence: "attribution", "change score, the paper's ranking"."""
    title = ranking_title(name, rankings)
    return PAPERS if title == _TITLES[MAIN] else title[0].lower() + title[1:]


def method_label(method: str) -> str:
    """A method as a choice: "Attribution", "Change score (paper)"."""
    known = map(_known, method.split(" and "))
    return " and ".join(about.choice or about.title for about in known)


def model_label(run: Run, ranking: str) -> str:
    """The aligned model that a ranking is of, in words: "attribution_helpful" → "Helpfulness".

    A change score's ranking bears its model's name already, and other rankings of that model take it from there.
    """
    adapter = model_of(run, ranking)
    if adapter:
        return ranking_label(adapter)
    rankings = run.manifest["rankings"]
    if method_of(rankings.get(ranking, {})) == BY_CHANGE:
        return ranking_label(ranking)
    named = [n for n in rankings if method_of(rankings[n]) == BY_CHANGE and not model_of(run, n)]
    return ranking_label(named[0]) if named else "M2"


def model_of(run: Run, ranking: str) -> str:
    """The adapter that a ranking is of; "" for M2's own."""
    return str((run.manifest["rankings"].get(ranking, {}).get("meta") or {}).get("adapter") or "")


# -- sizes that are shown first ----------------------------------------------------------------------


def default_fraction(name: str, rankings: Mapping[str, Any]) -> float:
    """The patched share that is shown first: 1 % of a ranking by attribution, the paper's 5 % of others."""
    return _known(_method(name, rankings)).patched


# -- order -------------------------------------------------------------------------------------------


def main_first(run: Run) -> list[str]:
    """The run's rankings, the main one first."""
    return sorted(run.rankings, key=lambda name: name != run.main_ranking)


def main_method(run: Run) -> str:
    """How the main ranking was computed; the paper's way where the run says nothing."""
    return method_of(run.manifest["rankings"].get(run.main_ranking, {}))


def methods_in(run: Run, table: pd.DataFrame) -> list[str]:
    """The methods that a table of the run holds rows of, the main ranking's first, else in the table's order."""
    main = main_method(run)
    return sorted(dict.fromkeys(table["method"]), key=lambda method: method != main)


def of_method(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """The rows of one method."""
    return table[table["method"] == method]


def rankings_by_method(run: Run) -> dict[str, list[str]]:
    """The rankings of a run by how they were computed, the main one's method first."""
    main, found = main_method(run), dict[str, list[str]]()
    for name, about in sorted(run.manifest["rankings"].items(), key=lambda item: method_of(item[1]) != main):
        found.setdefault(method_of(about), []).append(name)
    return found


def counterpart(name: str, rankings: Mapping[str, Any]) -> str:
    """The ranking to set beside this one: of the same models by the other method, else the next; itself where alone.

    Args:
        name: of a ranking.
        rankings: what the manifest says of each.
    """
    kind = rankings[name].get("kind", "change")
    adapter = (rankings[name].get("meta") or {}).get("adapter", "")

    def unlike(other: str) -> tuple[bool, bool, bool]:
        about = rankings[other]
        return (
            other == name,
            about.get("kind", "change") == kind,
            (about.get("meta") or {}).get("adapter", "") != adapter,
        )

    return min(rankings, key=unlike)


# -- comparison --------------------------------------------------------------------------------------


def compared(first: Estimate, second: Estimate, names: tuple[str, str], what: str) -> str:
    """Whether two means are distinguishable, in a sentence.

    Args:
        first, second: what is compared, each with its interval.
        names: the methods of both.
        what: what the more is of: "restored on the prompts themselves".
    """
    if not (first.known and second.known):
        return ""
    a, b = map(method_words, names)
    if first.low > second.high or second.low > first.high:
        more, less = (a, b) if first.value > second.value else (b, a)
        return f"By {more} distinguishably more is {what} than by {less}."
    return f"In what is {what}, {a} and {b} are not distinguishable."


def _method(name: str, rankings: Mapping[str, Any]) -> str:
    return method_of(rankings[name]) if name in rankings else _method_of_name(name)


def _method_of_name(name: str) -> str:
    """The method that a ranking of this name has in builds that say nothing else."""
    return next((method for method in METHODS if name.startswith(method)), BY_CHANGE)
