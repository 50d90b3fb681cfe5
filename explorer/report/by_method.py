"""Which ranking a result is of: rows of a study's table by the method of its rankings. Knows no Streamlit.

methods = methods_in(run.manifest, tax)           # the main ranking's first
mine = of_method(tax, methods[0])
spoken("attribution", "With 460 neurons, …")      # "**By attribution.** With 460 neurons, …"
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from explorer.charts.labels import ranking_label
from explorer.runs.columns import BY_CHANGE, MAIN, method_of
from explorer.studies.statistics import Estimate

ATTRIBUTION = "attribution"

_METHODS = {
    ATTRIBUTION: ("Attribution", "attribution"),
    BY_CHANGE: ("Change score (paper)", "change score"),
    "effect_size": ("Effect size (Cohen's d)", "effect size"),
    "prompt_difference": ("Prompt difference", "prompt difference"),
    "activation_variance": ("Activation variance", "activation variance"),
}
_USUAL = {ATTRIBUTION: 0.005}
USUAL = 0.05
"""The size of top sets that is shown first, of methods that need no fewer."""


def method_label(method: str) -> str:
    """A method as a choice: "Attribution", "Change score (paper)"."""
    return " and ".join(_METHODS.get(part, (_plain(part).capitalize(),))[0] for part in method.split(" and "))


def method_words(method: str) -> str:
    """A method within a sentence: "attribution", "change score"."""
    return " and ".join(_METHODS[part][1] if part in _METHODS else _plain(part) for part in method.split(" and "))


def spoken(method: str, text: str) -> str:
    """A text under the ranking that it speaks of; "" where there is none."""
    return f"**By {method_words(method)}.** {text}" if text else ""


def usual_fraction(method: str) -> float:
    """The size of top sets that is shown first, as a share of all neurons."""
    return _USUAL.get(method, USUAL)


def main_method(manifest: Mapping[str, Any]) -> str:
    """How the main ranking was computed; the paper's way where the run says nothing."""
    rankings = manifest["rankings"]
    name = manifest.get("ranking", MAIN)
    return method_of(rankings[name] if name in rankings else next(iter(rankings.values()), {}))


def methods_in(manifest: Mapping[str, Any], table: pd.DataFrame) -> list[str]:
    """The methods that a table holds rows of, the main ranking's first, else in the table's order."""
    main = main_method(manifest)
    return sorted(dict.fromkeys(table["method"]), key=lambda method: method != main)


def of_method(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """The rows of one method."""
    return table[table["method"] == method]


def rankings_by_method(manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """The rankings of a run by how they were computed, the main one's method first."""
    main, found = main_method(manifest), dict[str, list[str]]()
    for name, about in sorted(manifest["rankings"].items(), key=lambda item: method_of(item[1]) != main):
        found.setdefault(method_of(about), []).append(name)
    return found


def model_label(manifest: Mapping[str, Any], ranking: str) -> str:
    """The aligned model that a ranking is of, in words: "attribution_helpful" → "Helpfulness".

    A change score's ranking bears its model's name already, and other rankings of that model take it from there.
    """
    adapter = model_of(manifest, ranking)
    if adapter:
        return ranking_label(adapter)
    rankings = manifest["rankings"]
    if method_of(rankings.get(ranking, {})) == BY_CHANGE:
        return ranking_label(ranking)
    named = [n for n in rankings if method_of(rankings[n]) == BY_CHANGE and not model_of(manifest, n)]
    return ranking_label(named[0]) if named else "M2"


def model_of(manifest: Mapping[str, Any], ranking: str) -> str:
    """The adapter that a ranking is of; "" for M2's own."""
    return str((manifest["rankings"].get(ranking, {}).get("meta") or {}).get("adapter") or "")


def compared(first: Estimate, second: Estimate, names: tuple[str, str], what: str) -> str:
    """Whether two means part, in a sentence.

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


def _plain(name: str) -> str:
    return name.replace("_", " ")
