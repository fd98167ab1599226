"""The component ``hf``: any encoder that transformers can load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from attrs import field, frozen
from attrs.validators import min_len

from core_engine import FolderOrName, TeacherContext
from core_engine_teachers import hub, model_folder
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

    model: Annotated[str, FolderOrName()] = field(validator=min_len(1))
    revision: str | None = None

    def check(self) -> Iterator[tuple[str, str]]:
        folder = model_folder.as_folder(self.model)
        if folder is None:
            return
        if problem := model_folder.problem(folder):
            yield "model", problem
        if self.revision is not None:
            yield "revision", f"{self.model} is a folder, which has no revisions: drop the option"

    def embedding_dim(self) -> int | None:
        folder = model_folder.as_folder(self.model) or hub.cached(self.model, self.revision)
        if folder is None or model_folder.problem(folder):
            return None
        return model_folder.hidden_size(folder)

    def build(self, context: TeacherContext) -> Encoder:
        from core_engine_teachers.encoder import Encoder
        from core_engine_teachers.locate import locate

        return Encoder(locate(self.model, self.revision, self.trust_remote_code), self, context.device)
