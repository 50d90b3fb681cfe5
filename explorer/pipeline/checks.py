"""Whether the tables of a build file fit together: they name only what there is, and settings agree."""

from collections.abc import Iterable

from explorer.errors import ExplorerError
from explorer.files import check_name
from explorer.pipeline.build_config import BuildConfig
from explorer.pipeline.ranking_methods import RANKING_METHODS
from explorer.studies import STUDIES
from explorer.studies.basis import ONE_MODEL, RankingSpec


def check_build(config: BuildConfig, named: bool) -> None:
    """Check what single tables do not show.

    Args:
        config: the build file.
        named: whether the file names its main ranking.

    Raises:
        ExplorerError: a table names what there is not, or settings do not fit together.
    """
    rankings = {r.name: r for r in config.rankings}
    for name in [*([config.main_ranking] if named else []), *_rankings_used(config)]:
        if name not in rankings:
            raise ExplorerError(f"{config.source} uses the ranking “{name}”, which it does not define.")
    if named and not rankings[config.main_ranking].keep:
        raise ExplorerError(
            f"{config.source}: the main ranking “{config.main_ranking}” is not kept in the run; leave out its keep."
        )
    for ranking in config.rankings:
        _check_ranking(config, ranking)
    _check_answers(config)
    _check_studies(config)


def _check_ranking(config: BuildConfig, ranking: RankingSpec) -> None:
    path = config.source
    if ranking.adapter and ranking.adapter not in {a.name for a in config.adapters}:
        raise ExplorerError(f"{path} uses the adapter “{ranking.adapter}”, which it does not define.")
    if ranking.method == "attribution":
        try:
            ranking.attributing()
        except ExplorerError as problem:
            raise ExplorerError(f"{path}, [rankings.{ranking.name}]: {problem}") from problem
    if RANKING_METHODS[ranking.method].against and ranking.against in ("", ranking.suite):
        raise ExplorerError(f"{path}: ranking “{ranking.name}” needs a harmless suite to compare with: against.")
    if ranking.model != "m1" and ranking.method not in ONE_MODEL:
        raise ExplorerError(
            f"{path}, [rankings.{ranking.name}]: the method {ranking.method} reads both models; leave out model, which "
            f"is for {' and '.join(ONE_MODEL)}."
        )


def _check_answers(config: BuildConfig) -> None:
    path = config.source
    for answers in config.answers:
        check_name(answers.suite, "suite to answer (name a file under [suites])")
    if len({a.key for a in config.answers}) < len(config.answers):
        raise ExplorerError(
            f"{path} has two tables [[answers]] of one suite, direction and ranking; put their fractions into one."
        )
    patched = list(dict.fromkeys(a.suite for a in config.answers if a.fractions))
    if config.headline and config.headline not in patched:
        raise ExplorerError(
            f"{path}: headline is “{config.headline}”, of which no answers are patched; name one of "
            f"{', '.join(patched) or 'the suites under [[answers]], with fractions'}."
        )
    for number, answers in enumerate(config.answers, 1):
        over = next((w for w in answers.windows if sum(w) > 1 + 1e-9), None)
        if over is not None:
            raise ExplorerError(
                f"{path}, [[answers]] {number}: windows must end within all neurons, but {over[0]:g} + {over[1]:g} is "
                "more than 1."
            )


def _check_studies(config: BuildConfig) -> None:
    for name, study in STUDIES.items():
        for asked in config.asked(name):
            for suite in study.needs(asked).answers:
                if config.plain_answers(suite) is None:
                    raise ExplorerError(
                        f"{config.source}: [{name}] reads answers to “{suite}”; add it under [[answers]]."
                    )
        study.check(config, config.asked(name))


def _rankings_used(config: BuildConfig) -> Iterable[str]:
    yield from (a.ranking for a in config.answers)
    for name, study in STUDIES.items():
        for asked in config.asked(name):
            yield from study.needs(asked).rankings
