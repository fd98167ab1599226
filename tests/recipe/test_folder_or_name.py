"""A teacher's ``model`` is a hub id, or a folder relative to the file that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from core_engine_teachers.hugging_face import HuggingFace

from core_engine.host.registry import Registry
from core_engine.recipe.compose import read_recipe_file
from core_engine.recipe.structure import Structurer


@pytest.mark.parametrize(
    ("written", "resolved"),
    [("owner/name", "owner/name"), ("./model", "{folder}/model"), ("../model", "{folder}/../model"), ("/a/b", "/a/b")],
)
def test_a_folder_is_resolved_and_a_name_is_not(written: str, resolved: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(f"model: {written}\n")
    node, problems = read_recipe_file(tmp_path / "recipe.yaml")
    assert node is not None
    structurer = Structurer(Registry())
    teacher = structurer.structure(node, HuggingFace)
    assert [*problems, *structurer.problems] == []
    assert teacher is not None
    assert teacher.model == resolved.format(folder=tmp_path)
