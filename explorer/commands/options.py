"""Options that several commands share."""

from typing import Annotated

import typer

PairOption = Annotated[str, typer.Option(help="Pair: a shipped name or the path of a pair file (TOML).")]
M1Option = Annotated[
    str, typer.Option(help="M1 without a pair file: a hub id (org/name@revision), a folder or a .gguf file.")
]
M2Option = Annotated[str, typer.Option(help="M2 without a pair file: the same, or an adapter's folder.")]
RunOption = Annotated[str, typer.Option(help="Run: its name in the runs folder.")]
PairRunOption = Annotated[str, typer.Option(help="Run: its name in the runs folder. Left out: the pair's own.")]
RankingOption = Annotated[
    str, typer.Option(help="Ranking of the run, by change score or attribution; left out: its main one.")
]
EndOption = Annotated[
    str,
    typer.Option(
        help="Where a ranking by attribution begins: positive (makes M2's answer likelier), negative, or absolute. "
        "Left out: the ranking's own."
    ),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(help="bfloat16, float16, float32, or auto: the fastest here. Left out: the pair's own."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="cpu, cuda:0, or auto: a GPU where there is one. Left out: the pair's own."),
]
TokensOption = Annotated[int, typer.Option(help="Length limit of an answer, in tokens (1 to 1024).")]
