from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import pytest
import torch
from attrs import frozen
from core_engine_teachers import MiniLM, Multi
from torch import Tensor

from core_engine import ComponentRef, Kind, Slot, Teacher, TeacherContext
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider
from core_engine.recipe.nodes import Mark, node_from_python
from core_engine.recipe.structure import Structurer

CONTEXT = TeacherContext(device="cpu")
EVERYTHING = ("chars_per_call", "check_texts", "close", "description", "stream", "usage")


class Plain:
    """A teacher that has only what every teacher must have."""

    def __init__(self, name: str, dim: int) -> None:
        self.dim = dim
        self.fingerprint = f"fingerprint of {name}"

    def encode(self, texts: Sequence[str]) -> Tensor:
        return torch.full((len(texts), self.dim), float(self.dim))


class Rich(Plain):
    """And one that has all that a teacher may have."""

    chars_per_call = 77

    def __init__(self, name: str, dim: int) -> None:
        super().__init__(name, dim)
        self.description = {"model": name}
        self.usage = {"tokens": 0}
        self.closed = False

    def encode(self, texts: Sequence[str]) -> Tensor:
        self.usage = {"tokens": self.usage["tokens"] + len(texts)}
        return super().encode(texts)

    def check_texts(self, texts: Sequence[str]) -> None:
        raise ValueError(f"{self.fingerprint} refuses")

    def close(self) -> None:
        self.closed = True

    def stream(self, texts: Sequence[str]) -> list[tuple[list[int], Tensor]]:
        return [([0], self.encode(texts[:1]))]


@frozen
class Config:
    """A teacher."""

    name: str
    dim: int
    made: type[Plain] = Rich

    def embedding_dim(self) -> int:
        return self.dim

    def build(self, context: TeacherContext) -> Plain:
        assert context == CONTEXT
        return self.made(self.name, self.dim)


def ref(config: Any) -> ComponentRef:
    return ComponentRef(Kind.TEACHER, "any", config, Provider("tests", "tests", "0"))


def multi(*configs: Config, primary: str | None = None) -> Multi:
    return Multi(teachers={config.name: ref(config) for config in configs}, primary=primary)


@pytest.mark.parametrize(("primary", "dim"), [(None, 3), ("small", 3), ("big", 5)])
def test_the_primary_is_the_first_or_the_one_that_is_named(primary: str | None, dim: int) -> None:
    config = multi(Config("small", 3), Config("big", 5), Config("wide", 7), primary=primary)
    teacher = config.build(CONTEXT)
    assert isinstance(teacher, Teacher)
    assert config.embedding_dim() == teacher.dim == dim
    assert teacher.fingerprint == f"fingerprint of {primary or 'small'}"
    assert torch.equal(teacher.encode(["a", "b"]), torch.full((2, dim), float(dim)))
    assert {name: other.dim for name, other in teacher.further.items()} == {
        name: other for name, other in (("small", 3), ("big", 5), ("wide", 7)) if other != dim
    }


def test_all_that_the_primary_has_is_the_primarys_own() -> None:
    teacher = multi(Config("small", 3), Config("big", 5)).build(CONTEXT)
    other: Any = teacher.further["big"]
    other.encode(["a", "b"])
    assert (teacher.chars_per_call, teacher.description, teacher.usage) == (77, {"model": "small"}, {"tokens": 0})
    teacher.encode(["a"])
    assert teacher.usage == {"tokens": 1}
    assert [numbers for numbers, _ in teacher.stream(["a", "b"])] == [[0]]
    with pytest.raises(ValueError, match="fingerprint of small refuses"):
        teacher.check_texts(["a"])
    teacher.close()
    assert not other.closed


def test_what_the_primary_has_not_is_not_there() -> None:
    teacher = multi(Config("small", 3, Plain), Config("big", 5)).build(CONTEXT)
    assert not any(hasattr(teacher, name) for name in EVERYTHING)
    rich = multi(Config("small", 3), Config("big", 5)).build(CONTEXT)
    assert all(hasattr(rich, name) for name in EVERYTHING)
    assert not hasattr(rich, "closed"), "no more than a teacher may have"


@frozen
class Teachers:
    """What a recipe has under this key."""

    teachers: dict[str, Annotated[ComponentRef, Slot(Kind.TEACHER)]]


def test_a_recipe_names_it_with_its_teachers() -> None:
    written = {"type": "multi", "teachers": {"a": {"type": "minilm"}, "b": {"type": "bert"}}, "primary": "b"}
    structurer = Structurer(PluginHost.discover().registry)
    found = structurer.structure(node_from_python({"teachers": {"both": written}}, Mark("recipe")), Teachers)
    assert found is not None, structurer.problems
    config = found.teachers["both"].config
    assert isinstance(config, Multi)
    assert (config.primary_name, [inner.type for inner in config.teachers.values()]) == ("b", ["minilm", "bert"])


def test_a_single_teacher_is_refused() -> None:
    with pytest.raises(ValueError, match="teachers"):
        multi(Config("small", 3))


def test_an_unknown_primary_is_refused() -> None:
    with pytest.raises(ValueError, match="no teacher named 'bgi'; there: small, big"):
        multi(Config("small", 3), Config("big", 5), primary="bgi")


def test_a_multi_inside_of_one_is_refused() -> None:
    inner = multi(Config("small", 3), Config("big", 5))
    with pytest.raises(ValueError, match="'both' is a multi itself: put its teachers here"):
        Multi(teachers={"both": ref(inner), "minilm": ref(MiniLM())})
