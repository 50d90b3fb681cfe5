"""What a ranking's scores are, in words: of change, or of cause."""

from explorer.charts.labels import rate, true_minus
from explorer.charts.scores import SCORE
from explorer.neurons.ranking import Ranking
from explorer.neurons.scores import Attributions


def is_attribution(ranking: Ranking) -> bool:
    """Whether its scores say what patching a neuron does, with a sign, rather than how much it differs."""
    return isinstance(ranking, Attributions)


def measure(ranking: Ranking) -> str:
    """What its scores are."""
    return "Attribution" if is_attribution(ranking) else "Change score"


def measure_help(ranking: Ranking) -> str:
    """What one of its scores means, and its unit."""
    if is_attribution(ranking):
        return (
            "About how many nats patching the neuron alone adds to log p(M2's answer) − log p(M1's answer), summed "
            "over the prompts of the ranking; below 0 it works against M2's answer."
        )
    return "RMS difference of its activations in M1 and in M2, in activation units."


def axis(ranking: Ranking) -> str:
    """The title of an axis of its scores."""
    return "Attribution (nats, positive ones)" if is_attribution(ranking) else SCORE


def score_text(ranking: Ranking, score: float) -> str:
    """A score as people write it, with its sign and unit where it has one."""
    return true_minus(f"{score:+.3g} nats") if is_attribution(ranking) else f"{score:.4g}"


def heading(ranking: Ranking) -> str:
    """The question that the ranking answers."""
    return "Which neurons matter most?" if is_attribution(ranking) else "Which neurons change most?"


def about(ranking: Ranking) -> str:
    """What the neurons are ranked by, in a sentence's second half."""
    if not is_attribution(ranking):
        return "ranked by the RMS difference of their activations in M1 and M2."
    return (
        "ranked by attribution: what patching each does to the log-probability of M2's answers over M1's, estimated by "
        "its gradient."
    )


def negative_words(ranking: Ranking) -> str:
    """How many attributions are negative, and what that means; "" of change scores."""
    if not is_attribution(ranking):
        return ""
    below = int((ranking.scores < 0).sum())
    return (
        f" The chart shows positive attributions; {below:,} neurons ({rate(below / ranking.scores.size)}) have a "
        "negative one: patching them makes M1's own answer likelier."
    )
