"""The tables of the study of the refusal direction, from numbers that were read and answered."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from explorer.studies.directions import Choice, cosines
from explorer.studies.documented import FRACTION, RANKING, SUITE, TOKENS, K, N
from explorer.studies.effect import by_prompt
from explorer.studies.statistics import Estimate, causal_effect, mean, over_draws, paired_difference
from explorer.studies.study import Column, Table

M1, M2, NONE, REFUSAL, HALVES = "m1", "m2", "none", "refusal", "halves"
"""Models that nothing is patched in; and what is projected out: nothing, the direction, one of random halves."""

PATCHED = Column("patched", "whose top neurons are, a ranking's name; random; or m1 or m2: that model, nothing patched")
LAYER = Column("layer", "from 0, what enters the first block; i is what leaves block i")

TABLES = (
    Table(
        "refusal_direction",
        "one model with one kind of direction projected out",
        (
            RANKING,
            FRACTION,
            K,
            PATCHED,
            Column("direction", "what is projected out: none, refusal, or halves (differences of random halves)"),
            Column("draws", "directions of that kind; the numbers are over all of them"),
            Column("layer", "whose refusal direction it is, chosen on training prompts; see refusal_direction_layers"),
            SUITE,
            N,
            TOKENS,
            Column("refusal", "share of the answers that refuse, 0 to 1", True),
            Column("refusal_change", "the same less that with nothing projected out, over the same prompts", True),
            Column(
                "refusal_beyond", "with the refusal direction less with one of halves; nan where none was tried", True
            ),
            Column("remains", "share of the refusals that patching (or alignment) adds to M1's that is left", True),
            Column("cost", "mean cost of the answers, log-odds; nan without a cost", True),
            Column("cost_change", "the same less that with nothing projected out", True),
            Column("degenerate", "share of degenerate answers, 0 to 1", True),
        ),
    ),
    Table(
        "refusal_direction_layers",
        "the direction of one layer",
        (
            LAYER,
            Column("length1", "of M1's difference of means, activation units"),
            Column("length2", "of M2's"),
            Column("likeness", "cosine of M1's with M2's, −1 to 1"),
            Column(
                "margin",
                "M2's margin of refusal with it projected out, held-out harmful prompts, logits; nan where not tried",
                True,
            ),
            Column("margin_plain", "the same with nothing projected out"),
            Column("kl", "KL that it changes M2's next token by, held-out harmless prompts, nats", True),
            Column("held_out", "harmful prompts that the layer was chosen on"),
            Column("considered", "whether it may be chosen: early enough, and harmless prompts change little"),
            Column("chosen", "whether it is projected out"),
        ),
    ),
    Table(
        "refusal_direction_cosines",
        "one layer, one direction, one change of the residual stream at the last prompt token",
        (
            Column("patched", "whose top neurons are; random; or m2: the whole change from M1 to M2"),
            Column("direction_of", "m1 or m2: whose difference of means"),
            LAYER,
            N,
            Column("draws", "random sets; 1 for a top set"),
            Column("cosine", "of the change with the direction, mean over prompts, −1 to 1", True),
            Column("along", "the change along the direction over the direction's length, mean over prompts", True),
        ),
    ),
    Table(
        "refusal_direction_answers",
        "one answer with one kind of direction projected out; of halves, the first",
        (
            PATCHED,
            Column("direction", "what is projected out: none, refusal or halves"),
            Column("prompt_id", "the prompt's id in its suite"),
            Column("prompt", "its text, or that the run may not hold it"),
            Column("answer", "the model's answer"),
            Column("refused", "whether it refuses"),
        ),
    ),
)


def effect_rows(cells: Mapping[str, object], answers: Mapping[tuple[str, str, int], pd.DataFrame]) -> pd.DataFrame:
    """The table `refusal_direction`.

    Args:
        cells: ranking, fraction, k, layer, suite and max_new_tokens.
        answers: by what is patched, direction and draw (−1 where there is one): columns prompt_id and the scores.
    """
    base = by_prompt(answers[M1, NONE, -1], "refusal").index

    def column(key: tuple[str, str, int], score: str) -> np.ndarray:
        return by_prompt(answers[key], score).loc[base].to_numpy()

    rows = []
    for patched, direction in dict.fromkeys(key[:2] for key in answers):
        draws = [key for key in answers if key[:2] == (patched, direction)]
        controls = [key for key in answers if key[:2] == (patched, HALVES)]
        before = (patched, NONE, -1)
        row = {name: cells[name] for name in ("ranking", "fraction", "k")}
        row |= {"patched": patched, "direction": direction, "draws": len(draws), "layer": cells["layer"]}
        row |= {"suite": cells["suite"], "n": len(base), "max_new_tokens": cells["max_new_tokens"]}
        for score in ("refusal", "cost", "degenerate"):
            row |= over_draws([mean(column(key, score)) for key in draws]).columns(score)
        for score in ("refusal", "cost"):
            changes = [paired_difference(column(before, score), column(key, score)) for key in draws]
            row |= over_draws(changes).columns(f"{score}_change")
        beyond = [paired_difference(column(key, "refusal"), column(draws[0], "refusal")) for key in controls]
        row |= over_draws(beyond if direction == REFUSAL else []).columns("refusal_beyond")
        plain = column((M1, NONE, -1), "refusal")
        left = [causal_effect(plain, column(key, "refusal"), column(before, "refusal")) for key in draws]
        rows.append(row | over_draws(left if patched != M1 else []).columns("remains"))
    return pd.DataFrame(rows)


def answer_table(answers: Mapping[tuple[str, str, int], pd.DataFrame], shown: Sequence[str]) -> pd.DataFrame:
    """The table `refusal_direction_answers`.

    Args:
        answers: as `effect_rows` takes them.
        shown: of what is patched.
    """
    parts = [
        frame[["prompt_id", "prompt", "answer", "refused"]].assign(patched=patched, direction=direction)
        for (patched, direction, draw), frame in answers.items()
        if patched in shown and draw < 1
    ]
    return pd.concat(parts, ignore_index=True)[[column.name for column in TABLES[-1].columns]]


def layer_rows(
    directions: np.ndarray, plain: np.ndarray, margins: np.ndarray, kl: np.ndarray, choice: Choice
) -> pd.DataFrame:
    """The table `refusal_direction_layers`.

    Args:
        directions: float [2, layers, hidden], M1's and M2's.
        plain: float [prompts], M2's margins with nothing projected out.
        margins: float [layers, prompts], with each layer's direction projected out; nan where there is none.
        kl: the same of harmless prompts.
        choice: of the layer.
    """
    lengths = np.linalg.norm(directions, axis=-1)
    likeness = cosines(directions[0][:, None], directions[1])[:, 0]
    rows = []
    for layer in range(len(lengths[0])):
        row = {"layer": layer, "length1": float(lengths[0][layer]), "length2": float(lengths[1][layer])}
        row |= {"likeness": float(likeness[layer])} | mean(margins[layer]).columns("margin")
        row |= {"margin_plain": float(plain.mean())} | mean(kl[layer]).columns("kl")
        row |= {"held_out": len(plain), "considered": bool(choice.considered[layer])}
        rows.append(row | {"chosen": layer == choice.layer})
    return pd.DataFrame(rows)


def cosine_rows(names: Sequence[tuple[str, int]], seen: Sequence[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """The table `refusal_direction_cosines`.

    Args:
        names: of the sets, each with its draw (−1: none); M2 itself stands behind them.
        seen: of `refusal_direction.read_changes`, of each batch of prompts.
    """
    whole = {name: np.concatenate([part[name] for part in seen], axis=-1) for name in ("cosine", "along")}
    draws: dict[str, list[int]] = {}
    for number, (name, _) in enumerate([*names, (M2, -1)]):
        draws.setdefault(name, []).append(number)
    rows = []
    for patched, numbers in draws.items():
        for of, model in enumerate((M1, M2)):
            for layer in range(whole["cosine"].shape[2]):
                row = {"patched": patched, "direction_of": model, "layer": layer}
                row |= {"n": whole["cosine"].shape[-1], "draws": len(numbers)}
                for name, values in whole.items():
                    row |= _over([values[of, number, layer] for number in numbers]).columns(name)
                rows.append(row)
    return pd.DataFrame(rows)


def _over(draws: Sequence[np.ndarray]) -> Estimate:
    return over_draws([mean(values) for values in draws])
