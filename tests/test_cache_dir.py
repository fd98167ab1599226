from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core_engine.cache import cache_dir


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CORE_ENGINE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")


def test_own_variable_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("CORE_ENGINE_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"


def test_own_variable_may_be_relative_or_name_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CORE_ENGINE_CACHE", "here")
    assert cache_dir() == tmp_path / "here"
    monkeypatch.setenv("CORE_ENGINE_CACHE", "~/there")
    assert cache_dir() == Path.home() / "there"


def test_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_dir() == Path.home() / ".cache" / "core-engine"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "core-engine"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification: ignore it
    assert cache_dir() == Path.home() / ".cache" / "core-engine"


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORE_ENGINE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_dir() == Path.home() / ".cache" / "core-engine"


def test_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert cache_dir() == Path.home() / "AppData" / "Local" / "core-engine"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache_dir() == tmp_path / "core-engine"


def test_it_is_not_created_by_asking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CORE_ENGINE_CACHE", str(tmp_path / "own"))
    cache_dir()
    assert not (tmp_path / "own").exists()
