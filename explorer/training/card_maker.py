"""What an adapter does, against M1: answers, held-out preferences, plain text (its card, `card.json`).

maker = CardMaker(CardSettings(limit=100))
for name in ("safety", "helpful"):
    print(maker.make(name).measured)

M1 answers the same for every adapter, and does so once.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from explorer.data.preferences import Preference, load_preferences
from explorer.data.sources import load_source
from explorer.data.suite_spec import SuiteSpec
from explorer.data.suites_io import load_suite
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.models.pair import Pair, load_pair, sibling
from explorer.models.pair_file import ModelSpec, read_pair_file
from explorer.models.prompting import check_new_tokens, encode_answer, encode_dialogue
from explorer.models.shipped import find_adapter
from explorer.paths import data_folder
from explorer.scoring.base import Scorer
from explorer.scoring.degenerate import degenerate
from explorer.scoring.scorers import NAMES, load_scorer
from explorer.studies.benchmarks import WINDOW_TOKENS, wikitext, window_losses
from explorer.studies.capability import capability_table
from explorer.studies.preferences import preference_accuracy
from explorer.studies.statistics import mean, paired_difference, paired_p
from explorer.training.cards import MEASURED, Card, write_card
from explorer.training.config import PairSource
from explorer.training.record import TrainingRecord, read_record

DTYPE = "float32"
"""Exact, and the same on every machine."""

WHOLE_ANSWER = 512
"""Tokens of a preference pair's answer that are read at most, where the training read all of it."""

PROMPTS: dict[str, tuple[str | SuiteSpec, ...]] = {
    "redteam": ("redteam_eval", SuiteSpec("sst", "redteam/simple_safety_tests.jsonl")),
    "xstest_safe": (SuiteSpec("xstest", "benign/xstest_prompts.jsonl", where=(("label", "safe"),)),),
}
"""Prompts by name, of which `limit` of each file are asked: shipped suites and files of `$EXPLORER_DATA`; other names
are shipped suites."""

Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class CardSettings:
    """How adapters are measured.

    Attributes:
        limit: prompts of each file of prompts.
        max_new_tokens: length limit of an answer.
        pairs: held-out preference pairs of each source, at most.
        pair_prompt_tokens: only pairs whose dialogue so far has at most so many tokens.
        windows: stretches of WikiText-2, of `WINDOW_TOKENS` each.
        suites: names of prompts that no adapter was trained on, see `PROMPTS`.
        scorers: names that `load_scorer` knows.
    """

    limit: int = 100
    max_new_tokens: int = 32
    pairs: int = 300
    windows: int = 20
    pair_prompt_tokens: int = 200
    suites: tuple[str, ...] = ("redteam", "everyday_eval", "xstest_safe")
    scorers: tuple[str, ...] = NAMES

    def command(self, name: str) -> str:
        """The command line that measures an adapter so."""
        return (
            f"EXPLORER_DATA=… python -m explorer card {name} --limit {self.limit} --max-new-tokens "
            f"{self.max_new_tokens} --pairs {self.pairs} --windows {self.windows}"
        )


