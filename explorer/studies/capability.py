"""General capability: is the intervention too invasive? (table `capability`, paper section 4.3)

Perplexity on WikiText-2; multiple choice on MMLU (by the letter's probability) and on TruthfulQA (MC1, by the
answer's); greedy solutions on GSM8K. M1, M1 patched, and M2 read and answer the same `benchmarks`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.charts.labels import NBSP, interval, percent, signed
from explorer.data.suites_io import Prompt
from explorer.digests import digest
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.paths import fill_path
from explorer.progress import Progress as Tell
from explorer.schema import CountOrNone, Fractions, Place, Tokens
from explorer.studies import benchmarks
from explorer.studies.benchmarks import CHANCE, Item, chance_of, solves, window_losses
from explorer.studies.documented import METHOD, RANKING
from explorer.studies.given import Build, LoadedModels
from explorer.studies.joining import Part, of_ranking
from explorer.studies.planning import chunks, options, share
from explorer.studies.shares import wilson
from explorer.studies.statistics import Estimate, mean, paired_difference
from explorer.studies.study import Column, Needs, Study, Table
from explorer.studies.words import by_method


@dataclass(frozen=True)
class CapabilitySpec:
    """What patching costs in general ability.

    Attributes:
        ranking, fractions: the sets that are patched.
        folder: where wikitext2_test.txt, mmlu_subset.jsonl, truthfulqa_mc.jsonl and gsm8k_test.jsonl lie.
        windows, window_tokens: stretches of WikiText-2, and their length.
        mmlu, truthfulqa, gsm8k: questions of each.
        gsm8k_tokens: length limit of a solution.
    """

    ranking: Place = "safety"
    fractions: Fractions = (0.05,)
    folder: Place = "$EXPLORER_DATA/capability"
    windows: CountOrNone = 20
    window_tokens: Annotated[int, Interval(ge=2, le=100_000)] = 256
    mmlu: CountOrNone = 100
    truthfulqa: CountOrNone = 50
    gsm8k: CountOrNone = 20
    gsm8k_tokens: Tokens = 96


class Capability(Study[CapabilitySpec]):
    """WikiText-2, MMLU, TruthfulQA and GSM8K, for M1, patched M1 and M2."""

    name, title, settings = "capability", "General capability", CapabilitySpec
    ranked = True
    tables = (
        Table(
            "capability",
            "one model at one task",
            (
                METHOD,
                RANKING,
                Column("task", "wikitext2, mmlu, truthfulqa or gsm8k"),
                Column("measure", "perplexity or accuracy (0 to 1)"),
                Column("model", "M1, patched (M1 with M2's activations) or M2"),
                Column("fraction", "patched share of all neurons: 0 for M1, 1 for M2"),
                Column("n", "stretches of text, questions or problems"),
                Column("chance", "accuracy of guessing, 0 to 1; nan where there is none"),
                Column("value", "the measure", True),
                Column("change", "from M1 over the same items: of accuracy a difference, of perplexity a ratio", True),
            ),
        ),
    )

    def needs(self, asked: CapabilitySpec) -> Needs:
        """See `Study.needs`; what is read lies in the table's folder."""
        return Needs(rankings=(asked.ranking,))

    def part(self, build: Build, asked: CapabilitySpec, number: int) -> Part:
        """See `Study.part`."""
        folder = fill_path(asked.folder, build.config.source)
        items = [
            *(benchmarks.wikitext(folder, asked.windows, asked.window_tokens) if asked.windows else []),
            *(benchmarks.mmlu(folder, asked.mmlu) if asked.mmlu else []),
            *(benchmarks.truthfulqa(folder, asked.truthfulqa) if asked.truthfulqa else []),
        ]
        problems = benchmarks.gsm8k(folder, asked.gsm8k) if asked.gsm8k else []
        inputs = {
            "options": options(asked),
            "models": build.models_key(),
            "ranking": build.key_of(f"ranking-{asked.ranking}"),
            "items": digest([[asdict(item) for item in items], problems]),
        }

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            sets = tuple(build.ranking(asked.ranking).top(fraction=f) for f in asked.fractions)
            how, tell_read = Scoring(sets), share(tell, 0, 2)
            parts = build.read(score_items, how, chunks(items, 4), tell_read)
            rows = [row for part in parts for row in part]
            rows += _solutions(build, asked, sets, problems, share(tell, 1, 2))
            labels = [("M1", 0.0), *(("patched", f) for f in asked.fractions), ("M2", 1.0)]
            found = capability_table(pd.DataFrame(rows), labels, chance_of(items))
            return {"capability": of_ranking(build, asked.ranking, found)}

        return Part(inputs, _tokens(build, asked, items, problems), run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        return capability_sentence(tables["capability"])


def _tokens(build: Build, asked: CapabilitySpec, items: Sequence[Item], problems: list[tuple[str, str]]) -> float:
    """About how many tokens are read and written."""
    passes = 2 + len(asked.fractions)
    texts = [item.text + option for item in items if item.task == "truthfulqa" for option in item.options]
    tokens = passes * asked.windows * asked.window_tokens + build.estimate(texts, passes, 0)
    tokens += build.estimate([item.text for item in items if item.task == "mmlu"], passes, 0)
    return tokens + build.estimate([question for question, _ in problems], 2 * passes - 2, asked.gsm8k_tokens)


def _solutions(
    build: Build,
    asked: CapabilitySpec,
    sets: tuple[NeuronSet, ...],
    problems: list[tuple[str, str]],
    tell: Tell,
) -> list[dict[str, Any]]:
    """Rows of GSM8K: whether each model's greedy answer ends with the right number."""
    if not problems:
        return []
    prompts = [Prompt(str(i), question) for i, (question, _) in enumerate(problems)]
    how = build.patching(sets=sets, tokens=asked.gsm8k_tokens)
    frame = build.answer(how, prompts, tell, scorers={})
    solution = {str(i): number for i, (_, number) in enumerate(problems)}
    place = {-1: 0, -2: len(sets) + 1} | {i: i + 1 for i in range(len(sets))}
    return [
        {
            "task": "gsm8k",
            "id": row["prompt_id"],
            "condition": place[row["condition"]],
            "value": float(solves(row["answer"], solution[row["prompt_id"]])),
        }
        for row in frame.to_dict("records")
    ]


@dataclass(frozen=True)
class Scoring:
    """Sets whose effect on reading is measured, from M2 into M1; a `Patch` says how strongly."""

    sets: tuple[NeuronSet | Patch, ...]


def score_items(models: LoadedModels, how: Scoring, items: list[Item]) -> list[dict[str, Any]]:
    """Rows of task, id, condition (0 for M1, then each set, then M2) and value, for `capability.capability_table`."""
    return [row for item in items for row in _score_item(models, how, item)]


def _score_item(models: LoadedModels, how: Scoring, item: Item) -> list[dict[str, Any]]:
    from explorer.engine.given_text import token_log_probs
    from explorer.models.prompting import continuation

    pair = models.pair()
    if item.task == "wikitext2":
        values = window_losses(pair, item, how.sets)
    elif item.task == "mmlu":
        letters = [continuation(pair.tokenizer, [("user", item.text)], letter)[0] for letter in item.options]
        scores = token_log_probs(pair, [pair.encode(item.text)], how.sets, letters).last[:, 0]
        values = (scores.argmax(axis=1) == item.right).astype(float)
    else:
        lead = pair.encode(item.text)
        tails = [continuation(pair.tokenizer, [("user", item.text)], option) for option in item.options]
        own = token_log_probs(pair, [lead + tail for tail in tails], how.sets).own
        scores = np.stack([o[:, len(lead) - 1 :].sum(axis=1) for o in own], axis=1)
        values = (scores.argmax(axis=1) == item.right).astype(float)
    return [
        {"task": item.task, "id": item.id, "condition": condition, "value": float(value)}
        for condition, value in enumerate(values)
    ]


def capability_table(
    rows: pd.DataFrame, labels: Sequence[tuple[str, float]], chance: Mapping[str, float] = CHANCE
) -> pd.DataFrame:
    """What each model can do.

    Args:
        rows: columns task, id, condition (index into `labels`), value (nats a token for wikitext2, else 0 or 1).
        labels: model ("M1", "patched", "M2") and patched fraction of each condition; the first is M1.
        chance: the accuracy of guessing, by task.

    Returns:
        Columns task, measure ("perplexity" or "accuracy"), model, fraction, n, chance (accuracy of guessing; nan where
        there is none), value and change (from M1, over the same items; for perplexity the ratio), each with _low and
        _high.
    """
    table = []
    for (task, condition), part in rows.groupby(["task", "condition"], sort=False):
        base = rows[(rows["task"] == task) & (rows["condition"] == 0)].set_index("id")["value"]
        found = part.set_index("id")["value"]
        value = mean(found.to_numpy())
        change = paired_difference(base.loc[found.index].to_numpy(), found.to_numpy())
        if task == "wikitext2":
            value, change = _exp(value), _exp(change)
        model, fraction = labels[int(str(condition))]
        table.append(
            {
                "task": task,
                "measure": "perplexity" if task == "wikitext2" else "accuracy",
                "model": model,
                "fraction": fraction,
                "n": len(found),
                "chance": chance.get(str(task), float("nan")),
                **value.columns("value"),
                **change.columns("change"),
            }
        )
    return pd.DataFrame(table)


def _exp(estimate: Estimate) -> Estimate:
    return Estimate(*(float(np.exp(v)) for v in (estimate.value, estimate.low, estimate.high)))


def capability_sentence(frame: pd.DataFrame) -> str:
    """What patching does to each ability, with n and intervals; and where M1 has none that it could lose.

    Rankings of several methods have a paragraph each.
    """
    return by_method(frame, _abilities)


def _abilities(frame: pd.DataFrame) -> str:
    """The same of rankings of one method."""
    texts = []
    for task, rows in frame.groupby("task", sort=False):
        m1 = rows[rows["model"] == "M1"]
        patched = rows[rows["model"] == "patched"]
        if len(m1) and len(patched):
            texts.append(_ability(TASKS.get(str(task), str(task)), m1.iloc[0], patched))
    return " ".join(texts)


def _ability(name: str, m1: pd.Series, patched: pd.DataFrame) -> str:
    """One task in a sentence."""
    subject = name[0].upper() + name[1:]
    changes = []
    for row in patched.to_dict("records"):
        ratio = row["measure"] == "perplexity"
        change = Estimate(*(row[f"change{end}"] - ratio for end in ("", "_low", "_high")))
        verdict = "" if change.sign else ", not distinguishable from none"
        unit = f"{NBSP}%" if ratio else " points"
        changes.append(
            f"{_tenths(change.value)}{unit} with {percent(row['fraction'])} patched (95 % interval "
            f"{_tenths(change.low)} to {_tenths(change.high)}{verdict})"
        )
    text = f"{subject} (n = {int(m1['n'])}) changes by {'; '.join(changes)}."
    chance = m1.get("chance", CHANCE.get(str(m1["task"]), float("nan")))
    if m1["measure"] == "perplexity" or pd.isna(chance):
        return text
    count = round(float(m1["value"]) * int(m1["n"]))
    low, high = wilson(count, int(m1["n"]))
    if low > chance:
        return text
    where = "at the floor" if chance == 0 else f"not distinguishable from chance ({percent(chance)})"
    bounds = f"{count} of {int(m1['n'])}, 95 % interval {interval(low, high)}"
    return f"{text} M1 itself is {where} there ({bounds}), so a loss could not be seen."


def _tenths(share: float) -> str:
    """A change in hundredths with its sign and one decimal."""
    return signed(100 * share)


TASKS = {
    "wikitext2": "perplexity on WikiText-2",
    "mmlu": "accuracy on MMLU",
    "truthfulqa": "accuracy on TruthfulQA",
    "gsm8k": "accuracy on GSM8K",
}
"""The tasks of general capability, in words."""
