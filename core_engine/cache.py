"""Where the engine keeps what can be computed again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """The user's cache folder for this engine; not created here.

    ``CORE_ENGINE_CACHE`` if it is set, else ``%LOCALAPPDATA%\\core-engine`` on Windows, else ``core-engine`` under
    ``XDG_CACHE_HOME`` (default ``~/.cache``), which the XDG base directory specification asks to ignore where it is
    not absolute.
    """
    if own := os.environ.get("CORE_ENGINE_CACHE"):
        return Path(own).expanduser().absolute()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "core-engine"
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "core-engine"
