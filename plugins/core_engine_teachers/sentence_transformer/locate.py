"""From what a recipe names to a Sentence Transformers folder on this machine."""

from __future__ import annotations

from pathlib import Path

import structlog

from core_engine.errors import TeacherError
from core_engine_teachers import hub, model_folder
from core_engine_teachers.locate import Located, Source
from core_engine_teachers.sentence_transformer import folder as st_folder

log = structlog.get_logger("core_engine.teachers")

#: Files of such a model beside those that every model has.
_EXTRA = (st_folder.MODULES, st_folder.SETTINGS, "sentence_*_config.json", "*/config.json", "*/model.safetensors")


def locate_sentence_folder(
    model: str, revision: str | None, remote_code: bool
) -> tuple[st_folder.SentenceFolder, Located]:
    """A local folder, else the hub's cache, else the hub: what it says, and where its transformer is.

    Raises TeacherError.
    """
    root, source = _find(model, revision, remote_code)
    if problem := st_folder.problem(root):
        raise TeacherError(problem)
    folder = st_folder.read_folder(root)
    log.info("teacher located", model=model, source=source, path=str(root))
    return folder, Located(folder.transformer.folder, model, source)


def cached(model: str, revision: str | None) -> Path | None:
    """The complete snapshot of ``model`` in the hub's local cache, or None. Touches no network."""
    return hub.cached(model, revision, st_folder.MODULES, st_folder.absent)


def _find(model: str, revision: str | None, remote_code: bool) -> tuple[Path, Source]:
    if (root := model_folder.as_folder(model)) is not None:
        return root, "folder"
    if (snapshot := cached(model, revision)) is not None:
        return snapshot, "hub cache"
    return hub.download(model, revision, remote_code, _EXTRA), "hub"
