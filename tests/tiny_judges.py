"""Tiny random judges, laid out as the published ones are."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig

from explorer.scoring.score_model import LlamaForScore
from tests import tiny


def write_beaver(folder: Path, seed: int = 0) -> Path:
    """A checkpoint as Beaver's are laid out: a Llama, a score head, and training's running statistics."""
    config = LlamaConfig(
        vocab_size=260, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    config.score_dim, config.score_type, config.score_bias = 1, "cost", True
    torch.manual_seed(seed)
    LlamaForScore(config).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def write_classifier(folder: Path, labels: Sequence[str]) -> Path:
    """A classifier of texts with these labels."""
    config = BertConfig(
        vocab_size=260,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        id2label=dict(enumerate(labels)),
        label2id={name: i for i, name in enumerate(labels)},
    )
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder
