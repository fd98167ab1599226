from __future__ import annotations

import io
import sys

import pytest
from structlog.testing import capture_logs

from core_engine.teaching import progress
from core_engine.teaching.progress import EncodingProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_with_rate_and_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with capture_logs() as logs, EncodingProgress(100) as shown:
        for _ in range(3):
            shown.advance(20)
            shown._bar.refresh()  # type: ignore[union-attr]
        print("a line of log", file=sys.stderr)
    assert "60/100" in terminal.getvalue()
    assert "texts/s" in terminal.getvalue()
    assert "0:00:0" in terminal.getvalue()
    assert "a line of log\n" in terminal.getvalue()
    assert logs == []
    assert sys.stderr is terminal


def test_elsewhere_a_line_now_and_then_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with capture_logs() as logs, EncodingProgress(100) as shown:
        for step in range(1, 11):
            now = 7.0 * step
            shown.advance(10)
    assert [(log["done"], log["of"]) for log in logs] == [(50, 100)]
    assert logs[0]["texts_per_s"] == round(50 / 35, 1)
    assert logs[0]["remaining_s"] == 35
