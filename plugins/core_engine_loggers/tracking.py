"""What loggers of tracking services share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
import yaml

from core_engine import LoggerContext
from core_engine.errors import OutputError
from core_engine_loggers.run_files import replace, writing

log = structlog.get_logger("core_engine.loggers.tracking")


@contextmanager
def calling(service: str, remedy: str, failed: bool = False) -> Iterator[None]:
    """Turns whatever a service's library raises into an OutputError of one line.

    ``failed``: the run has failed already. Its own error is what the user must see, so that this one is only logged.
    """
    try:
        yield
    except Exception as error:  # each store behind such a library has errors of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        if failed:
            log.warning("run not closed", reason=without_password(f"{service}: {reason}"))
        else:
            raise OutputError(without_password(f"{service}: {reason}; {remedy}")) from error


def without_password(text: str) -> str:
    """Without user and password in addresses: the environment may hold them, and logs are shown to others."""
    return re.sub(r"//[^/\s@]*@", "//", text)


def kept_id(context: LoggerContext, path: Path) -> str | None:
    """The id under which the service knows the run that is resumed; None for a new run, and for one that it has not."""
    if context.resumed_step is None or not path.exists():
        return None
    return path.read_text(encoding="utf-8").strip() or None


def keep_id(path: Path, run_id: str) -> None:
    with writing(path):
        replace(path, f"{run_id}\n")


def locked_recipe(run_dir: Path) -> dict[str, Any]:
    """Empty for a run that was put together in Python."""
    lock = lock_file(run_dir)
    return yaml.safe_load(lock.read_text(encoding="utf-8")) if lock.exists() else {}


def lock_file(run_dir: Path) -> Path:
    return run_dir / "recipe.lock.yaml"
