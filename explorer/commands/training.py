"""Commands that train and fit, and measure what was trained: `train`, `card`, `fit-heads` and `agreement`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.common import bars, fail
from explorer.commands.options import TokensOption
from explorer.paths import data_folder, shipped_file


def train(
    config: Annotated[Path, typer.Argument(help="Training file (TOML), for instance configs/train/safety.toml.")],
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint.")] = True,
) -> None:
    """Train (IA)³ vectors with trl and peft; stopped at any moment, the same command goes on."""
    from explorer.training.config import read_train_config
    from explorer.training.trainer import train as run_training

    print(f"The adapter is in {run_training(read_train_config(shipped_file(config)), resume=resume)}.")


def card(
    adapters: Annotated[list[str], typer.Argument(help="Adapters: shipped names, or folders.")],
    limit: Annotated[int, typer.Option(min=1, help="Prompts of each suite.")] = 100,
    max_new_tokens: TokensOption = 32,
    pairs: Annotated[int, typer.Option(min=1, help="Held-out preference pairs, at most.")] = 300,
    windows: Annotated[int, typer.Option(min=0, help="Stretches of WikiText-2, of 256 tokens.")] = 20,
) -> None:
    """Measure adapters against M1 and write each one's card.json beside its weights."""
    from explorer.models.shipped import find_adapter
    from explorer.training.record import read_record

    for name in adapters:
        read_record(find_adapter(name))  # a mistake shows before a model is loaded
    data_folder()
    from explorer.training.card_maker import CardMaker, CardSettings

    maker = CardMaker(CardSettings(limit, max_new_tokens, pairs, windows))
    for name in adapters:
        with bars() as progress:
            made = maker.make(name, progress)
        print(f"{made.name}: values with their 95 % intervals; tokens an answer, a pair's answer or a window")
        print(made.measured.to_string(index=False, float_format="{:.3f}".format, na_rep=""), end="\n\n")


def fit_heads(
    heads: Annotated[str, typer.Option(help="cost, reward or both.")] = "both",
) -> None:
    """Fit the demo's score heads on $EXPLORER_DATA and the project's own pairs, and write them with their cards."""
    from explorer.scoring.make_heads import make_cost, make_reward

    makers = {"cost": [make_cost], "reward": [make_reward], "both": [make_cost, make_reward]}
    if heads not in makers:
        fail(f"--heads must be cost, reward or both, not “{heads}”.")
    data = data_folder()
    for make in makers[heads]:
        card = make(data)
        told = ("layers", "pools", "reads_prompt", "C", "cross_validated")
        print(json.dumps({key: card[key] for key in told}))


def agreement() -> None:
    """Hold the demo's scores against labels, of people and of annotators, on answers that no head was fitted on."""
    from explorer.studies.agreement import agreement as measure

    found = measure(data_folder())
    for row in found["auroc"]:
        print(
            f"{row['head']:12} {row['set']:20} {row['auroc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  n={row['n']}"
        )
