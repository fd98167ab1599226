"""Tiny models for the tests of all local teachers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``tiny_model(family)`` gives the folder of a saved model; many tests share it, so leave its files alone."""
    from tiny_models import save_model

    folders: dict[str, Path] = {}

    def folder_of(family: str) -> Path:
        if family not in folders:
            folders[family] = tmp_path_factory.mktemp(family)
            save_model(family, folders[family])
        return folders[family]

    return folder_of
