"""Which tokens begin refusals, and which compliance, chosen from data (table `first_tokens`).

The tokens that M2 begins its answers with more often than M1 does, and the reverse. The weights make a margin that the
studies of the mechanism read: `margin_of(build.table("first_tokens"))`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from explorer.charts.labels import percent, suite_label
from explorer.errors import ExplorerError
from explorer.progress import Progress as Tell
from explorer.schema import Count, Place
from explorer.studies.documented import SUITE
from explorer.studies.given import Build, BuildFile, LoadedModels
from explorer.studies.joining import Part
from explorer.studies.planning import CHUNK, chunks
from explorer.studies.study import Column, Needs, Study, Table, inputs

if TYPE_CHECKING:
    from explorer.engine.token_margin import TokenMargin


@dataclass(frozen=True)
class FirstTokensSpec:
    """The tokens that begin refusals and compliance.

    Attributes:
        suite: the prompts that they are chosen on; none that another study measures anything on.
        limit: at most so many prompts.
    """

    suite: Place = "redteam_train"
    limit: Count = 200


class FirstTokens(Study[FirstTokensSpec]):
    """The first tokens of both models' greedy answers."""

    name, title, settings = "first_tokens", "First tokens", FirstTokensSpec
    often = False
    tables = (
        Table(
            "first_tokens",
            "a token that either model begins answers with",
            (
                SUITE,
                Column("n", "prompts that both models answered"),
                Column("token", "its id"),
                Column("text", "the token as text"),
                Column("m1", "share of M1's answers that begin with it, 0 to 1"),
                Column("m2", "the same of M2's"),
                Column("weight", "in the margin of refusal over compliance; 0 where it does not count"),
            ),
        ),
    )

    def needs(self, asked: FirstTokensSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(prompts=(asked.suite,))

    def part(self, build: Build, asked: FirstTokensSpec, number: int) -> Part:
        """See `Study.part`."""
        prompts = build.prompts(asked.suite, asked.limit)

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            texts = chunks([p.prompt for p in prompts], CHUNK)
            parts = list(build.read(read_first_tokens, None, texts, tell))
            first1, first2 = (np.concatenate([part[m] for part in parts]) for m in ("m1", "m2"))
            words = build.once(write_tokens, np.union1d(first1, first2).tolist())
            return {self.name: tokens_table(asked.suite, first1, first2, words)}

        return Part(inputs(build, asked, self.needs(asked)), build.estimate(prompts, 2, 1), run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        table = tables[self.name]
        return "" if table.empty else tokens_sentence(table)


def read_first_tokens(models: LoadedModels, _shared: None, prompts: list[str]) -> dict[str, np.ndarray]:
    """The first token of either model's greedy answer to each prompt, int64 [prompts] by "m1" and "m2"."""
    from explorer.engine.options import Columns, Decoding
    from explorer.engine.patching import sweep

    out = sweep(models.pair(), prompts, Columns(), Decoding(1))
    first = {"m1": out.unpatched, "m2": out.aligned}
    return {name: np.array([answer.token_ids[0] for answer in answers], np.int64) for name, answers in first.items()}


def write_tokens(models: LoadedModels, tokens: list[int], _item: None) -> list[str]:
    """Each token as text."""
    return [str(models.pair().tokenizer.decode([token])) for token in tokens]


def tokens_table(suite: str, first1: np.ndarray, first2: np.ndarray, words: Sequence[str]) -> pd.DataFrame:
    """The study's table, the heaviest tokens of refusal first and those of compliance last.

    Args:
        suite: that was answered.
        first1, first2: int64 [prompts], the first token of M1's and M2's answers.
        words: each token of either as text, in ascending order of their ids.
    """
    from explorer.engine.token_margin import choose_tokens

    margin = choose_tokens(first1, first2)
    weights = dict(zip(margin.tokens.tolist(), margin.weights.tolist(), strict=True))
    rows = [
        {
            "suite": suite,
            "n": len(first1),
            "token": token,
            "text": text,
            "m1": float((first1 == token).mean()),
            "m2": float((first2 == token).mean()),
            "weight": weights.get(token, 0.0),
        }
        for token, text in zip(np.union1d(first1, first2).tolist(), words, strict=True)
    ]
    return pd.DataFrame(rows).sort_values("weight", ascending=False, kind="stable", ignore_index=True)


S = TypeVar("S")


class ReadsMargin(Study[S]):
    """A study that reads the margin: its build file must ask for the margin's tokens too."""

    def check(self, file: BuildFile, asked: Sequence[S]) -> None:
        """See `Study.check`."""
        if asked and not file.asked("first_tokens"):
            raise ExplorerError(
                f"{file.source}, [{self.name}] reads the margin of the table [first_tokens]; add that table."
            )


def margin_of(table: pd.DataFrame) -> "TokenMargin":
    """The margin that a run's table `first_tokens` describes."""
    from explorer.engine.token_margin import TokenMargin

    counted = table[table["weight"] != 0]
    return TokenMargin(*(np.array(counted[name], kind) for name, kind in (("token", np.int64), ("weight", np.float64))))


def tokens_sentence(table: pd.DataFrame, shown: int = 4) -> str:
    """What each model begins its answers with more often than the other.

    Args:
        table: the run's.
        shown: tokens named for each.
    """

    def said(rows: pd.DataFrame) -> str:
        words = [f"“{row['text'].strip() or row['text']}”" for row in rows.head(shown).to_dict("records")]
        return ", ".join(words) + (f" and {len(rows) - shown} more" if len(rows) > shown else "")

    refusal, compliance = table[table["weight"] > 0], table[table["weight"] < 0].iloc[::-1]
    first = table.iloc[0]
    return (
        f"M2 rather begins its answers with {said(refusal)} ({percent(refusal['m2'].sum())} of them, "
        f"{percent(refusal['m1'].sum())} of M1's), M1 with {said(compliance)} ({percent(compliance['m1'].sum())}, "
        f"{percent(compliance['m2'].sum())} of M2's): {suite_label(first['suite'])}, n = {int(first['n']):,}."
    )
