"""Samples of an answer: how many may be asked for, how their decoding is said, and the share of them that refuses.

decoding_words(Sampling(0.7, seed=3), 8)        # "sampled, temperature 0.7, seed 3, 8 samples"
Refusals(6, 8).words                            # "6 of 8 refuse: 75 % (41 to 93 %)"
"""

from dataclasses import dataclass

from explorer.bounds import check_whole
from explorer.charts.labels import percent
from explorer.engine.options import Sampling
from explorer.studies.shares import wilson

GREEDY = "greedy"
"""What is said of answers that are not sampled."""

MOST_SAMPLES = 16
"""Samples of one generation; more are a study, for `explorer.generate`."""


@dataclass(frozen=True)
class Refusals:
    """How many of a column's samples refuse.

    Attributes:
        count: those whose verdict is "refused".
        of: samples that have a verdict.
    """

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share; that of nothing is 0 to 1."""
        return wilson(self.count, self.of) if self.of else (0.0, 1.0)

    @property
    def words(self) -> str:
        """The share with its interval; "" where there is none yet."""
        if not self.of:
            return ""
        share, low, high = (percent(round(x, 2)) for x in (self.count / self.of, *self.interval))
        return f"{self.count} of {self.of} refuse: {share} ({low} to {high})"


def check_samples(samples: object) -> int:
    """How many samples are asked for.

    Raises:
        ExplorerError: it is not a whole number from 1 to `MOST_SAMPLES`.
    """
    return check_whole(samples, "The number of samples", 1, MOST_SAMPLES)


def decoding_words(sampling: Sampling | None, samples: int = 1) -> str:
    """How answers were decoded, in words."""
    if sampling is None or sampling.temperature == 0:
        return GREEDY
    words = ["sampled", f"temperature {sampling.temperature:g}"]
    words += [f"top-p {sampling.top_p:g}"] if sampling.top_p < 1 else []
    words += [f"seed {sampling.seed}"]
    return ", ".join([*words, *([f"{samples} samples"] if samples > 1 else [])])
