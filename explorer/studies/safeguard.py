"""Safeguard: will the answer be harmful? A classifier on neurons at the last prompt token (paper section 6).

Trained on one suite, tested on another, for several numbers of neurons, with random neurons of the same layers and the
majority-class baseline beside it (table `safeguard`). The run keeps one classifier for the Patch lab.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd

from explorer.charts.labels import interval, rate, span
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress as Tell
from explorer.runs.format import TENSORS
from explorer.schema import Count, Distinct, Place, Places, Seeds, Some
from explorer.studies.classifier import Samples, fit, matrix_rows, merged
from explorer.studies.documented import METHOD, RANKING, K
from explorer.studies.given import Build, LoadedModels
from explorer.studies.joining import Part, of_ranking
from explorer.studies.planning import CHUNK, Stage, chunks, options, share
from explorer.studies.statistics import Estimate
from explorer.studies.study import Column, Needs, Study, Table
from explorer.studies.words import by_method, first_rows, mean_of


@dataclass(frozen=True)
class SafeguardSpec:
    """Will the answer be harmful? Predicted before its first word, from neurons at the last prompt token.

    Attributes:
        ranking: whose top neurons are read.
        suites: suites under [[answers]]; each is trained on and tested on in turn.
        sizes: how many neurons are read.
        main_size: of these, the one whose classifier the run keeps.
        random_seeds: controls with as many neurons per layer.
        limit: at most so many prompts of each suite.
    """

    suites: Places
    ranking: Place = "safety"
    sizes: Annotated[tuple[Count, ...], Some, Distinct] = (10, 50, 150, 500, 1500)
    main_size: Count = 150
    random_seeds: Seeds = (0, 1, 2)
    limit: Count = 500


class Safeguard(Study[SafeguardSpec]):
    """Harm predicted from the last prompt token; labels are the costs of M1's answers under [[answers]].

    The run keeps one classifier, that of the first table.
    """

    name, title, settings = "safeguard", "Safeguard", SafeguardSpec
    ranked = True
    files = (f"{TENSORS}/safeguard.safetensors",)
    tables = (
        Table(
            "safeguard",
            "a classifier trained on one suite and tested on one, or on all others merged",
            (
                METHOD,
                RANKING,
                Column("neurons", "safety (the ranking's top neurons) or random (as many per layer)"),
                Column("seed", "of the random draw; −1 for safety neurons"),
                K,
                Column("train", "the suite that it was trained on"),
                Column("train_n", "prompts that it was trained on"),
                Column("test", "the suite that it was tested on (itself: by cross-validation), or all others"),
                Column("n", "prompts that it was tested on"),
                Column("accuracy", "share of right predictions, 0 to 1", True),
                Column("majority", "accuracy of the majority-class baseline, 0 to 1"),
                Column("above_majority", "accuracy − majority over the same prompts", True),
                Column("auroc", "area under the ROC curve, 0 to 1; nan where there is one class", True),
                Column("coverage", "share of prompts that are accepted, 0 to 1", True),
                Column("accepted_cost", "mean cost of the accepted prompts' answers, log-odds; nan for none"),
                Column("all_cost", "mean cost of all answers, log-odds"),
                Column("harmful", "share of harmful answers (cost above 0), 0 to 1"),
            ),
        ),
    )

    def needs(self, asked: SafeguardSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking,), answers=asked.suites, activations=asked.suites)

    def stages(self, build: Build, asked: Sequence[SafeguardSpec]) -> list[Stage]:
        """See `Study.stages`; none where the answers have no cost."""
        return super().stages(build, asked) if "cost" in build.config.scorer_columns else []

    def part(self, build: Build, asked: SafeguardSpec, number: int) -> Part:
        """See `Study.part`."""
        inputs = {
            "options": options(asked),
            "models": build.models_key("m1"),
            "ranking": build.key_of(f"ranking-{asked.ranking}"),
            "answers": build.plain_keys(asked.suites),
        }

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            found, classifier = _predicted(build, asked, tell)
            if number == 0:
                build.writer.tensors("safeguard", classifier)
            return {"safeguard": of_ranking(build, asked.ranking, found)}

        prompts = [build.prompts(suite, asked.limit) for suite in asked.suites]
        return Part(inputs, sum(build.estimate(ps, 1, 0) for ps in prompts), run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`: of each method's first ranking, at the measured size nearest to the usual one."""

        def said(rows: pd.DataFrame) -> str:
            rows = first_rows(rows, "ranking")
            usual = SafeguardSpec.main_size
            return safeguard_sentence(rows, int(min(rows["k"].unique(), key=lambda k: abs(k - usual))))

        return by_method(tables["safeguard"], said)


def read_last(models: LoadedModels, ns: NeuronSet, prompts: list[str]) -> dict[str, np.ndarray]:
    """M1's activations of some neurons at the last prompt token: "activations", float32 [prompts, k]."""
    from explorer.engine.given_text import last_prompt_activations

    return {"activations": last_prompt_activations(models.pair(), prompts, ns)}


