"""What a build file says, as values; `config.py` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from explorer.data.suite_spec import SuiteSpec
from explorer.neurons.patch import DIRECTIONS
from explorer.pipeline.scorers import ROLES, scorer_columns
from explorer.runs.columns import MAIN
from explorer.schema import Dtype, Kind, Place, PlaceOrNone, Text, Tokens
from explorer.scoring.judge_kinds import USUAL, JudgeSettings
from explorer.scoring.scorers import NAMES
from explorer.studies.basis import AnswerSpec, RankingSpec

Scorers = Annotated[tuple[Place, ...], Kind("a list of names")]
Role = Annotated[Place, Kind("a scorer's name; cost and reward are one name each")]


@dataclass(frozen=True)
class AdapterSpec:
    """A model beside M1 and M2: M1 with one more adapter.

    Attributes:
        name: what the build calls it.
        folder: relative to the build file, or the name of an adapter that ships with the project.
        label: for people.
    """

    name: Place
    folder: Place
    label: Text = ""


@dataclass(frozen=True)
class BuildConfig:
    """What a build file says.

    Attributes:
        name: of the run, and of its folder.
        title, description: for people.
        pair: name or path of a pair file.
        dtype: the models' dtype.
        max_new_tokens: length limit of the answers that are scored.
        main_ranking: the setting `ranking`: what the app shows first, and what tables mean that name no ranking.
        headline: the suite under [[answers]], with fractions, whose numbers the app shows first; "" leaves it to the
            app (see `explorer.report.facts.main_suite`).
        scorers: which scores the answers get; "refusal" always, the other shipped ones need the embedded model.
        cost, reward: the scorers whose numbers studies read as cost and as reward, where they are among `scorers`.
        judges: where and how the judges among the scorers are loaded, the table [judges].
        rankings, answers: see `studies.basis`.
        suites, adapters: prompts and models of the build's own.
        studies: what every study is asked by its tables, by its name; see `explorer.studies`.
    """

    name: Place
    title: Text
    description: Text
    pair: Place
    dtype: Dtype
    max_new_tokens: Tokens
    rankings: tuple[RankingSpec, ...]
    answers: tuple[AnswerSpec, ...]
    source: Path
    main_ranking: Place = MAIN
    headline: PlaceOrNone = ""
    scorers: Scorers = NAMES
    cost: Role = ROLES["cost"]
    reward: Role = ROLES["reward"]
    judges: JudgeSettings = USUAL
    suites: tuple[SuiteSpec, ...] = ()
    adapters: tuple[AdapterSpec, ...] = ()
    studies: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, hash=False)

    @property
    def scorer_columns(self) -> dict[str, str]:
        """The scorer behind each column of scores that the answers get beside refusal and degenerate."""
        return scorer_columns(self.scorers, {"cost": self.cost, "reward": self.reward})

    def asked(self, study: str) -> tuple[Any, ...]:
        """The settings of every table that asks for a study; none where it is not asked for."""
        return self.studies.get(study, ())

    def ranking(self, name: str) -> RankingSpec:
        """The ranking of this name."""
        return next(ranking for ranking in self.rankings if ranking.name == name)

    def model_of(self, ranking: str) -> str:
        """The aligned model that a ranking contrasts M1 with: "m2" or an adapter's name."""
        return self.ranking(ranking).adapter or "m2"

    def method_of(self, *rankings: str) -> str:
        """How these rankings are computed; several methods with "and" between them."""
        return " and ".join(dict.fromkeys(self.ranking(name).method for name in rankings))

    def plain_answers(self, suite: str, direction: str = DIRECTIONS[0]) -> AnswerSpec | None:
        """The table under [[answers]] that answers a suite with nothing patched, for all tables of one direction: the
        first of those with the most prompts. None where the suite is not answered.
        """
        mine = [a for a in self.answers if (a.suite, a.direction) == (suite, direction)]
        return max(mine, key=lambda a: a.limit, default=None)
