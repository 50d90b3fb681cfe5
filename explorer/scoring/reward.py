"""demo-reward: how helpful an answer is, by a linear head on frozen features of the embedded model.

In the manner of Beaver's reward model (paper section 4.1): fitted on pairs of answers of which people preferred one
(Bradley–Terry), so a difference of two rewards is the log-odds of being preferred. Zero is the mean of the base
model's own answers to ordinary prompts.
"""

from explorer.scoring.head_scorer import HeadScorer

NAME = "demo-reward"
TOKENS_READ = 64
"""How much of an answer is read, in tokens."""


class DemoRewardScorer(HeadScorer):
    """Log-odds of being preferred to the base model's usual answer: higher is more helpful."""

    name = NAME
    description = (
        f"Reward: helpfulness of the answer's first {TOKENS_READ} tokens, by a linear head on features of the embedded "
        "model, in log-odds of being preferred by people; higher is more helpful, 0 is the base model's usual answer."
    )
