from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from probe_plugin import bundled_and_probe

from core_engine.errors import RecipeError
from core_engine.host.host import PluginHost
from core_engine.recipe.load import LoadedRecipe, load_recipe

#: Everything that a recipe must say.
MINIMAL = """\
mode: {type: dialogue}
data: {train: {type: quickstart}}
lattice: {size: [4, 4, 24], kernel: {type: stencil}}
reshape: {type: linear}
loss: [{type: cosine}]
"""


@pytest.fixture(scope="session")
def host() -> PluginHost:
    return bundled_and_probe()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write recipes in; it is the working folder, so that messages name the files alone."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def load(folder: Path, host: PluginHost) -> Callable[..., LoadedRecipe]:
    """Loads a recipe's text as ``r.yaml``, with overrides."""

    def _load(text: str | bytes, *overrides: str) -> LoadedRecipe:
        (folder / "r.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_recipe("r.yaml", overrides, host)

    return _load


@pytest.fixture
def problems(load: Callable[..., LoadedRecipe]) -> Callable[..., list[str]]:
    """The problems of such a recipe."""

    def _problems(text: str | bytes, *overrides: str) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load(text, *overrides)
        assert str(caught.value) == "\n".join(caught.value.problems)
        return caught.value.problems

    return _problems


@pytest.fixture
def minimal() -> str:
    return MINIMAL


@pytest.fixture
def write(folder: Path) -> Callable[..., None]:
    """Writes files by name; a dot-free keyword names a YAML file."""

    def _write(**texts: str) -> None:
        for name, text in texts.items():
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")

    return _write
