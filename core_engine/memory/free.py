"""How much memory can be had."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

_CGROUPS = Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int:
    """Bytes that a process could still take on a device without another one's being pushed out.

    On the CPU also no more than is left of the limits that a container or a scheduler has set (control groups, version
    2), beyond which it would be killed.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min([psutil.virtual_memory().available, *_left_of_limits()])


def _left_of_limits() -> list[int]:
    """Of this process's control group and those around it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return []  # not Linux
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    groups = [_CGROUPS / own, *(_CGROUPS / own).parents]
    left = []
    for group in groups[: groups.index(_CGROUPS) + 1]:
        try:
            limit = (group / "memory.max").read_text(encoding="ascii").strip()
            used = int((group / "memory.current").read_text(encoding="ascii"))
            cached = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        except OSError:
            continue  # the root has no limit, nor has a system without control groups
        if limit != "max":
            # What is read from files is given back before anything is killed.
            left.append(max(0, int(limit) - used + int(cached.get("inactive_file", 0))))
    return left
