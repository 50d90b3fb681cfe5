"""What a study is: one file says what it is asked, what it needs, how its tables are computed, and what they show.

    class Spread(Study[SpreadSpec]):
        name, title, settings = "spread", "Spread of the scores", SpreadSpec
        tables = (Table("spread", "…", (Column("ranking", "…"), Column("sd", "…, activation units"))),)

        def needs(self, asked): return Needs(rankings=(asked.ranking,))
        def part(self, build, asked, number): return Part(inputs(build, asked, self.needs(asked)), 0.0, run)
        def finding(self, tables): return f"…"

and a line in `explorer.studies.STUDIES` makes it known. The pipeline reads its table of the build file, checks what it
needs, plans and runs it; none of that names it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from explorer.digests import digest
from explorer.errors import ExplorerError
from explorer.studies.given import Build, BuildFile
from explorer.studies.joining import Part, joined
from explorer.studies.planning import Stage, options, table_file

if TYPE_CHECKING:
    import pandas as pd

S = TypeVar("S")

SCORE = "{score}"
"""Stands in a column's name for each score of the build: refusal, cost, reward, …"""

KNOWN_SCORES = ("refusal", "cost", "reward", "degenerate")
"""The scores of a build that names no scorers."""

INTERVAL = ("_low", "_high")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: of it; `SCORE` in it stands for each score of the build.
        about: what it says, with its unit and range.
        interval: whether …_low and …_high, its 95 % interval, stand beside it.
        kept: whether every run of this version holds it; not those that a setting or a scorer adds.
    """

    name: str
    about: str
    interval: bool = False
    kept: bool = True

    def names(self) -> tuple[str, ...]:
        """The column's name, and those of the ends of its interval."""
        return (self.name, *(f"{self.name}{end}" for end in INTERVAL)) if self.interval else (self.name,)


@dataclass(frozen=True)
class Table:
    """A table that a study writes into the run.

    Attributes:
        name: of it in the run.
        about: what one row is.
        columns: all that it may hold.
        kept: whether every run of this version that has the study holds it.
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    kept: bool = True

    def unknown(self, names: Sequence[str], scores: Sequence[str] = KNOWN_SCORES) -> list[str]:
        """Which of these columns are not documented, in a build with these scores."""
        known = {n.replace(SCORE, score) for column in self.columns for n in column.names() for score in scores}
        return [name for name in names if name not in known]

    def missing(self, names: Sequence[str]) -> list[str]:
        """Which documented columns that every run holds are not among these."""
        kept = [n for column in self.columns if column.kept and SCORE not in column.name for n in column.names()]
        return [name for name in kept if name not in names]


@dataclass(frozen=True)
class Needs:
    """What one table of a build file needs of the rest of the build; it is checked before anything is computed.

    Attributes:
        rankings: under [rankings].
        answers: suites whose unpatched and aligned answers under [[answers]] are read again.
        prompts: suites that the study has answered itself.
        activations: suites whose prompts or answers the models read, for their neurons' activations.
        tables: of other studies, where the build makes them; those stand before this one in `STUDIES`.
    """

    rankings: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    activations: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


class Study(Generic[S]):
    """One study: settings, needs, tables and finding. Knows no torch before its tasks run.

    Attributes:
        name: of its table in the build file, and of its stage.
        title: for menus.
        settings: a frozen dataclass, see `explorer.schema`.
        tables: that it writes.
        files: that it writes beside them, relative to the work folder.
        often: whether a build file may ask more than once ([[tax]]), each time with rankings of its own.
        ranked: whether it reads the main ranking where its table names no other.
        listed: whether build files have a table for it; else every run holds it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    settings: ClassVar[type]
    tables: ClassVar[tuple[Table, ...]]
    files: ClassVar[tuple[str, ...]] = ()
    often: ClassVar[bool] = True
    ranked: ClassVar[bool] = False
    listed: ClassVar[bool] = True

    def unasked(self, main: str) -> tuple[S, ...]:
        """What is asked where the build file asks nothing; `main` is its main ranking."""
        return ()

    def needs(self, asked: S) -> Needs:
        """What one table of the build file needs."""
        raise NotImplementedError

    def check(self, file: BuildFile, asked: Sequence[S]) -> None:
        """Check what the settings alone do not show.

        Raises:
            ExplorerError: tables do not fit together.
        """

    def stages(self, build: Build, asked: Sequence[S]) -> list[Stage]:
        """The study's stages: one, of a part for each table of the build file, unless a study needs more."""
        parts = [self.part(build, one, number) for number, one in enumerate(asked)]
        return joined(build, self.name, parts, [table.name for table in self.tables], self.finish, self.files)

    def part(self, build: Build, asked: S, number: int) -> Part:
        """What the table of this number, from 0, adds to the study's tables."""
        raise NotImplementedError

    def finish(self, table: "pd.DataFrame") -> "pd.DataFrame":
        """What is done to each table of all rows."""
        return table

    def about(self, asked: Sequence[S]) -> dict[str, Any]:
        """What the run's manifest says of the study's settings."""
        return {}

    def finding(self, tables: "Mapping[str, pd.DataFrame]") -> str:
        """What was found, in one sentence or a few, computed from the study's tables; "" where they are empty.

        Args:
            tables: by name, as `Run.table` gives them.
        """
        raise NotImplementedError

    @property
    def outputs(self) -> tuple[str, ...]:
        """The files of the run that it writes."""
        return (*(table_file(table.name) for table in self.tables), *self.files)


def inputs(build: Build, asked: Any, needs: Needs) -> dict[str, Any]:
    """All that the rows of one table of the build file depend on, by what it needs; for `Part.inputs`."""
    suites = dict.fromkeys((*needs.answers, *needs.prompts, *needs.activations))
    models = [build.config.model_of(name) for name in needs.rankings]
    return {
        "options": options(asked),
        "tokens": build.config.max_new_tokens,
        "scorers": build.scorer_keys(),
        "models": build.models_key("m1", "m2", *models),
        "rankings": [build.key_of(f"ranking-{name}") for name in needs.rankings],
        "answers": build.plain_keys(needs.answers),
        "prompts": digest({suite: [p.prompt for p in build.prompts(suite)] for suite in suites}),
        "withheld": {suite: build.is_withheld(build.prompts(suite)[0]) for suite in suites},
        "tables": [build.table_key(name) for name in needs.tables],
    }


def differ(path: object, study: str, setting: str, a: str, b: str) -> None:
    """Raises:
    ExplorerError: two rankings that are compared are one.
    """
    if a == b:
        raise ExplorerError(f"{path}, [{study}]: {setting} must be two different rankings, not twice “{a}”.")
