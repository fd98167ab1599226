"""Files of figures in a run folder, which go on where a resumed run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core_engine import LoggerContext
from core_engine.errors import CheckpointError, OutputError


def first_step(context: LoggerContext) -> int:
    """The first step whose records this run writes itself; what stands in its folder from there on is stale.

    A resumed run keeps the records up to and including the step it goes on from, a new run keeps none.
    """
    return 0 if context.resumed_step is None else context.resumed_step + 1


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what can go wrong with a file into an error that names it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{path}: cannot be written: {reason}; see to space and permissions") from error


class LineFile:
    """A UTF-8 text file to which a run adds whole lines, each flushed as it is written.

    On opening, lines of steps that the run will write again are dropped, and so is a last line without an end: the run
    before was stopped while it wrote. ``step_of`` reads a line's step, and raises ValueError, LookupError or TypeError
    where it has none. ``header`` is the first line, where the format has one.

    Raises CheckpointError for a line that is none of this format's, OutputError where the file cannot be written.
    """

    def __init__(self, path: Path, first_step: int, step_of: Callable[[str], int], header: str | None = None) -> None:
        self._path = path
        lines = [] if header is None else [header]
        with writing(path):
            if first_step and path.exists():
                lines += _kept(path, first_step, step_of, header)
            replace(path, "".join(f"{line}\n" for line in lines))
            self._file = path.open("a", encoding="utf-8", newline="\n")

    def write(self, lines: str) -> None:
        """``lines``: one or more, each with its newline."""
        with writing(self._path):
            self._file.write(lines)
            self._file.flush()

    def close(self) -> None:
        with writing(self._path):
            self._file.close()


def replace(path: Path, text: str) -> None:
    """Writes beside and renames, so that a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _kept(path: Path, first_step: int, step_of: Callable[[str], int], header: str | None) -> Iterator[str]:
    *whole_lines, _torn = path.read_bytes().split(b"\n")
    for number, line in enumerate(whole_lines, start=1):
        try:
            text = line.decode("utf-8")
            if number == 1 and header is not None:
                if text != header:
                    raise ValueError(f"not the header {header!r}")
            elif step_of(text) < first_step:
                yield text
        except (ValueError, LookupError, TypeError) as error:
            raise CheckpointError(
                f"{path}:{number}: not a line of this run's records ({error}); correct the line, or move the file away"
            ) from error
