"""The pages of the app, in the order of its menu. Adding a page means adding an entry here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PageEntry:
    """One page.

    Attributes:
        file: its script, relative to the entry script.
        title: in the menu and in the browser's tab.
        icon: a Material symbol.
        url_path: its path in the address.
        about: what one does there; the menu's tooltip.
        default: whether the app opens with it.
        public: whether a public server has it; what changes the server has no place there.
    """

    file: str
    title: str
    icon: str
    url_path: str
    about: str
    default: bool = False
    public: bool = True


PAGES = (
    PageEntry(
        "pages/overview.py",
        "Overview",
        ":material/home:",
        "overview",
        "What this is about, the run's headline numbers, and what patching changes.",
        default=True,
    ),
    PageEntry(
        "pages/neurons.py",
        "Neurons",
        ":material/format_list_numbered:",
        "neurons",
        "The neurons ranked by how much they change, where they lie, and each one's detail.",
    ),
    PageEntry(
        "pages/patch_lab.py",
        "Patch lab",
        ":material/science:",
        "patch_lab",
        "Type a prompt, choose neurons, and watch the patched model answer beside the other two.",
    ),
    PageEntry(
        "pages/causal_effect.py",
        "Causal effect",
        ":material/show_chart:",
        "causal_effect",
        "How few neurons restore safety, on every suite, beside every control.",
    ),
    PageEntry(
        "pages/fewest.py",
        "Which ranking?",
        ":material/leaderboard:",
        "fewest",
        "The fraction that each way to rank neurons needs, both ways, and what it costs.",
    ),
    PageEntry(
        "pages/mechanism.py",
        "Mechanism",
        ":material/account_tree:",
        "mechanism",
        "How the neurons act: where and how deep, by which paths, on which tokens.",
    ),
    PageEntry(
        "pages/transfer.py",
        "Transfer",
        ":material/swap_horiz:",
        "transfer",
        "Neurons found on one kind of prompts, patched on another.",
    ),
    PageEntry(
        "pages/overlap.py",
        "Overlap and tax",
        ":material/join_inner:",
        "overlap",
        "How many neurons two rankings share, against chance; and what the shared ones carry.",
    ),
    PageEntry(
        "pages/safeguard.py",
        "Safeguard",
        ":material/shield:",
        "safeguard",
        "Whether a harmful answer can be seen coming before its first word.",
    ),
    PageEntry(
        "pages/seeds_and_methods.py",
        "Seeds and methods",
        ":material/compare:",
        "seeds_and_methods",
        "Other seeds, methods that need no aligned model, and how the scores are spread.",
    ),
    PageEntry(
        "pages/scores.py",
        "Scores",
        ":material/balance:",
        "scores",
        "How far the judges agree with each other and with labels; read what is behind any number.",
    ),
    PageEntry(
        "pages/training.py",
        "Training",
        ":material/timeline:",
        "training",
        "When safety neurons appear along the checkpoints of a training, and what they restore.",
    ),
    PageEntry(
        "pages/models.py",
        "Models",
        ":material/memory:",
        "models",
        "Which models are loaded, other pairs to load, and a run of your own on them.",
        public=False,
    ),
    PageEntry(
        "pages/build.py",
        "Build",
        ":material/construction:",
        "build",
        "Compute a run: start it, watch it, stop it.",
        public=False,
    ),
)
