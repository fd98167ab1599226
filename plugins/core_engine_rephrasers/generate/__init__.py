"""The rephraser ``generate``: a causal language model on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from attrs import field, frozen
from attrs.validators import and_, ge, gt, in_, le, min_len, optional
from core_engine_teachers import model_folder
from core_engine_teachers.options import Dtype

from core_engine import FolderOrName, RephraserContext
from core_engine_rephrasers.replies import is_prompt

if TYPE_CHECKING:
    from core_engine_rephrasers.generate.rephraser import ModelRephraser


@frozen(kw_only=True)
class Generate:
    """A causal language model from a hub id or a local folder, run on this machine by transformers.

    ``model``: a folder, written ``./folder`` or as an absolute path, or a hub id. ``revision``: branch, tag or commit
    of a hub id. ``prompt``: what the model is asked, with ``{text}`` and ``{count}`` filled in, put into the model's
    chat template where its tokenizer has one; it answers with one wording on each line; None for the one in replies.py.
    ``sample``: draw the answer, from ``temperature`` and the likeliest tokens that make up ``top_p``; false takes the
    likeliest token each time. ``max_new_tokens``: of one answer. ``device``: a torch device such as ``cuda``.
    ``dtype``: what the model computes in, ``auto`` is what its weights were saved in. ``trust_remote_code``: run Python
    code that comes with the model.
    """

    model: Annotated[str, FolderOrName()] = field(validator=min_len(1))
    revision: str | None = None
    prompt: str | None = field(default=None, validator=optional(is_prompt))
    sample: bool = True
    temperature: float = field(default=0.7, validator=gt(0))
    top_p: float = field(default=0.95, validator=and_(gt(0), le(1)))
    max_new_tokens: int = field(default=512, validator=ge(1))
    device: str | None = None
    dtype: Dtype = field(default="auto", validator=in_(("auto", "float32", "bfloat16", "float16")))
    trust_remote_code: bool = False

    def check(self) -> Iterator[tuple[str, str]]:
        folder = model_folder.as_folder(self.model)
        if folder is not None:
            if problem := model_folder.problem(folder):
                yield "model", problem
            if self.revision is not None:
                yield "revision", f"{self.model} is a folder, which has no revisions: drop the option"

    def build(self, context: RephraserContext) -> ModelRephraser:
        """Loads nothing: that waits for the first ``rephrase``."""
        from core_engine_rephrasers.generate.rephraser import ModelRephraser

        return ModelRephraser(self, self.device or context.device, context.seed)
