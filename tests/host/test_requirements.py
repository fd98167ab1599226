"""Which requirements hold here."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from core_engine.host.requirements import unmet


@pytest.mark.parametrize("specifier", ["", ">=0.0.1", ">=0.0.1,<99", f"=={version('core-engine')}", "!=99"])
@pytest.mark.parametrize("name", ["core-engine", "core_engine", "Core.Engine"])
def test_met(name: str, specifier: str) -> None:
    assert unmet(name, specifier) is None


@pytest.mark.parametrize(
    ("name", "specifier", "reason"),
    [
        (
            "core-engine",
            ">=99",
            f"core-engine {version('core-engine')} is installed; run: pip install 'core-engine>=99'",
        ),
        ("no-such-package", ">=1", "no-such-package is not installed; run: pip install 'no-such-package>=1'"),
        ("core-engine", "1.0", "'1.0' is not a version specifier; write it like '>=0.1,<1'"),
        ("", ">=1", "'' names no distribution"),
    ],
)
def test_unmet(name: str, specifier: str, reason: str) -> None:
    assert unmet(name, specifier) == reason
