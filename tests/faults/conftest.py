from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Disk, mount


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", path)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system of its own can be mounted by root only")
    yield Disk(path)
    subprocess.run(["umount", "--lazy", path], check=True)
