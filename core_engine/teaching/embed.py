"""Texts to embeddings: from the store where it has them, from the teacher otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice

import structlog
import torch
from torch import Tensor

from core_engine.contracts.objects import Teacher
from core_engine.errors import DataError, TeacherError
from core_engine.store.store import EmbeddingStore
from core_engine.teaching.figures import Figures, usage_of, usage_since
from core_engine.teaching.progress import EncodingProgress
from core_engine.teaching.units import CHARS_PER_CALL, Share, by_length, cut

log = structlog.get_logger("core_engine.teaching")

#: Seconds between two looks at what another writer has in hand, when there is nothing else left to do.
POLL = 0.2
#: Units among which a writer looks for its next one.
WINDOW = 4
#: Files at which a store is compacted in the middle of an encoding: each batch looks at all of them.
MANY = 256


def embed(texts: Sequence[str], teacher: Teacher, store: EmbeddingStore | None) -> Tensor:
    """float32 ``[len(texts), teacher.dim]`` on the CPU, rows in the order of ``texts``.

    Each distinct text is encoded at most once, and not at all where ``store`` holds it; see :func:`fill`. Raises
    TeacherError where the teacher's answer cannot be used (type, shape, dtype, device, a row that is not finite or all
    zeros), DataError for an empty text and OutputError where the store cannot be written to.
    """
    rows, _ = embed_with_figures(texts, teacher, store)
    return rows


def embed_with_figures(texts: Sequence[str], teacher: Teacher, store: EmbeddingStore | None) -> tuple[Tensor, Figures]:
    """:func:`embed`, and what it took."""
    if store is not None:
        figures = fill(texts, teacher, store)
        return store.get(texts), figures
    started, before = time.perf_counter(), usage_of(teacher)
    number = {text: i for i, text in enumerate(_distinct(texts))}
    _check_texts(list(number), teacher)
    out = torch.empty(len(number), teacher.dim)
    with EncodingProgress(len(number)) as progress:
        for unit in cut(by_length(number), _chars(teacher)):
            for texts_done, rows in _encode(unit, teacher):
                out[[number[text] for text in texts_done]] = rows
                progress.advance(len(texts_done))
    seconds = time.perf_counter() - started
    figures = Figures(len(number), 0, len(number), seconds, usage_since(teacher, before))
    _tell(figures)
    return out[[number[text] for text in texts]], figures


def fill(texts: Sequence[str], teacher: Teacher, store: EmbeddingStore, share: Share | None = None) -> Figures:
    """Makes the store hold every text; with a ``share``, this process's part of them.

    Every batch is on disk before the next begins, and each is claimed first: writers that fill one store at the same
    time, whether or not they know of one another, share the work. Returns once all is there.
    """
    if (store.header.fingerprint, store.header.dim) != (teacher.fingerprint, teacher.dim):
        raise ValueError("the embedding store was opened for another teacher")
    started, before = time.perf_counter(), usage_of(teacher)
    share = share or Share()
    distinct = _distinct(texts)
    # Shares are of all texts: what the store holds changes while the other processes start.
    mine = by_length(distinct)[share.rank :: share.size]
    missing = store.missing(mine)
    encoded = _encode_missing(missing, teacher, store) if missing else 0
    seconds = time.perf_counter() - started
    figures = Figures(len(mine), len(mine) - len(missing), encoded, seconds, usage_since(teacher, before))
    store.mark_used()
    _tell(figures)
    return figures


def _encode_missing(missing: list[str], teacher: Teacher, store: EmbeddingStore) -> int:
    """How many texts were encoded here; the others came from other writers meanwhile."""
    store.require_writable()
    _check_texts(missing, teacher)
    chars = _chars(teacher)
    left = by_length(missing)
    encoded = 0
    with store.writer() as writer, EncodingProgress(len(left)) as progress:
        while left:
            # A claim looks at some units only, so that it takes no longer for many texts.
            window = [text for unit in islice(cut(left, chars), WINDOW) for text in unit]
            mine, elsewhere = store.claim(writer, window, lambda free: next(cut(free, chars), []))
            for texts, rows in _encode(mine, teacher):
                store.add(texts, rows)
                writer.renew()
                encoded += len(texts)
                progress.advance(len(texts))
            if store.segments > MANY:
                store.compact()
            if len(elsewhere) == len(window):
                time.sleep(POLL)  # others are at all of it
            put_off = set(elsewhere)
            here = [text for text in store.missing(window) if text not in put_off]
            progress.advance(len(window) - len(mine) - len(here) - len(elsewhere))  # what others have stored
            left = here + left[len(window) :] + elsewhere
    store.compact()
    return encoded


def _tell(figures: Figures) -> None:
    log.info("embeddings ready", **figures.to_dict())
    if figures.usage.get("cut"):
        log.warning("texts were longer than the teacher takes, and cut", count=figures.usage["cut"], of=figures.misses)


def _distinct(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence of texts, not one text")
    distinct = list(dict.fromkeys(texts))
    if empty := [text for text in distinct if not text.strip()]:
        raise DataError(f"text {texts.index(empty[0])} is empty ({empty[0]!r}): drop empty texts")
    return distinct


def _check_texts(texts: list[str], teacher: Teacher) -> None:
    check = getattr(teacher, "check_texts", None)
    if check is not None and texts:
        check(texts)


def _chars(teacher: Teacher) -> int:
    return int(getattr(teacher, "chars_per_call", CHARS_PER_CALL))


def _encode(texts: list[str], teacher: Teacher) -> Iterator[tuple[list[str], Tensor]]:
    """Texts and their rows, as they are done."""
    if not texts:
        return
    stream = getattr(teacher, "stream", None)
    if stream is None:
        rows = teacher.encode(texts)
        _check(rows, texts, teacher)
        yield texts, rows
        return
    left = set(range(len(texts)))
    for numbers, rows in stream(texts):
        if not left.issuperset(numbers) or len(set(numbers)) < len(numbers):
            raise TeacherError(f"teacher {type(teacher).__name__}: stream() gave a text twice, or one there is not")
        left.difference_update(numbers)
        done = [texts[number] for number in numbers]
        _check(rows, done, teacher)
        yield done, rows
    if left:
        raise TeacherError(f"teacher {type(teacher).__name__}: stream() gave no row for {texts[min(left)][:80]!r}")


def _check(rows: Tensor, texts: list[str], teacher: Teacher) -> None:
    name = type(teacher).__name__
    if not isinstance(rows, Tensor):
        raise TeacherError(f"teacher {name}: encode() must return a torch tensor, not {type(rows).__name__}")
    expected = f"float32 [{len(texts)}, {teacher.dim}] on cpu"
    got = f"{str(rows.dtype).removeprefix('torch.')} {list(rows.shape)} on {rows.device}"
    if got != expected:
        raise TeacherError(f"teacher {name}: encode() returned {got}; expected {expected}")
    norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)  # in which no float32 row is too long or short
    for useless, what in ((~norms.isfinite(), "is not finite"), (norms == 0, "is all zeros")):
        if found := useless.nonzero().flatten().tolist():
            raise TeacherError(
                f"teacher {name}: the embedding of {texts[found[0]][:80]!r} {what} ({len(found)} such of "
                f"{len(texts)}): drop the text or use another teacher"
            )
