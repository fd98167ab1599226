"""Data files: whether they can be read at all, and their lines as text."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO

from core_engine.errors import DataError

_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def problem_with(path: Path, suffixes: Sequence[str]) -> str | None:
    """What keeps ``path`` from being read as one of these formats, and what to do about it; None if nothing does."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return f"{path}: no such file; check the path"
    except (OSError, ValueError) as error:
        return f"{path}: cannot be read ({error}); check the path and its permissions"
    if stat.S_ISDIR(status.st_mode):
        return f"{path}: this is a folder; name a file in it"
    if path.suffix.lower() not in suffixes:
        found = f"file type {path.suffix!r}" if path.suffix else "no file type"
        return f"{path}: {found} is not known here; use one of {', '.join(suffixes)}"
    if status.st_size == 0:
        return f"{path}: the file is empty; name one that holds data"
    return None


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file opened for reading; DataError where that fails."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    with stream:
        yield stream


def text_lines(stream: IO[bytes], path: PurePath) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers from 1, line ends kept; a byte order mark is dropped.

    Only a line feed ends a line: U+2028, U+0085 and the like are ordinary characters of a text. Raises DataError at the
    first byte that is not UTF-8, and at a NUL, which text does not hold but UTF-16 read as UTF-8 does.
    """
    offset = 0
    for number, raw in enumerate(stream, start=1):
        line = raw.removeprefix(_BOM) if number == 1 else raw
        start = offset + len(raw) - len(line)
        offset += len(raw)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            encoding = "UTF-16" if number == 1 and raw.startswith(_UTF16_BOMS) else "WINDOWS-1252"
            raise _not_utf8(path, number, start + error.start, line[error.start], encoding) from error
        if "\0" in text:
            raise _not_utf8(path, number, start + line.index(0), 0, "UTF-16")
        yield number, text


def _not_utf8(path: PurePath, line: int, position: int, byte: int, encoding: str) -> DataError:
    return DataError(
        f"{path}:{line}: not UTF-8 text: byte 0x{byte:02x} at position {position} of the file; convert it, "
        f"for instance from {encoding}: iconv -f {encoding} -t UTF-8 OLD > NEW"
    )
