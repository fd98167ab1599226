"""Prints results for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_engine.printable import printable
from core_engine.run.result import Result

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from core_engine.sweep.report import Report


def print_table(rows: Mapping[str, Mapping[str, float]]) -> None:
    """The evaluation table on stdout, the core's row first; a row's ``parameters`` become a column of their own."""
    from core_engine.evaluation.table import render

    metrics = {name: {key: row[key] for key in row if key != "parameters"} for name, row in rows.items()}
    parameters = {name: int(row["parameters"]) for name, row in rows.items() if "parameters" in row}
    _console().print(render(metrics, "core", parameters or None))


def _console() -> Console:
    """Wide enough for every column where stdout is a file or a pipe; a terminal has its own width."""
    from rich.console import Console

    return Console(width=None if Console().is_terminal else 200)


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
    training = f"{result.steps} steps ({result.stopped}) at {result.rows_per_s:.0f} rows/s"
    print(f"{training}; {result.seconds:.1f} s with data, baselines and evaluation{peak}")
    whole = sum(result.step_seconds.values())
    for part, seconds in sorted(result.step_seconds.items(), key=lambda item: -item[1]):
        print(f"  {part}: {seconds:.2f} s, {seconds / whole:.0%}")
    print(f"was it any good? core-engine report {result.run_dir}")
    print(f"run folder: {result.run_dir}")


def print_comparison(runs: Sequence[Mapping[str, Any]]) -> None:
    """Each run's figures on stdout, a column a run, and by how much it is ahead of the first one."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    caption = "Below a figure: ahead of the first run, and its 95 % interval; bold where that leaves out 0."
    if any(metric not in run["ahead"] for run in runs for metric in runs[0]["ahead"]):
        caption += " Not told between the spaces of different teachers."
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), caption=caption, caption_justify="left")
    table.add_column("")
    for run in runs:
        table.add_column(Text(Path(run["run_dir"]).name), justify="right", overflow="fold", min_width=18)
    table.add_row("parameters", *(f"{run['parameters']:,}" for run in runs))
    for metric in runs[0]["ahead"]:
        cells = []
        for run in runs:
            told = Text(f"{run['test'][metric]:.3f}")
            if run is not runs[0] and metric in run["ahead"]:
                value, low, high = run["ahead"][metric]
                told.append(f"\n{value:+.4f}", style="bold" if low > 0 or high < 0 else "")
                told.append(f"\n{low:+.4f} to {high:+.4f}" if low <= high else "\none group")
            cells.append(told)
        table.add_row(metric, *cells)
    _console().print(table)


def print_groups(groups: Sequence[Mapping[str, Any]]) -> None:
    """The figures of each group on stdout, in the order given."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from core_engine.evaluation.table import HEADINGS

    metrics = [name for name in groups[0] if name not in ("group", "rows")]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    table.add_column("group", overflow="fold")
    for head in ("rows", *(HEADINGS[metric] for metric in metrics)):
        table.add_column(head, justify="right", no_wrap=True)
    for group in groups:
        values = ["" if math.isnan(group[metric]) else f"{group[metric]:.3f}" for metric in metrics]
        table.add_row(Text(printable(group["group"])), f"{group['rows']:,}", *values)
    _console().print(table)


def print_history(history: Mapping[str, Any]) -> None:
    """What a conversation's earlier turns are worth, on stdout."""
    maps = {name: found for name, found in history.items() if name != "rows"}
    print(f"\nthe {history['rows']} rows with a history, with it and without it:")
    rows = {
        name if side == "with" else f"{name}, without": found[side]
        for name, found in maps.items()
        for side in ("with", "without")
    }
    print_table(rows)
    for name, found in maps.items():
        gains = [
            f"{metric} {value:+.3f}" + (f" ({low:+.3f} to {high:+.3f})" if low <= high else "")
            for metric, (value, low, high) in found["gain"].items()
        ]
        print(f"gain of the {name} from the history, with 95 % intervals: {', '.join(gains)}")


def print_report(report: Report) -> None:
    """A sweep's trials on stdout, best first, and the winner's figures on the test split."""
    _console().print(_trials(report))
    for outcome in report.outcomes:
        if outcome.error is not None:
            print(f"trial {outcome.number} failed: {'; '.join(outcome.error.splitlines())}")
    print(f"sweep folder: {report.folder}")
    winner = report.winner
    if winner is not None:
        print(f"\nthe winner, trial {winner.number}, on the test split:")
        print_table({"core": {name: value for name, value in report.test(winner).items() if value is not None}})
        print(f"beside its baselines: {report.command(winner)}")


def _trials(report: Report) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    heads = ["trial", *(word.key for word in report.plan.space.searched), f"validation {report.plan.monitor.metric}"]
    for head in heads:
        table.add_column(Text(head), justify="right", overflow="fold")
    table.add_column("run folder", overflow="fold")
    for outcome in report.outcomes:
        values = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in outcome.values.values()]
        score = outcome.state if outcome.score is None else f"{outcome.score:.4f}"
        run_dir = "" if outcome.run_dir is None else outcome.run_dir.name
        # As text: brackets in a value are no markup.
        cells = [Text(cell) for cell in (str(outcome.number), *values, score, run_dir)]
        table.add_row(*cells, style="bold" if outcome is report.winner else None)
    return table
