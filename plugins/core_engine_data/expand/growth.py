"""Which of the candidates are taken: each group grows by as much, by its best ones first."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Sequence

from attrs import frozen

from core_engine import Example
from core_engine_data.expand.quality import Quality


@frozen(eq=False)
class Candidate:
    """A question in place of ``origin``'s, written by ``rephraser``."""

    origin: Example
    text: str
    rephraser: str
    quality: Quality

    @property
    def group(self) -> Hashable:
        """A row without a group is a group of its own."""
        return ("row", self.origin.id) if self.origin.group is None else ("group", self.origin.group)


def chosen(candidates: Sequence[Candidate], count: int, per_row: int | None, taken: set[Hashable]) -> list[Candidate]:
    """Up to ``count`` of them, in the order in which they are taken: one of each group in turn, groups in the order of
    their first candidate, each group's by falling quality and among equals in the order given.

    None has a text that is the same (see :func:`sameness`) as one of ``taken`` or of another that is chosen.
    """
    queues: dict[Hashable, list[Candidate]] = {}
    for candidate in candidates:
        queues.setdefault(candidate.group, []).append(candidate)
    waiting = [deque(sorted(queue, key=lambda c: -c.quality.total)) for queue in queues.values()]
    texts = set(taken)
    of_row: Counter[str] = Counter()
    found: list[Candidate] = []
    while waiting and len(found) < count:
        for queue in waiting:
            best = _next(queue, per_row, of_row, texts)
            if best is not None and len(found) < count:
                found.append(best)
                texts.add(sameness(best.text))
                of_row[best.origin.id] += 1
        waiting = [queue for queue in waiting if queue]
    return found


def _next(queue: deque[Candidate], per_row: int | None, of_row: Counter[str], texts: set[Hashable]) -> Candidate | None:
    while queue:
        candidate = queue.popleft()
        full = per_row is not None and of_row[candidate.origin.id] >= per_row
        if not full and sameness(candidate.text) not in texts:
            return candidate
    return None


def sameness(text: str) -> Hashable:
    """Equal for texts that differ in case, white space or the marks at their end alone."""
    return " ".join(text.casefold().split()).rstrip(" .?!")
