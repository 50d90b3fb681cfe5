"""What a run found: one finding a study, in the sentences that the pages begin with.

for finding in findings(open_run("cache/demo")):
    print(finding)                      # "Patched neurons: The model has 46,080 neurons …"
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from explorer.report import claims, facts, fewest, judges, overview
from explorer.report import sentences as said
from explorer.report.by import RESTORE
from explorer.report.causal import ability_of
from explorer.report.first_choices import first_results, holds, main_rows
from explorer.report.ranking_names import model_label
from explorer.runs.columns import method_of
from explorer.runs.reader import Run
from explorer.studies import STUDIES
from explorer.studies.ablation import ablation_sentence
from explorer.studies.capability import capability_sentence
from explorer.studies.place import sparsity_sentence
from explorer.studies.study import Study
from explorer.studies.tax import tax_sentence
from explorer.studies.words import known_scores, method_words, spoken


@dataclass(frozen=True)
class Finding:
    """What one study of a run found.

    Attributes:
        title: of the study.
        sentence: one or a few, with n, decoding length and 95 % intervals; Markdown, as on the pages.
        table: the table of the run that it is computed from: `run.table(finding.table)`.
    """

    title: str
    sentence: str
    table: str

    def __str__(self) -> str:
        return f"{self.title}: {re.sub(r'[*]{2}', '', self.sentence)}".replace("\u00a0", " ")


@dataclass(frozen=True)
class _Source:
    """Where a finding comes from: the tables that it needs, the first of which it names."""

    title: str
    tables: tuple[str, ...]
    say: Callable[[Run], str]


def findings(run: Run) -> list[Finding]:
    """The findings of all studies that a run holds, of its main ranking where a study was made with several.

    A study speaks for itself (`Study.finding`), where it was asked for: what every run holds has a page of its own.
    `_SOURCES` has those whose sentence needs more of the run than the rows of its tables.

    Raises:
        ExplorerError: a table of the run is damaged.
    """
    found = [
        Finding(source.title, source.say(run), source.tables[0]) for source in _SOURCES if holds(run, *source.tables)
    ]
    known = {table for source in _SOURCES for table in source.tables}
    for study in STUDIES.values():
        names = [table.name for table in study.tables if table.kept]
        if not known & set(names) and not study.unasked("") and holds(run, *names):
            names += [table.name for table in study.tables if not table.kept and holds(run, table.name)]
            found.append(Finding(study.title, _own_words(run, study, names), names[0]))
    return [finding for finding in found if finding.sentence]


def _own_words(run: Run, study: Study[Any], names: Sequence[str]) -> str:
    """What a study finds in the rows of the main ranking's method, under that method's name."""
    tables = {name: main_rows(run, name) for name in names}
    text, first = study.finding(tables), tables[names[0]]
    return spoken(str(first["method"].iloc[0]), text) if "method" in first else text


def _patched(run: Run) -> str:
    first = first_results(run)
    if first is None:
        return ""
    shown, by = first.results, first.results.by
    shape = (run.n_layers, run.n_neurons)
    headline = facts.headline(shape, shown.models, shown.effect, first.suite, first.fraction)
    return f"{headline.sentence(by)} {claims.effect_sentence(shown.effect, first.suite, first.fraction, by)}"


def _onset(run: Run) -> str:
    first = first_results(run)
    return "" if first is None else claims.onset_sentence(first.results.effect, first.suite, first.results.by)


def _broken(run: Run) -> str:
    first = first_results(run)
    return "" if first is None else overview.breaking_words(run, first.suite, first.fraction)


def _fewest(run: Run) -> str:
    first, table = first_results(run), run.whole_table("fewest")
    suites = list(dict.fromkeys(table.loc[table["direction"] == RESTORE, "suite"]))
    if not suites:
        return ""
    suite = first.suite if first is not None and first.suite in suites else suites[0]
    return fewest.answer_sentence(table, run.manifest["rankings"], suite, RESTORE, "refusal")


def _tax(run: Run) -> str:
    rows = main_rows(run, "tax", "a", "b", "fraction")
    known = known_scores(rows)
    scores = said.BOTH_SIDES if set(said.BOTH_SIDES) <= set(known) else known[:1]
    parts = [tax_sentence(rows, score, partial(model_label, run)) for score in scores]
    return spoken(str(rows["method"].iloc[0]), " ".join(part for part in parts if part))


def _ablation(run: Run) -> str:
    rows = main_rows(run, "ablation", "a", "b", "fraction")
    score = next(iter(known_scores(rows)), "")
    rows = rows[(rows["score"] == score) & (rows["suite"] == rows["suite"].iloc[0])]
    text = ablation_sentence(rows, score, partial(model_label, run))
    return spoken(str(rows["method"].iloc[0]), text) if text else ""


def _sparsity(run: Run) -> str:
    table = run.whole_table("sparsity")
    names = list(dict.fromkeys(table["ranking"]))
    name = run.main_ranking if run.main_ranking in names else names[0]
    method = method_of(run.manifest["rankings"].get(name, {}))
    return spoken(method, sparsity_sentence(table, name, method_words(method)))


def _capability(run: Run) -> str:
    table = run.whole_table("capability")
    mine = ability_of(table, run.main_ranking)
    return capability_sentence(table if mine.empty else mine)


_SOURCES = (
    _Source("Patched neurons", ("effect", "models", "answers"), _patched),
    _Source("From which size on", ("effect", "models", "answers"), _onset),
    _Source("Broken safety", ("effect_break", "models_break", "answers_break"), _broken),
    _Source("Which ranking finds the fewest", ("fewest",), _fewest),
    _Source("General capability", ("capability",), _capability),
    _Source("Alignment tax", ("tax",), _tax),
    _Source("Ablation of shared neurons", ("ablation",), _ablation),
    _Source("Sparsity", ("sparsity",), _sparsity),
    _Source("Agreement of the judges", ("judges",), lambda run: judges.judges_sentence(run.whole_table("judges"))),
)
