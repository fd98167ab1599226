"""The component ``multi``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import attrs
from attrs import field, frozen
from attrs.validators import and_, min_len

from core_engine import ComponentRef, Kind, Slot, TeacherContext

if TYPE_CHECKING:
    from core_engine_teachers.multi.teacher import SeveralTeachers


def _not_nested(
    instance: Multi, attribute: attrs.Attribute[dict[str, ComponentRef]], value: dict[str, ComponentRef]
) -> None:
    for name, ref in value.items():
        if isinstance(ref.config, Multi):
            raise ValueError(f"{name!r} is a multi itself: put its teachers here")


@frozen(kw_only=True)
class Multi:
    """Several teachers at once: the core lives in the space of one, the primary, and losses see the others' too.

    The primary encodes inputs and targets, as it would by itself, and its stored embeddings are shared with runs that
    use it alone. The others encode targets only.
    """

    #: Name -> a teacher with its options; losses know the others by these names.
    teachers: dict[str, Annotated[ComponentRef, Slot(Kind.TEACHER)]] = field(validator=and_(min_len(2), _not_nested))
    #: One of these names; the first where it is not given.
    primary: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.primary is not None and self.primary not in self.teachers:
            raise ValueError(f"primary: no teacher named {self.primary!r}; there: {', '.join(self.teachers)}")

    @property
    def primary_name(self) -> str:
        return next(iter(self.teachers)) if self.primary is None else self.primary

    def embedding_dim(self) -> int | None:
        dim: int | None = self.teachers[self.primary_name].config.embedding_dim()
        return dim

    def build(self, context: TeacherContext) -> SeveralTeachers:
        from core_engine_teachers.multi.teacher import SeveralTeachers

        further = {name: ref.config.build(context) for name, ref in self.teachers.items() if name != self.primary_name}
        return SeveralTeachers(self.teachers[self.primary_name].config.build(context), further)