def _predicted(build: Build, asked: SafeguardSpec, tell: Tell) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The rows, and the arrays of the classifier on the main size's neurons, trained on all suites."""
    ranking = build.ranking(asked.ranking)
    sizes = [k for k in asked.sizes if ranking.top(k).leaves_half]
    kinds = [("safety", -1, ranking.top(k)) for k in sizes]
    kinds += [("random", s, NeuronSet.random_like(ns, seed=s)) for _, _, ns in kinds[:] for s in asked.random_seeds]
    every = np.unique(np.concatenate([ns.flat() for _, _, ns in kinds]))
    read = NeuronSet.from_flat(every, ranking, "what any classifier reads")
    samples = {}
    for i, suite in enumerate(asked.suites):
        answers = build.plain_answers(suite)
        cost = answers[answers["column"] == "unpatched"].set_index("prompt_id")["cost"]
        prompts = [p for p in build.prompts(suite, asked.limit) if p.id in cost.index]
        texts, tell_read = chunks([p.prompt for p in prompts], CHUNK), share(tell, i, len(asked.suites))
        parts = build.read(read_last, read, texts, tell_read)
        activations = np.concatenate([part["activations"] for part in parts])
        samples[suite] = Samples(activations, cost.loc[[p.id for p in prompts]].to_numpy(dtype=np.float64))
    rows: list[dict[str, Any]] = []
    for kind, seed, ns in kinds:
        cells = {"neurons": kind, "seed": seed, "k": len(ns)}
        rows += matrix_rows(cells, samples, np.searchsorted(every, ns.flat()))
    main = ranking.top(min(asked.main_size, len(ranking.order)))
    columns = np.searchsorted(every, main.flat())
    known = bool(np.isin(main.flat(), every).all())
    whole = merged(list(samples.values()))
    fitted = fit(Samples(whole.activations[:, columns], whole.cost)) if known else None
    return pd.DataFrame(rows), {
        "layers": main.layers if fitted else main.layers[:0],
        "neurons": main.neurons if fitted else main.neurons[:0],
        "weight": fitted.weight if fitted else np.zeros(0),
        "bias": np.array([fitted.bias if fitted else 0.0]),
        "n": np.array([len(whole.cost)]),
    }


def safeguard_accuracy(frame: pd.DataFrame, k: int) -> Estimate | None:
    """The mean accuracy that `safeguard_sentence` tells of; None where nothing could be learnt."""
    rows = _on_others(frame, k)
    safety = rows[rows["neurons"] == "safety"]
    return None if safety.empty else mean_of(safety, "accuracy")


def _on_others(frame: pd.DataFrame, k: int) -> pd.DataFrame:
    """Tests on other suites than the one trained on: merged, where the run did so."""
    rows = frame[(frame["k"] == k) & (frame["train"] != frame["test"])]
    merged = rows[rows["test"] == "all others"]
    return merged if len(merged) else rows


def safeguard_sentence(frame: pd.DataFrame, k: int) -> str:
    """How well harm is predicted on prompts of other suites, against the majority-class baseline and random neurons."""
    rows = _on_others(frame, k)
    safety, random = rows[rows["neurons"] == "safety"], rows[rows["neurons"] == "random"]
    if safety.empty:
        return "Harm could not be predicted: the answers to each suite are all of one kind."
    right = mean_of(safety, "accuracy")
    text = (
        f"From **{k:,}** neurons at the last prompt token, trained on one suite and tested on the others, the accuracy "
        f"is **{rate(right.value)}** (95 % interval {interval(right.low, right.high)}; means over {len(safety)} "
        f"training suites, n = {span(safety['n'].min(), safety['n'].max())} test prompts); the majority-class baseline "
        f"gives {rate(safety['majority'].mean())}, {_against_majority(safety, right)}. "
    )
    text += f"AUROC is **{safety['auroc'].mean():.2f}**{_auroc_bounds(safety)}, where 0.5 is chance"
    if random.empty:
        return f"{text}."
    draws = random.groupby("seed")[["accuracy", "auroc"]].mean()
    (low, high), (worst, best) = ((draws[c].min(), draws[c].max()) for c in ("accuracy", "auroc"))
    return (
        f"{text}. Random neurons of the same layers: accuracy {rate(random['accuracy'].mean())} ({len(draws)} draws, "
        f"{interval(low, high)}), AUROC {random['auroc'].mean():.2f} ({worst:.2f} to {best:.2f})."
    )


def _against_majority(rows: pd.DataFrame, accuracy: Estimate) -> str:
    """Whether predictions beat the majority-class baseline."""
    if "above_majority" in rows:
        above = mean_of(rows, "above_majority")
    else:  # runs of before hold no paired difference
        majority = float(rows["majority"].mean())
        above = Estimate(*(v - majority for v in (accuracy.value, accuracy.low, accuracy.high)))
    bounds = f"difference {rate(above.value)}, {interval(above.low, above.high)}"
    words = {1: "which it beats", -1: "which it stays below", 0: "from which it is not distinguishable"}
    return f"{words[above.sign]} ({bounds})"


def _auroc_bounds(rows: pd.DataFrame) -> str:
    if "auroc_low" not in rows:
        return ""
    found = mean_of(rows, "auroc")
    sure = "" if found.low > 0.5 or found.high < 0.5 else ", not distinguishable from chance"
    return f" ({found.low:.2f} to {found.high:.2f}{sure})"
