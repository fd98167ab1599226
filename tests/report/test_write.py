"""A report takes the place of an earlier one, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from core_engine.errors import OutputError
from core_engine.report.drawing import Drawing
from core_engine.report.write import write_report


def drawing(name: str) -> dict[str, Drawing]:
    return {name: Drawing(name=name, title="", caption="", svg="", png=b"png of " + name.encode())}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_takes_the_place_of_an_earlier_report(tmp_path: Path) -> None:
    write_report(tmp_path, "<p>old", drawing("old"))
    assert write_report(tmp_path, "<p>new", drawing("new")) == tmp_path / "report.html"
    assert contents(tmp_path) == {"report.html": b"<p>new", "report/new.png": b"png of new"}


@pytest.mark.parametrize("strange", ["report/plot.png", "report.html/a.html"])
def test_what_no_report_made_stays(tmp_path: Path, strange: str) -> None:
    (tmp_path / strange).parent.mkdir(parents=True)
    (tmp_path / strange).write_text("precious")
    with pytest.raises(OutputError, match=r"no report made that.*--output"):
        write_report(tmp_path, "<p>", drawing("new"))
    assert contents(tmp_path) == {strange: b"precious"}


@pytest.mark.parametrize("strange", ["report/thesis.tex", "report/figures/a.png"])
def test_what_was_put_into_a_report_stays(tmp_path: Path, strange: str) -> None:
    write_report(tmp_path, "<p>old", drawing("old"))
    (tmp_path / strange).parent.mkdir(exist_ok=True)
    (tmp_path / strange).write_text("precious")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"no report made that.*--output"):
        write_report(tmp_path, "<p>", drawing("new"))
    assert contents(tmp_path) == before


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.png").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="no report made that"):
        write_report(tmp_path / "out", "<p>", drawing("new"))
    assert contents(tmp_path / "elsewhere") == {"a.png": b"precious"}


@pytest.mark.parametrize("failing", ["report", "report.html"])
def test_a_failure_leaves_the_earlier_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    write_report(tmp_path, "<p>old", drawing("old"))
    before, replace = contents(tmp_path), Path.replace

    def full(self: Path, target: Path) -> Path:
        if target == tmp_path / failing and self.name == failing:  # what is put back is named otherwise
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_report(tmp_path, "<p>new", drawing("new"))
    assert contents(tmp_path) == before
