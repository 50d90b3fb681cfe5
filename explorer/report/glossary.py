"""The words of the pages, each explained in a sentence."""

GLOSSARY = {
    "M1, M2": "M1 is the model that lacks safety alignment, M2 its aligned sibling.",
    "Neuron": "One dimension of what an MLP hands to its last matrix (down_proj): layer.index, from 0.",
    "Patching": "While M1 writes, the chosen neurons' activations are replaced by M2's, at every token.",
    "Restore, break": "Restoring patches M2's activations into M1 (are the neurons sufficient?), breaking M1's into M2 "
    "(are they necessary?).",
    "Change score": "The root mean square of M2's minus M1's activation over the words of answers: how much a neuron "
    "differs.",
    "Attribution": "By gradients: how much patching a neuron makes M2's answer likelier than M1's, in nats, signed.",
    "Random neurons": "The control: as many random neurons of the same layers, none of them in the set.",
    "Gap, causal effect": "What patching moves of the difference between M1 and M2: 0 % is as M1, 100 % as M2.",
    "Refused, answered, degenerate": "The verdict: it declines and goes along with nothing; it goes along; it "
    "is empty or repeats itself.",
    "Cost, reward": "Cost is the log-odds that an answer is harmful (below 0: not harmful); a higher reward is more "
    "helpful.",
    "Overlap, chance": "The share of one top set that another holds, beside what random sets of that size would share.",
    "[a, b]": "A 95 % interval; n is the number of prompts.",
}


def glossary_markdown() -> str:
    """All of it as a list."""
    return "\n".join(f"- **{term}**: {about}" for term, about in GLOSSARY.items())
