from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from core_engine.contracts.metrics import METRICS
from core_engine.evaluation.table import render


def printed(table: Table, terminal: bool = False) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80, force_terminal=terminal, color_system=None if not terminal else "standard").print(
        table
    )
    return stream.getvalue()


def test_everything_fits_eighty_columns_uncut() -> None:
    full = {name: 0.1234 * (i % 7) for i, name in enumerate(METRICS)} | {"constant_cosine": 0.42}
    names = ["identity", "mean_shift", "ridge", "procrustes", "linear", "mlp", "core"]
    text = printed(render(dict.fromkeys(names, full), "core", {"linear": 147_840, "mlp": 590_592, "core": 7_225_344}))
    assert "…" not in text
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[3:-1]] == names
    assert all(len(line.rstrip()) <= 80 for line in lines)
    assert lines[4].split() == ["mean_shift", *(f"{full[name]:.3f}" for name in METRICS)]
    assert lines[7].split()[:2] == ["linear", "148k"]
    assert lines[9].split()[:2] == ["core", "7.2M"]
    assert lines[-1].rstrip() == "A constant vector would get a cosine of 0.420."


def test_columns_line_up_and_gaps_stay_blank() -> None:
    rows = {"a": {"cosine": -0.25, "mrr@10": 1.0}, "b": {"cosine": 0.5}, "c": {"mrr@10": 0.0, "extra": 2.0}}
    lines = [line.rstrip() for line in printed(render(rows, "a")).splitlines()]
    assert lines[-3].split() == ["a", "-0.250", "1.000"]
    assert lines[-2].split() == ["b", "0.500"]
    assert lines[-1].split() == ["c", "0.000", "2.000"]
    assert lines[-3].index("1.000") == lines[-1].index("0.000")
    assert "parameters" not in "".join(lines)
    assert "constant" not in "".join(lines)


def test_only_the_core_is_bold() -> None:
    rows = {"ridge": {"cosine": 0.5}, "core": {"cosine": 0.6}}
    lines = printed(render(rows, "core"), terminal=True).splitlines()
    assert "\x1b[1m" in next(line for line in lines if "core" in line)
    assert "\x1b[1m" not in next(line for line in lines if "ridge" in line)
