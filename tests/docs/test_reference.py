"""The reference names every bundled component with its options, and its example files are read by the real sources."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs
import pytest

from core_engine import ComponentRef, DataSourceContext, Example
from core_engine.host.host import PluginHost
from core_engine.host.registry import Registered
from core_engine.recipe.nodes import Node
from core_engine.recipe.schema import Data
from core_engine.recipe.structure import Structurer
from core_engine.recipe.yaml_source import parse_yaml

DOCS = Path(__file__).parents[2] / "docs"
HEADINGS = {
    "data_source": "Data sources",
    "teacher": "Teachers",
    "reshape": "Reshapes",
    "kernel": "Kernels",
    "backend": "Backends",
    "loss": "Losses",
    "logger": "Loggers",
    "sampler": "Samplers",
    "negatives": "Negatives",
    "rephraser": "Rephrasers",
}

HOST = PluginHost.discover()
BUNDLED = [r for r in HOST.registry.all() if r.provider.distribution == "core-engine"]


def sections() -> dict[tuple[str, str], str]:
    """(heading of the kind, component) -> what the reference says of it."""
    found = {}
    for chapter in re.split(r"^## ", (DOCS / "components.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading = chapter.splitlines()[0]
        for section in re.split(r"^### ", chapter, flags=re.MULTILINE)[1:]:
            found[heading, section.splitlines()[0].strip("`")] = section
    return found


def rows(section: str) -> dict[str, list[str]]:
    """Option -> type, default and meaning."""
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {cells[0].strip("`"): cells[1:] for cells in table[2:]}


def written(value: object) -> str:
    """A default as a recipe writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value) or '""'


def named_parts(kind: Any) -> set[str]:
    """The values of a Literal, and the options of a nested class, at any depth."""
    if get_origin(kind) is Literal:
        return {written(value) for value in get_args(kind)}
    if isinstance(kind, type) and attrs.has(kind) and kind is not ComponentRef:
        return {attribute.name for attribute in attrs.fields(kind)}
    return {name for argument in get_args(kind) for name in named_parts(argument)}


def test_the_bundled_components_are_the_documented_ones() -> None:
    assert {(HEADINGS[r.kind], r.name) for r in BUNDLED} == set(sections())


@pytest.mark.parametrize("registered", BUNDLED, ids=lambda r: f"{r.kind}-{r.name}")
def test_every_option_stands_there_with_its_default(registered: Registered) -> None:
    section = sections()[HEADINGS[registered.kind], registered.name]
    options = rows(section)
    if base := re.search(r"Options are those of \[`(\w+)`\]", section):
        options = rows(sections()[HEADINGS[registered.kind], base[1]]) | options
    config = attrs.resolve_types(registered.component.config)
    assert set(options) == {str(a.alias) for a in attrs.fields(config)}
    for attribute in attrs.fields(config):
        kind, default, meaning = options[str(attribute.alias)]
        if attribute.default is attrs.NOTHING:
            assert default == "", attribute.name
        elif not isinstance(attribute.default, attrs.Factory):  # type: ignore[arg-type]
            assert default == f"`{written(attribute.default)}`", attribute.name
        assert named_parts(attribute.type) <= set(re.findall(r"`([^`]+)`", kind + meaning)), attribute.name


def blocks(pattern: str) -> list[tuple[str, ...]]:
    text = (DOCS / "data.md").read_text(encoding="utf-8")
    return [match.groups() for match in re.finditer(rf"^```{pattern}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


@pytest.fixture(scope="module")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that docs/data.md shows or makes."""
    folder = tmp_path_factory.mktemp("examples")
    for name, content in blocks(r"(?:jsonl|json|csv|txt) (\S+)"):
        assert not (folder / name).exists(), f"{name} stands twice"
        (folder / name).write_text(content, encoding="utf-8")
    for (code,) in blocks("python"):
        subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return folder


def source_options(folder: Path, recipe: str) -> Any:
    root, problems = parse_yaml(recipe, "data.md", folder)
    assert root is not None, problems
    assert isinstance(root.value, dict)
    node: Node = root.value["data"]
    structurer = Structurer(HOST.registry)
    data = structurer.structure(node, Data, "data")
    assert data is not None, structurer.problems
    return data.train.config


def read(folder: Path, recipe: str) -> list[Example]:
    config = source_options(folder, recipe)
    assert list(config.check()) == []
    return list(config.build(DataSourceContext(seed=0)).read())


@pytest.mark.parametrize("recipe", [content for (content,) in blocks("yaml")])
def test_an_example_recipe_reads_its_example_file(example_files: Path, recipe: str) -> None:
    assert read(example_files, recipe)


def test_every_example_file_is_read_by_an_example_recipe(example_files: Path) -> None:
    options = [attrs.asdict(source_options(example_files, content)) for (content,) in blocks("yaml")]
    used = {value for given in options for value in given.values() if isinstance(value, Path)}
    assert used == set(example_files.iterdir())


def test_ids_context_and_skipped_rows_are_as_the_text_says(example_files: Path) -> None:
    found = {recipe: read(example_files, recipe) for (recipe,) in blocks("yaml")}
    by_id = {example.id: example for examples in found.values() for example in examples}
    told = re.findall(r"`([\w.]+:\d+|c\d#\d)`", (DOCS / "data.md").read_text(encoding="utf-8"))
    assert len(told) >= 8
    assert set(told) <= set(by_id)
    assert by_id["c1#3"].input == "assistant: Hello!\nAny parking?"
    assert by_id["pairs.txt:1"].target == "Behind the house.\nIt is free of charge."
    assert by_id["questions.npy:3"].group == "breakfast"
    assert [example.id for example in found[next(r for r in found if "messy" in r)]] == ["messy.jsonl:1"]


def test_every_other_name_of_a_csv_column_is_told() -> None:
    from core_engine_data.csv_files import ALIASES

    text = (DOCS / "data.md").read_text(encoding="utf-8")
    for field, names in ALIASES.items():
        [line] = re.findall(rf"^\| {field} \| (.*?) \|", text, re.MULTILINE)
        assert re.findall(r"`(\w+)`", line) == list(names)
