"""From the body of an answer to embeddings, by OpenAI's format and nothing looser."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from core_engine_remote.failures import shown


class MalformedError(ValueError):
    """The body is not what was asked for. The message says where and how."""


@frozen
class Answer:
    """``rows``: float32 ``[n, dim]``. ``tokens``: what the endpoint counted, None where it does not say."""

    rows: Tensor
    tokens: int | None


def read(content: bytes, count: int, dim: int, normalize: bool, key: str | None) -> Answer:
    """``count`` rows of ``dim``, put in the order of the texts by their ``index``. Raises MalformedError."""
    try:
        body = json.loads(content, parse_constant=_refuse_constant)
    except MalformedError:
        raise
    except (ValueError, RecursionError) as error:
        start = shown(content[:1000].decode("utf-8", errors="replace"), key)
        raise MalformedError(f"not JSON ({type(error).__name__}); it begins {start!r}; check base_url") from error
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        raise MalformedError(f"no list 'data' in {shown(json.dumps(body, ensure_ascii=False), key)}; check base_url")
    if len(data) != count:
        raise MalformedError(f"{len(data)} embeddings for {count} texts")
    rows: list[list[float] | None] = [None] * count
    for position, item in enumerate(data):
        index, row = _item(item, f"data[{position}]", count, dim, key)
        if rows[index] is not None:
            raise MalformedError(f"data[{position}]: index {index} stands there twice")
        rows[index] = row
    return Answer(_tensor(rows, normalize), _tokens(body.get("usage")))


def _item(item: Any, where: str, count: int, dim: int, key: str | None) -> tuple[int, list[float]]:
    if not isinstance(item, dict):
        raise MalformedError(f"{where} is not an object")
    index, row = item.get("index"), item.get("embedding")
    if type(index) is not int or not 0 <= index < count:
        raise MalformedError(f"{where}: index is {shown(repr(index), key)}, not one of 0 to {count - 1}")
    if isinstance(row, str):
        raise MalformedError(f"{where}: the embedding is a string, though encoding_format 'float' was asked for")
    if not isinstance(row, list):
        raise MalformedError(f"{where}: the embedding is not a list of numbers, but {type(row).__name__}")
    if others := set(map(type, row)) - {float, int}:
        names = ", ".join(sorted(kind.__name__ for kind in others))
        raise MalformedError(f"{where}: the embedding holds values that are not numbers ({names})")
    if len(row) != dim:
        raise MalformedError(
            f"{where}: the embedding has {len(row)} dimensions, and dim is {dim}; set dim: {len(row)}, or "
            "send_dimensions: true where the model can shorten its embeddings"
        )
    return index, row


def _tensor(rows: list[Any], normalize: bool) -> Tensor:
    try:
        exact = torch.tensor(rows, dtype=torch.float64)
    except (OverflowError, RuntimeError) as error:  # an integer that no float holds
        raise MalformedError(f"a number is too large ({error})") from error
    single = exact.float()
    if bad := (~single.isfinite().all(1)).nonzero().flatten().tolist():
        raise MalformedError(f"the embedding with index {bad[0]} holds a number that is not finite in float32")
    return F.normalize(exact, dim=-1).float() if normalize else single


def _tokens(usage: Any) -> int | None:
    """Embeddings have no output tokens, so both names mean the same; endpoints give one or both."""
    for name in ("prompt_tokens", "total_tokens"):
        value = usage.get(name) if isinstance(usage, dict) else None
        if type(value) is int and value >= 0:
            return value
    return None


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"{name} stands where a finite number should")
