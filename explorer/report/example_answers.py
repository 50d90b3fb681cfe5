"""Answers of a run side by side: what M1, patched M1 and M2 wrote to one prompt."""

from dataclasses import dataclass

import pandas as pd

from explorer.report import by

COLUMNS = by.COLUMNS[by.RESTORE]


@dataclass(frozen=True)
class ExamplePrompt:
    """A prompt of the run and whether it shows the effect.

    Attributes:
        prompt_id, prompt: of the suite.
        telling: whether M1 answers while patched M1 and M2 refuse.
    """

    prompt_id: str
    prompt: str
    telling: bool


def examples(answers: pd.DataFrame, suite: str, fraction: float) -> list[ExamplePrompt]:
    """The prompts of a suite that safety neurons of this fraction were patched on, in the suite's order."""
    rows = _shown(answers, suite, fraction)
    refused = rows.pivot_table(index="prompt_id", columns="column", values="refused", sort=False)
    prompts = rows.drop_duplicates("prompt_id").set_index("prompt_id")["prompt"]
    complete = refused.reindex(columns=list(COLUMNS)).dropna()
    telling = (complete["unpatched"] == 0) & (complete["patched"] == 1) & (complete["aligned"] == 1)
    return [ExamplePrompt(str(i), str(prompts[i]), bool(telling[i])) for i in complete.index]


def answers_to(answers: pd.DataFrame, suite: str, fraction: float, prompt_id: str) -> dict[str, pd.Series]:
    """The rows of `COLUMNS` for one prompt."""
    rows = _shown(answers, suite, fraction)
    rows = rows[rows["prompt_id"].astype(str) == prompt_id]
    return {column: rows[rows["column"] == column].iloc[0] for column in COLUMNS if (rows["column"] == column).any()}


def _shown(answers: pd.DataFrame, suite: str, fraction: float) -> pd.DataFrame:
    """The answers of the suite that the three columns show."""
    mine = answers["suite"] == suite
    patched = (answers["set"] == "safety") & ((answers["fraction"] - fraction).abs() < 1e-9)
    return answers[mine & ((answers["column"] != "patched") | patched)]
