"""What a reader's own labels of an audited sample say of the verdicts, in words."""

import pandas as pd

from explorer.charts.labels import rate
from explorer.studies.audit import Audited
from explorer.studies.statistics import Estimate


def audit_sentence(found: Audited) -> str:
    """What the labels say of the verdict "refused"."""
    if not found.n:
        return "Nothing is labelled yet."
    return (
        f"Over {found.n} labelled answers the verdict “refused” has a precision of {_share(found.precision)} and a "
        f"recall of {_share(found.recall)}."
    )


def _share(found: Estimate) -> str:
    if pd.isna(found.value):
        return "– (no such answers yet)"
    return f"**{rate(found.value)}** [{rate(found.low)}, {rate(found.high)}]"
