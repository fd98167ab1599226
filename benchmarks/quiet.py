"""Timing several things in turns, and how much memory one takes."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TypeVar

#: A sample counts if this process's threads waited for a core during at most this share of it.
_MOST_WAITING = 0.02
_TRIES = 8

Name = TypeVar("Name", bound=Hashable)


def interleaved(tasks: Mapping[Name, Callable[[], object]], rounds: int, tries: int = _TRIES) -> dict[Name, float]:
    """Median seconds of each task. They run in turns, forwards and backwards, after one warm-up each, so that a machine
    whose speed drifts slows all alike. A sample that another process took the cores from is taken again, so many
    ``tries`` in all (1 for tasks with more threads than cores, which take them from themselves).
    """
    for task in tasks.values():
        task()
    samples: dict[Name, list[float]] = {name: [] for name in tasks}
    for number in range(rounds):
        for name in list(tasks) if number % 2 else reversed(tasks):
            for left in reversed(range(tries)):
                waited, start = _seconds_waited(), time.perf_counter()
                tasks[name]()
                seconds = time.perf_counter() - start
                if _seconds_waited() - waited <= _MOST_WAITING * seconds or not left:
                    samples[name].append(seconds)
                    break
    return {name: statistics.median(values) for name, values in samples.items()}


def _seconds_waited() -> float:
    """How long this process's threads have been ready to run and were not running; 0 where Linux does not tell."""
    total = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        try:
            total += int(path.read_text().split()[1])
        except OSError:  # the thread has ended
            continue
    return total / 1e9


def peak_memory_mb(task: Callable[[], object]) -> float | None:
    """Highest resident memory during the call above the level before it, in 10^6 bytes; None where only Linux tells."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        return None

    def kilobytes(key: str) -> int:
        found = re.search(rf"{key}:\s+(\d+) kB", status.read_text())
        return int(found[1]) if found else 0

    reset.write_text("5")  # the highest level is the present one from here on
    before = kilobytes("VmRSS")
    task()
    return (kilobytes("VmHWM") - before) * 1024 / 1e6
