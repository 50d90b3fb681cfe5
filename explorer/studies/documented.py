"""Columns that the tables of several studies share, documented once."""

from explorer.studies.study import SCORE, Column

METHOD = Column("method", "how the rankings of the row were computed: contrast (change score), attribution, …")
RANKING = Column("ranking", "whose top neurons, by its name in the build file")
FRACTION = Column("fraction", "size of the top sets, as a share of all neurons, 0 to 1")
K = Column("k", "the same in neurons")
N = Column("n", "prompts that were answered")
TOKENS = Column("max_new_tokens", "length limit of the answers, tokens")
SUITE = Column("suite", "the prompt suite that was answered")
SCORES = (
    Column(SCORE, "mean score of the patched answers: refusal a share from 0 to 1, cost and reward log-odds", True),
    Column("degenerate", "share of degenerate answers, 0 to 1", True, kept=False),
    Column(f"effect_{SCORE}", "share of the gap between M1 and M2 that patching restores (paper, section 4.2)", True),
)
NEURON = (Column("layer", "from 0"), Column("neuron", "within the layer, from 0"))
LIKENESS = (
    Column("shared", "neurons that are in both top sets"),
    Column("overlap", "the same as a share of k, 0 to 1"),
    Column("chance", "the share that random sets of the same layers would have in common, 0 to 1"),
    Column("spearman", "rank correlation over the shared neurons, −1 to 1; nan where they are too few"),
)
CHANGE = (
    Column("score", "which score: refusal (a share), cost or reward (log-odds), degenerate (a share)"),
    N,
    TOKENS,
    Column("before", "its mean before the patch", True),
    Column("after", "its mean with the patch", True),
    Column("delta", "after − before over the same prompts", True),
    Column("p", "of a paired test that nothing changed"),
    Column("p_holm", "the same, corrected by Holm over every p of the method in the table"),
)
ANSWERS = (
    Column("kind", "suite or category"),
    Column("source", "the ranking or category whose neurons were patched"),
    Column("target", "the suite or category that was answered"),
    Column("prompt_id", "the prompt's id in its suite"),
    Column("prompt", "its text, or that the run may not hold it"),
    Column("category", "its category of harm"),
    Column("answer", "patched M1's answer"),
    Column("refused", "whether it refuses"),
    Column(SCORE, "its scores: log-odds"),
)
