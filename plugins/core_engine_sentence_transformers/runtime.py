"""The library Sentence Transformers: whether it is there, and its losses."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from core_engine.errors import PluginError

INSTALL = 'pip install "core-engine[sentence-transformers]"'


def installed() -> bool:
    return find_spec("sentence_transformers") is not None


def load_losses() -> Any:
    """The library's module of losses. PluginError where it is not installed or has them elsewhere."""
    if not installed():
        raise PluginError(f"the package sentence-transformers is not installed: {INSTALL}")
    try:
        return import_module("sentence_transformers.sentence_transformer.losses")
    except ModuleNotFoundError as error:
        raise PluginError(
            f"sentence-transformers {version('sentence-transformers')} is too old, version 6 or a later one is needed: "
            f"pip install --upgrade sentence-transformers ({error})"
        ) from error
