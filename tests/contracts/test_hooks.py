"""Every hook is tested, and documented with its signature."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from core_engine.contracts import hooks

ROOT = Path(__file__).parents[2]
HOOKS = {n: f for n, f in vars(hooks).items() if hasattr(f, f"{hooks.PROJECT}_spec")}
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_is_tested_and_documented(name: str) -> None:
    assert re.search(rf"def {name}\(", TESTS), f"no test implements the hook {name}"
    signature = f"`{name}({', '.join(inspect.signature(HOOKS[name]).parameters)})`"
    assert signature in (ROOT / "docs/plugins.md").read_text(encoding="utf-8")


def test_there_are_hooks() -> None:
    assert {"losses", "on_run_end"} <= set(HOOKS)
