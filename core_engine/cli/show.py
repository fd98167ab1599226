"""Prints results for people."""

from __future__ import annotations

from collections.abc import Mapping

from core_engine.run.result import Result


def print_table(rows: Mapping[str, Mapping[str, float]]) -> None:
    """The evaluation table on stdout, the core's row first; a row's ``parameters`` become a column of their own."""
    from rich.console import Console

    from core_engine.evaluation.table import render

    metrics = {name: {key: row[key] for key in row if key != "parameters"} for name, row in rows.items()}
    parameters = {name: int(row["parameters"]) for name, row in rows.items() if "parameters" in row}
    # Wide enough for every column where stdout is a file or a pipe; a terminal has its own width.
    console = Console(width=None if Console().is_terminal else 200)
    console.print(render(metrics, "core", parameters or None))


def print_result(result: Result) -> None:
    rows = {"core": {**result.test, "parameters": result.parameters}, "untrained core": result.untrained}
    print_table({**rows, **result.baselines})
    if result.control != "none":
        print(f"control run ({result.control}): the core is not meant to be good")
    for name, reason in result.baselines_left_out.items():
        print(f"{name}: left out: {reason}")
    held_out = ", ".join(
        f"{part} {rows} rows" + (f" in {groups[part]} groups" if groups.get(part) else "")
        for part, rows in result.data.get("rows", {}).items()
        for groups in [result.data.get("groups", {})]
    )
    print(f"data: {held_out}")
    peak = "" if result.peak_rss_mb is None else f", peak memory {result.peak_rss_mb:.0f} MB"
    print(f"{result.steps} steps ({result.stopped}) in {result.seconds:.1f} s, {result.rows_per_s:.0f} rows/s{peak}")
    whole = sum(result.step_seconds.values())
    for part, seconds in sorted(result.step_seconds.items(), key=lambda item: -item[1]):
        print(f"  {part}: {seconds:.2f} s, {seconds / whole:.0%}")
    print(f"run folder: {result.run_dir}")
