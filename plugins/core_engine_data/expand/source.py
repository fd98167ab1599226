"""Reads the source, has its questions rephrased, and yields both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from attrs import evolve, frozen

from core_engine import ComponentRef, DataSourceContext, Example, RephraserContext
from core_engine.errors import DataError, EngineError, PluginError
from core_engine_data.expand import Expand
from core_engine_data.expand.growth import Candidate, chosen, sameness
from core_engine_data.expand.quality import judged

log = structlog.get_logger("core_engine.data")

#: Under which a new row's metadata say where it comes from.
PROVENANCE = "expand"


@frozen
class ExpandedPairs:
    """``context`` is handed on to the source within."""

    config: Expand
    context: DataSourceContext

    def read(self) -> Iterator[Example]:
        """All rows of the source as they are, then the new ones, each with its ``origin``.

        DataError where the source does not give pairs of texts, and where there are too few good questions.
        """
        rows = list(_built(self.config.source, self.context).read())
        _require_pairs(rows)
        missing = self.config.size - len(rows)
        if missing < 0:
            raise DataError(
                f"expand: size is {self.config.size}, and the source alone has {len(rows)} rows; raise size"
            )
        yield from rows
        if missing:
            yield from self._grown(rows, missing)

    def _grown(self, rows: list[Example], missing: int) -> Iterator[Example]:
        candidates = self._candidates(rows)
        good = [candidate for candidate in candidates if candidate.quality.total >= self.config.min_quality]
        taken = {sameness(text) for row in rows for text in _texts(row)}
        found = chosen(good, missing, self.config.per_row, taken)
        log.info("questions rephrased", written=len(candidates), good=len(good), used=len(found))
        if len(found) < missing:
            raise self._too_few(len(rows), len(candidates), len(good), len(found))
        ids = {row.id for row in rows}
        numbers: Counter[str] = Counter()
        for candidate in found:
            yield _row(candidate, _free_id(candidate.origin.id, numbers, ids))

    def _candidates(self, rows: list[Example]) -> list[Candidate]:
        # A row that was itself made from another would give one whose origin is no original.
        originals = [row for row in rows if row.origin is None]
        questions = [str(row.input) for row in originals]
        context = RephraserContext(device="cpu", seed=self.context.seed)
        written: list[tuple[Example, str, str]] = []
        for ref in self.config.rephrasers:
            lists = _rephrased(ref, context, questions, self.config.wordings)
            for row, texts in zip(originals, lists, strict=True):
                known = sameness(str(row.input))
                written += [(row, text.strip(), ref.type) for text in texts if sameness(text) not in ("", known)]
        qualities = judged(
            [(str(row.input), text) for row, text, _ in written], self.config.weights, self.context.embed
        )
        return [Candidate(*one, quality) for one, quality in zip(written, qualities, strict=True)]

    def _too_few(self, rows: int, written: int, good: int, usable: int) -> DataError:
        return DataError(
            f"expand: size is {self.config.size}, and {rows} rows with {usable} new ones make {rows + usable}: of "
            f"{written} wordings that the rephrasers gave, {good} have a quality of at least "
            f"{self.config.min_quality:g}, and {usable} of those are distinct and within per_row; lower size or "
            "min_quality, raise wordings or "
            "per_row, or add rephrasers"
        )


def _built(ref: ComponentRef, context: object) -> Any:
    try:
        return ref.config.build(context)
    except EngineError:
        raise
    except Exception as error:
        raise PluginError(
            f"{ref.kind} {ref.type!r} ({ref.provider}) cannot be built: {type(error).__name__}: {error}"
        ) from error


def _rephrased(ref: ComponentRef, context: RephraserContext, questions: Sequence[str], count: int) -> list[list[str]]:
    rephraser = _built(ref, context)
    try:
        lists: list[list[str]] = [list(texts)[:count] for texts in rephraser.rephrase(questions, count)]
    except EngineError:
        raise
    except Exception as error:
        raise PluginError(f"rephraser {ref.type!r} ({ref.provider}) failed: {type(error).__name__}: {error}") from error
    if len(lists) != len(questions):
        raise PluginError(
            f"rephraser {ref.type!r} ({ref.provider}) gave wordings of {len(lists)} texts, and {len(questions)} were "
            "asked for"
        )
    return lists


def _require_pairs(rows: Sequence[Example]) -> None:
    for row in rows:
        if not isinstance(row.input, str) or not isinstance(row.target, str):
            raise DataError(
                f"expand: row {row.id!r} is no pair of question and answer; name a source of pairs of texts, such as "
                "dialogues"
            )


def _texts(row: Example) -> tuple[str, str]:
    return str(row.input), str(row.target)


def _free_id(origin: str, numbers: Counter[str], taken: set[str]) -> str:
    while True:
        numbers[origin] += 1
        if (found := f"{origin}/{numbers[origin]}") not in taken:
            return found


def _row(candidate: Candidate, identity: str) -> Example:
    origin, quality = candidate.origin, candidate.quality
    provenance = {
        "rephraser": candidate.rephraser,
        "original": origin.input,
        "quality": quality.total,
        "relevance": quality.relevance,
        "novelty": quality.novelty,
        "length": quality.length,
    }
    return evolve(
        origin,
        id=identity,
        input=candidate.text,
        metadata={**origin.metadata, PROVENANCE: provenance},
        origin=origin.id,
        without_history=None,
    )
