"""Scores of answers: cost, reward, refusal."""
