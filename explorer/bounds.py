"""Numbers that a caller hands over: one sentence where they are none of those that are meant."""

from explorer.errors import ExplorerError


def check_whole(value: object, what: str, low: int, high: int) -> int:
    """The value itself.

    Args:
        value: what was handed over.
        what: it is, at the beginning of a sentence: "The number of samples".
        low, high: bounds, themselves allowed.

    Raises:
        ExplorerError: it is not a whole number within the bounds.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ExplorerError(f"{what} must be a whole number from {low:,} to {high:,}, not {value}.")
    return value
