"""Writes a report, whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from core_engine.errors import OutputError
from core_engine.report.drawing import Drawing

PAGE, PICTURES = "report.html", "report"


def write_report(folder: Path, page: str, figures: Mapping[str, Drawing]) -> Path:
    """``folder/report.html`` and ``folder/report/NAME.png``, in place of those of an earlier report. Returns the page.

    OutputError where they cannot be written, or where no report made what has their names: then there is no page beside
    the folder, or what it holds are not only pictures. What was there before still is.
    """
    try:
        _refuse_what_is_no_report(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as beside:
            fresh = Path(beside) / PICTURES
            fresh.mkdir()
            for figure in figures.values():
                (fresh / f"{figure.name}.png").write_bytes(figure.png)
            (Path(beside) / PAGE).write_text(page, encoding="utf-8")
            pictures, earlier = folder / PICTURES, Path(beside) / "earlier"
            if pictures.exists():
                pictures.replace(earlier)
            try:
                fresh.replace(pictures)
                (Path(beside) / PAGE).replace(folder / PAGE)
            except OSError:
                if pictures.exists():
                    pictures.replace(fresh)
                if earlier.exists():
                    earlier.replace(pictures)
                raise
    except OSError as error:
        raise OutputError(
            f"{folder}: the report cannot be written: {error.strerror or error}; name another folder by --output"
        ) from error
    return folder / PAGE


def _refuse_what_is_no_report(folder: Path) -> None:
    page, pictures = folder / PAGE, folder / PICTURES
    strange = [page] if page.is_dir() else []
    if page.is_file() and pictures.is_dir() and not pictures.is_symlink():
        strange += [path for path in pictures.iterdir() if path.suffix != ".png" or not path.is_file()]
    elif pictures.exists():
        strange.append(pictures)
    if strange:
        raise OutputError(
            f"{min(strange)}: no report made that, and this one would take its place; move it away, or name another "
            f"folder by --output"
        )
