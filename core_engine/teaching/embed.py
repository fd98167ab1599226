"""Texts to embeddings: from the store where it has them, from the teacher otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import structlog
import torch
from torch import Tensor

from core_engine.contracts.objects import Teacher
from core_engine.errors import TeacherError
from core_engine.teaching.store import EmbeddingStore

log = structlog.get_logger("core_engine.teaching")

#: Texts that are encoded, and stored, at a time: what a crash can cost.
CHUNK = 2048


def embed(texts: Sequence[str], teacher: Teacher, store: EmbeddingStore | None) -> Tensor:
    """float32 ``[len(texts), teacher.dim]`` on the CPU, rows in the order of ``texts``.

    Each distinct text is encoded at most once, and not at all where ``store`` holds it; with a store, every
    finished chunk is on disk before the next begins. Raises TeacherError where the teacher's answer cannot be used
    (type, shape, dtype, device, a row that is not finite or all zeros) and OutputError where the store cannot be
    written to.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence of texts, not one text")
    if store is None:
        return _without_store(texts, teacher)
    if (store.fingerprint, store.dim) != (teacher.fingerprint, teacher.dim):
        raise ValueError("the embedding store was opened for another teacher")
    started = time.perf_counter()
    missing = store.missing(texts)
    if missing:
        store.require_writable()
    for chunk, rows in _encode(missing, teacher):
        store.add(chunk, rows)
    _log(texts, missing, started)
    return store.get(texts)


def _without_store(texts: Sequence[str], teacher: Teacher) -> Tensor:
    started = time.perf_counter()
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    rows = [torch.empty(0, teacher.dim), *(rows for _, rows in _encode(list(number), teacher))]
    _log(texts, list(number), started)
    return torch.cat(rows)[[number[text] for text in texts]]


def _encode(texts: list[str], teacher: Teacher) -> Iterator[tuple[list[str], Tensor]]:
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        rows = teacher.encode(chunk)
        _check(rows, chunk, teacher)
        yield chunk, rows
        log.debug("chunk encoded", done=start + len(chunk), of=len(texts))


def _check(rows: Tensor, texts: list[str], teacher: Teacher) -> None:
    name = type(teacher).__name__
    if not isinstance(rows, Tensor):
        raise TeacherError(f"teacher {name}: encode() must return a torch tensor, not {type(rows).__name__}")
    expected = f"float32 [{len(texts)}, {teacher.dim}] on cpu"
    got = f"{str(rows.dtype).removeprefix('torch.')} {list(rows.shape)} on {rows.device}"
    if got != expected:
        raise TeacherError(f"teacher {name}: encode() returned {got}; expected {expected}")
    for useless, what in ((~rows.isfinite().all(1), "is not finite"), (~rows.any(1), "is all zeros")):
        if found := useless.nonzero().flatten().tolist():
            raise TeacherError(
                f"teacher {name}: the embedding of {texts[found[0]][:80]!r} {what} ({len(found)} such of "
                f"{len(texts)}): drop the text or use another teacher"
            )


def _log(texts: Sequence[str], missing: list[str], started: float) -> None:
    seconds = time.perf_counter() - started
    rate = {"texts_per_s": round(len(missing) / seconds, 1)} if missing else {}
    log.info("embeddings ready", texts=len(texts), missing=len(missing), seconds=round(seconds, 2), **rate)
