"""Figures that the paper reports (arXiv 2406.14144), for context beside a run's own: other models, other judges."""

import pandas as pd

PAPER_EFFECTS = pd.DataFrame(
    [
        ("Llama2-7B", "SFT", 101, 101, 76, 73),
        ("Mistral-7B", "SFT", 90, 80, 74, 75),
        ("Gemma-7B", "SFT", 96, 84, 79, 89),
        ("Qwen2.5-3B", "SFT", 83, 81, 68, 83),
        ("Llama2-7B", "Base", 56, 65, 63, 78),
        ("Mistral-7B", "Base", 71, 63, 134, 103),
        ("Gemma-7B", "Base", 78, 68, 64, 70),
        ("Qwen2.5-3B", "Base", 88, 87, 82, 93),
    ],
    columns=["Model", "Patched", "Beavertails", "RedTeam", "HarmBench", "JailbreakLLMs"],
)
"""Causal effects in percent that the paper reports for 20,000 patched neurons (2.9 to 5.7 % of a model), 200 prompts a
benchmark, 128 new tokens, by the Beaver cost model."""

PAPER_COSTS = pd.DataFrame(
    [
        ("Llama2-7B", 2.2, -5.7, -2.4, -11.9, -11.8),
        ("Mistral-7B", -1.6, -10.0, -7.6, -12.9, -13.5),
        ("Gemma-7B", 1.1, -10.3, -8.2, -13.4, -13.6),
        ("Qwen2.5-3B", 0.9, -12.0, -10.9, -13.3, -13.8),
    ],
    columns=["Model", "Base", "Base, patched", "SFT", "SFT, patched", "DPO"],
)
"""Mean cost on Beavertails, lower is safer."""
