"""``core-engine report`` through the installed command."""

from __future__ import annotations

import shutil
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


def test_a_run_is_judged_by_what_it_was_to_do(cli: Cli, finished_run: dict[str, Any], tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished_run["run_dir"], run_dir, ignore=shutil.ignore_patterns("report*"))
    lock = (run_dir / "recipe.lock.yaml").read_text()
    assert "monitor: mrr@10" in lock
    (run_dir / "recipe.lock.yaml").write_text(lock.replace("monitor: mrr@10", "monitor: within_mrr"))
    cli("report", run_dir)
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert f"Judged by within_mrr, {finished_run['test']['within_mrr']:.3f} for the core" in page
    assert f"mrr@10 {finished_run['test']['mrr@10']:.3f} against" in page


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("result.json", b"{}", "result.json: damaged: there is no 'name' in it"),
        ("result.json", b"[1]", "result.json: damaged: not a mapping"),
        ("metrics.jsonl", b"\xff\xfe\n", "metrics.jsonl: damaged"),
        ("metrics.jsonl", b"{}\n[1]\n", "metrics.jsonl:2: damaged: not a mapping"),
    ],
)
def test_a_damaged_run_is_refused(
    finished_run: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    content: bytes,
    message: str,
) -> None:
    damaged = tmp_path / "run"
    shutil.copytree(finished_run["run_dir"], damaged, ignore=shutil.ignore_patterns("report*"))
    (damaged / file).write_bytes(content)
    assert main(["report", str(damaged)]) == 2
    assert message in capsys.readouterr().err
    assert not (damaged / "report").exists()


def test_a_missing_package_is_named_with_its_extra(
    finished_run: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "core_engine.report.page", raising=False)
    assert main(["report", finished_run["run_dir"]]) == 2
    assert 'pip install "core-engine[report]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["report"], ["evaluate", "--data", "rows.jsonl"], ["compare", "--data", "rows.jsonl"]]
)
@pytest.mark.parametrize(("name", "amiss"), [("nothere", "there is no such folder"), ("file", "it is a file")])
def test_what_is_no_run_folder_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], name: str, amiss: str
) -> None:
    (tmp_path / "file").write_text("")
    assert main([command[0], str(tmp_path / name), *command[1:]]) == 2
    assert f"{tmp_path / name}: no folder of a run: {amiss}" in capsys.readouterr().err
