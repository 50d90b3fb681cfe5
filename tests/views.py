"""Every view of the app: each page, and each part of a page that an address can name.

What is looked at as a whole (accessibility, the browser's console, words, reference screenshots) goes through it.
"""

from dataclasses import dataclass, field
from urllib.parse import urlencode

from explorer.ui.pages import PAGES


@dataclass(frozen=True)
class View:
    """One view.

    Attributes:
        page: the page's script, as in the registry.
        part: which part of the page, a few words for names of files; "" for what it opens with.
        query: the address's query that shows it.
    """

    page: str
    part: str = ""
    query: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For test ids and names of files: "mechanism-dose"."""
        return self._entry.url_path + (f"-{self.part}" if self.part else "")

    @property
    def address(self) -> str:
        """Path and query."""
        path = "/" if self._entry.default else f"/{self._entry.url_path}"
        return path + (f"?{urlencode(self.query)}" if self.query else "")

    @property
    def _entry(self):
        return next(entry for entry in PAGES if entry.file == self.page)


def _parts(page: str, key: str, **values: str) -> tuple[View, ...]:
    """Views of one page by one name in the address; an underscore in a part's name is a hyphen."""
    return tuple(View(page, part.replace("_", "-"), {key: value}) for part, value in values.items())


PAGE_VIEWS = tuple(View(entry.file) for entry in PAGES)
"""Each page as it opens."""

PART_VIEWS = (
    *_parts(
        "pages/neurons.py",
        "view",
        both="Both rankings",
        alone="One by one",
        scores="Distribution",
        layers="Layers",
        map="Map",
    ),
    *_parts(
        "pages/mechanism.py",
        "part",
        paths="paths",
        logit_attribution="logit_attribution",
        logit_lens="logit_lens",
        refusal_direction="refusal_direction",
        dose="dose",
        leave_out="leave_out",
        kinds="kinds",
        first_tokens="first_tokens",
    ),
    *_parts("pages/overlap.py", "part", tax="Alignment tax", ablation="Ablation"),
    *_parts("pages/overlap.py", "compare", by_size="Size by size", by_layer="By layer", where="Where A lies"),
    *_parts("pages/seeds_and_methods.py", "view", free="Without an aligned model", spread="Sparsity and place"),
)
"""The parts that a page shows only when they are asked for."""

VIEWS = (*PAGE_VIEWS, *PART_VIEWS)
