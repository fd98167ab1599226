"""``core-engine report`` through the installed command."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core_engine.cli.main import main

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_report_lies_in_the_run_folder(cli: Cli, finished_run: dict[str, Any]) -> None:
    run_dir = Path(finished_run["run_dir"])
    lines = cli("report", run_dir).stdout.splitlines()
    assert lines[1] == f"report: {run_dir / 'report.html'}"
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert lines[0] in page
    pictures = sorted(path.name for path in (run_dir / "report").iterdir())
    assert pictures[:3] == ["cells_importance.png", "cells_size.png", "cosine_core.png"]
    assert all((run_dir / "report" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert not list(run_dir.glob(".report*"))


def test_bad_input_leaves_nothing(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> None:
    done = cli("report", tmp_path, "--output", tmp_path / "new", code=2)
    assert "no finished run" in done.stderr
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    done = cli("report", finished_run["run_dir"], "--output", tmp_path / "file", code=2)
    assert "is a file, not a folder" in done.stderr


def test_a_missing_package_is_named_with_its_extra(
    finished_run: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "core_engine.report.page", raising=False)
    assert main(["report", finished_run["run_dir"]]) == 2
    assert 'pip install "core-engine[report]"' in capsys.readouterr().err
