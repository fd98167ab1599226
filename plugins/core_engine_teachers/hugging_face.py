"""The component ``hf``: any encoder that transformers can load. The presets of one family derive from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import attrs
from attrs import field, frozen
from attrs.validators import min_len

from core_engine import FolderOrName, TeacherContext
from core_engine.errors import TeacherError
from core_engine_teachers import families, hub, model_folder
from core_engine_teachers.large import missing_libraries
from core_engine_teachers.options import EncoderOptions

if TYPE_CHECKING:
    from core_engine_teachers.encoder import Encoder


@frozen(kw_only=True)
class HuggingFace(EncoderOptions):
    """Any Hugging Face text encoder or decoder-only model, from a hub id or a local folder.

    ``model``: a folder, written ``./folder`` or as an absolute path, or a hub id such as ``distilbert-base-uncased``.
    In a recipe, folders are relative to its file, and one that is there needs no ``./``.
    ``revision``: branch, tag or commit of a hub id.
    A model in the hub's local cache is used as it stands there; only one that is not there is downloaded.
    """

    #: The component's name where it takes models of certain families only (see families.py).
    preset: ClassVar[str | None] = None
    #: Without ``max_length``, tokens per text are no more than this, whatever the model could take.
    longest: ClassVar[int | None] = None

    model: Annotated[str, FolderOrName()] = field(validator=min_len(1))
    revision: str | None = None

    def check(self) -> Iterator[tuple[str, str]]:
        folder = model_folder.as_folder(self.model)
        if folder is not None:
            if problem := model_folder.problem(folder) or families.problem(self.preset, folder, self.model):
                yield "model", problem
            else:
                yield from self._misfits(folder)
            if self.revision is not None:
                yield "revision", f"{self.model} is a folder, which has no revisions: drop the option"
        yield from missing_libraries(self)

    def _misfits(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Options that the model's config.json shows to be impossible."""
        try:
            model_folder.resolve_max_length(folder, self.max_length, self.longest or model_folder.UNLIMITED)
        except TeacherError as error:
            yield "max_length", str(error)
        available = model_folder.hidden_states(folder)
        try:
            if available is not None:
                model_folder.require_layers(self.layers, available, folder)
        except TeacherError as error:
            yield "layer", str(error)

    def embedding_dim(self) -> int | None:
        folder = model_folder.as_folder(self.model) or hub.cached(self.model, self.revision)
        if folder is None or model_folder.problem(folder):
            return None
        return model_folder.hidden_size(folder)

    def build(self, context: TeacherContext) -> Encoder:
        from core_engine_teachers.encoder import Encoder
        from core_engine_teachers.locate import locate

        located = locate(self.model, self.revision, self.trust_remote_code)
        if problem := families.problem(self.preset, located.path, self.model):
            raise TeacherError(problem)
        return Encoder(located, self._limited(located.path), context.device)

    def _limited(self, folder: Path) -> EncoderOptions:
        """With ``max_length`` no more than ``longest``, unless it is given."""
        if self.max_length is not None or self.longest is None:
            return self
        return attrs.evolve(self, max_length=model_folder.resolve_max_length(folder, None, self.longest))
