from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


class Disk:
    """A file system of its own, of a few megabytes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, leave: int) -> Path:
        """Writes a file that leaves so many bytes free."""
        filler = self.path / "filler"
        with filler.open("wb") as file:
            file.write(b"\0" * (shutil.disk_usage(self.path).free - leave))
        return filler

    def make_read_only(self) -> None:
        mount("-o", "remount,ro", self.path)


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)
