"""What a text's embedding must be, by the shortest code: one text at a time, no padding, pooled in float64 by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from core_engine_teachers import HuggingFace
from core_engine_teachers.encoder import Encoder
from tiny_models import POSITIONS
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from core_engine import TeacherContext


def build(folder: Path, **options: Any) -> Encoder:
    return HuggingFace(model=str(folder), **options).build(TeacherContext(device="cpu"))


def one_by_one(
    folder: Path,
    texts: Sequence[str],
    pooling: str = "mean",
    layers: Sequence[int] = (-1,),
    max_length: int = POSITIONS,
    special_tokens: bool = True,
) -> Tensor:
    """float32 ``[len(texts), D]``, not normalised."""
    model, tokenizer = _load(folder)
    rows = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=max_length, add_special_tokens=special_tokens)["input_ids"]
        with torch.no_grad():
            output = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
        if tuple(layers) == (-1,):
            hidden = output.last_hidden_state[0].double()
        else:
            hidden = sum(output.hidden_states[i][0].double() for i in layers) / len(layers)
        rows.append(pool(list(hidden), pooling))
    return torch.stack(rows).float()


@cache
def _load(folder: Path) -> tuple[Any, Any]:
    return AutoModel.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(folder)


def pool(tokens: list[Tensor], pooling: str) -> Tensor:
    """``[D]`` from one ``[D]`` for each token."""
    n = len(tokens)
    match pooling:
        case "mean":
            return sum(tokens, torch.zeros_like(tokens[0])) / n
        case "cls":
            return tokens[0]
        case "last":
            return tokens[-1]
        case "max":
            return torch.tensor([max(column) for column in zip(*(token.tolist() for token in tokens), strict=True)])
        case "mean_sqrt_len":
            return sum(tokens, torch.zeros_like(tokens[0])) / math.sqrt(n)
        case "weighted_mean":
            weighted = [(i + 1) * token for i, token in enumerate(tokens)]
            return sum(weighted, torch.zeros_like(tokens[0])) / (n * (n + 1) / 2)
    raise AssertionError(pooling)
