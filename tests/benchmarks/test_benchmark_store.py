from __future__ import annotations

import json
import sys

import pytest
import store


def test_it_measures_both_and_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(store, "BATCH", 64)
    monkeypatch.setattr(sys, "argv", ["store.py", "--json", "--rows", "200", "--dim", "8", "--rounds", "1"])
    store.main()
    figures = json.loads(capsys.readouterr().out)
    assert figures["ratios"].keys() == {"gather", "write", "write_compacted"}
    assert figures["ratios"]["gather"] == pytest.approx(
        figures["gather_rows_per_s"]["store"] / figures["gather_rows_per_s"]["memmap"]
    )
    assert min(figures["ratios"].values()) > 0