class CardMaker:
    """Measures adapters one after the other and writes each one's card as soon as it is there."""

    def __init__(self, settings: CardSettings) -> None:
        """Read the prompts and the text; no model is loaded yet.

        Raises:
            ExplorerError: the datasets are not there, or a setting is not usable.
        """
        check_new_tokens(settings.max_new_tokens)
        self.settings = settings
        self._data = data_folder()
        self._windows = wikitext(self._data / "capability", settings.windows, WINDOW_TOKENS)
        self._prompts = {suite: self._load(suite) for suite in settings.suites}
        self._pair: Pair | None = None
        self._scorers: dict[str, Scorer] = {}
        self._first: dict[tuple[ModelSpec, str], dict[str, np.ndarray]] = {}

    def _load(self, name: str) -> list[str]:
        """The prompts of a name, `limit` of each file."""
        prompts: list[str] = []
        for part in PROMPTS.get(name, (name,)):
            found = load_suite(part) if isinstance(part, str) else load_source(self._placed(part), Path())
            prompts += [p.prompt for p in found[: self.settings.limit]]
        return prompts

    def _placed(self, suite: SuiteSpec) -> SuiteSpec:
        return replace(suite, file=str(self._data / suite.file))

    def make(self, name: str, tell: Tell | None = None) -> Card:
        """Measure an adapter and write its card.

        Args:
            name: of a shipped adapter, or its folder.
            tell: told what is being measured and the share of it that is done.

        Raises:
            ExplorerError: there is no such adapter, or what it was trained on is not known.
        """
        folder = find_adapter(name)
        record, spec = read_record(folder), read_pair_file(folder)
        self._pair = load_pair(spec, dtype=DTYPE, progress=tell) if self._pair is None else sibling(self._pair, spec)
        measured = self.measure(self._pair, record, tell)
        settings = {**asdict(self.settings), "computed_in": self._pair.dtype}
        return write_card(folder, record, measured, self.settings.command(name), settings)

    def measure(self, pair: Pair, record: TrainingRecord, tell: Tell | None = None) -> pd.DataFrame:
        """What M2 does against M1; see `explorer.training.cards.Card` for the columns."""
        told = tell or (lambda _what, _share: None)
        rows = self._answers(pair, told)
        for source in record.held_out():
            rows += self._preferences(pair, source, record.answer_tokens or WHOLE_ANSWER, told)
        rows += self._perplexity(pair, told)
        return pd.DataFrame(rows).reindex(columns=MEASURED)

    def _answers(self, pair: Pair, tell: Tell) -> list[dict]:
        """Scores of greedy answers, and how M2's differ from M1's to the same prompts."""
        rows = []
        for suite in self._prompts:
            key = (pair.spec.m1, suite)
            if key not in self._first:
                self._first[key] = self._scores(pair, suite, "M1", tell)
            first, second = self._first[key], self._scores(pair, suite, "M2", tell)
            for measure in first:
                a, b = first[measure], second[measure]
                cells = {"measure": measure, "suite": suite, "n": len(a), "tokens": self.settings.max_new_tokens}
                rows += [
                    {**cells, "model": "M1", **mean(a).columns("value")},
                    {**cells, "model": "M2", **mean(b).columns("value")},
                    {**cells, "model": "difference", **paired_difference(a, b).columns("value"), "p": paired_p(b, a)},
                ]
        return rows

    def _scores(self, pair: Pair, suite: str, model: str, tell: Tell) -> dict[str, np.ndarray]:
        """float64 [n] of every measure of one model's answers."""
        prompts, first = self._prompts[suite], model == "M1"
        out = sweep(
            pair,
            prompts,
            Columns(unpatched=first, aligned=not first),
            Decoding(self.settings.max_new_tokens),
            progress=lambda share: tell(f"{model} answers {suite}", share),
        )
        texts = [answer.text for answer in (out.unpatched if first else out.aligned)]
        scores = {name: self._scorer(name, pair).score(prompts, texts) for name in self.settings.scorers}
        scores |= {"degenerate": degenerate(texts), "words": np.array([len(text.split()) for text in texts])}
        return {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}

    def _scorer(self, name: str, pair: Pair) -> Scorer:
        if name not in self._scorers:
            self._scorers[name] = load_scorer(name, pair)
        return self._scorers[name]

    def _preferences(self, pair: Pair, source: PairSource, answer_tokens: int, tell: Tell) -> list[dict]:
        """How often M2's implicit reward prefers what people preferred, in pairs kept from the training."""
        readable = replace(source, max_tokens=0, max_prompt_tokens=self.settings.pair_prompt_tokens)
        found = held_out_pairs(pair, self._data / "preferences" / source.file, readable, self.settings.pairs)
        suite = source.file.removesuffix(".jsonl")
        table = preference_accuracy(pair, found, answer_tokens, lambda share: tell(f"pairs of {suite}", share))
        row = table.to_dict("records")[0]
        cells = {"suite": suite, "model": "M2", "n": len(found), "tokens": answer_tokens}
        return [{"measure": f"implicit_{name}", **cells, **_renamed(row, name)} for name in ("accuracy", "margin")]

    def _perplexity(self, pair: Pair, tell: Tell) -> list[dict]:
        """Perplexity of both models, and M2's over M1's."""
        losses = []
        for number, window in enumerate(self._windows, start=1):
            found = enumerate(window_losses(pair, window))
            losses += [{"task": window.task, "id": window.id, "condition": c, "value": float(v)} for c, v in found]
            tell("WikiText-2", number / len(self._windows))
        if not losses:
            return []
        first, second = capability_table(pd.DataFrame(losses), [("M1", 0.0), ("M2", 1.0)]).to_dict("records")
        cells = {"measure": "perplexity", "suite": "wikitext2", "n": len(self._windows), "tokens": WINDOW_TOKENS}
        return [
            {**cells, "model": "M1", **_renamed(first, "value")},
            {**cells, "model": "M2", **_renamed(second, "value")},
            {**cells, "model": "ratio", **_renamed(second, "change")},
        ]


def held_out_pairs(pair: Pair, file: Path, source: PairSource, limit: int) -> list[Preference]:
    """The first pairs of a source that were kept from a training, of the lengths that it read, at most `limit`.

    Raises:
        ExplorerError: the file is not there, or cannot be read.
    """
    found = []
    for preference in load_preferences(file, source.kind)[: source.skip]:
        prompt = encode_dialogue(pair.tokenizer, preference.turns)
        answers = (
            encode_answer(pair.tokenizer, text, preference.turns) for text in (preference.chosen, preference.rejected)
        )
        if source.takes(len(prompt), max(map(len, answers))):
            found.append(preference)
    return found[:limit]


def _renamed(row: Mapping, name: str) -> dict[str, float]:
    """An estimate among a table's cells as value, value_low, value_high."""
    return {f"value{end}": float(row[f"{name}{end}"]) for end in ("", "_low", "_high")}
