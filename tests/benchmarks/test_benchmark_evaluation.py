from __future__ import annotations

import json
import sys

import evaluation
import pytest


def test_it_measures_each_and_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluation.py", "--json", "--rows", "60", "--dim", "8", "--rounds", "1"])
    evaluation.main()
    figures = json.loads(capsys.readouterr().out)
    assert figures["seconds"].keys() == figures["peak_mb"].keys() == {"evaluate", "health", "preservation"}
    assert min(figures["seconds"].values()) > 0
    assert (figures["rows"], figures["dim"]) == (60, 8)
