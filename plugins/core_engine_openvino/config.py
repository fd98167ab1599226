"""The component ``openvino``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import attrs
from attrs import field, frozen
from attrs.validators import ge, in_, min_len, optional
from core_engine_teachers import hub, model_folder, options
from core_engine_teachers.locate import MINILM

from core_engine import FolderOrName, TeacherContext
from core_engine_openvino.runtime import INSTALL, Precision, installed

if TYPE_CHECKING:
    from core_engine_openvino.teacher import OpenVINOEncoder

_is_layer: Any = attrs.fields(options.EncoderOptions).layer.validator
_MINILM_LENGTH, _MINILM_DIM = 256, 384


@frozen(kw_only=True)
class OpenVINO:
    """A text encoder computed by OpenVINO: the fastest on Intel processors; needs the extra ``openvino``.

    It computes on the processor whatever ``device`` is. ``model``: a folder or hub id of a transformers model, which is
    converted in memory each time it is loaded; without it, all-MiniLM-L6-v2, found and checked as ``minilm`` does, at
    most 256 tokens. ``precision``: what it computes in; ``bfloat16`` needs a processor that has it. Embeddings are
    those of ``hf`` up to rounding, but stored apart. The other options are as for ``hf``.
    """

    model: Annotated[str, FolderOrName()] = field(default=MINILM, validator=min_len(1))
    revision: str | None = None
    pooling: options.Pooling = field(default="mean", validator=options.is_pooling)
    layer: int | list[int] = field(default=-1, validator=_is_layer)
    max_length: int | None = field(default=None, validator=optional(ge(1)))
    too_long: options.TooLong = field(default="error", validator=options.is_too_long)
    prompt: str = ""
    special_tokens: bool = True
    normalize: bool = True
    precision: Precision = field(default="float32", validator=in_(("float32", "bfloat16")))
    batch_tokens: int | None = field(default=None, validator=options.is_batch_tokens)
    trust_remote_code: bool = False

    def check(self) -> Iterator[tuple[str, str]]:
        if not installed():
            yield "type", f"needs the package openvino: {INSTALL}"
        folder = model_folder.as_folder(self.model)
        if folder is None:
            return
        if problem := model_folder.problem(folder):
            yield "model", problem
        if self.revision is not None:
            yield "revision", f"{self.model} is a folder, which has no revisions: drop the option"

    def embedding_dim(self) -> int | None:
        if self._is_minilm:
            return _MINILM_DIM
        folder = model_folder.as_folder(self.model) or hub.cached(self.model, self.revision)
        return None if folder is None or model_folder.problem(folder) else model_folder.hidden_size(folder)

    def build(self, context: TeacherContext) -> OpenVINOEncoder:
        from core_engine_teachers.locate import locate, locate_minilm

        from core_engine_openvino.teacher import OpenVINOEncoder

        located = locate_minilm(None) if self._is_minilm else locate(self.model, self.revision, self.trust_remote_code)
        default_length = _MINILM_LENGTH if self._is_minilm else None
        asked = options.EncoderOptions(
            pooling=self.pooling,
            layer=self.layer,
            max_length=default_length if self.max_length is None else self.max_length,
            too_long=self.too_long,
            prompt=self.prompt,
            special_tokens=self.special_tokens,
            normalize=self.normalize,
            batch_tokens=self.batch_tokens,
            trust_remote_code=self.trust_remote_code,
        )
        return OpenVINOEncoder(located, asked, self.precision)

    @property
    def _is_minilm(self) -> bool:
        return self.model == MINILM and self.revision is None
