"""The component ``sentence_transformer``: a model saved by Sentence Transformers, read without that library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from attrs import field, frozen
from attrs.validators import ge, in_, min_len, optional

from core_engine import FolderOrName, TeacherContext
from core_engine.errors import TeacherError
from core_engine_teachers import model_folder, options
from core_engine_teachers.large import missing_libraries
from core_engine_teachers.sentence_transformer import folder as st_folder

if TYPE_CHECKING:
    from core_engine_teachers.sentence_transformer.encoder import SentenceEncoder


@frozen(kw_only=True)
class SentenceTransformer:
    """A Sentence Transformers model: its folder or hub id says how texts are pooled, projected and normalised.

    ``model``: a folder with ``modules.json``, written ``./folder`` or as an absolute path, or a hub id.
    ``prompt_name``: which of the model's prompts stands before every text; without it the model's default one.
    ``prompt``: a text of your own in its place. ``max_length``: tokens per text; None means what the model says.
    ``too_long``: Sentence Transformers itself cuts. ``dtype`` is float32 whatever the weights are saved in; ``auto``
    computes in what they are saved in, as Sentence Transformers does. The rest as for ``hf``.
    Transformer, Pooling, Dense and Normalize modules are supported; any other is an error.
    """

    model: Annotated[str, FolderOrName()] = field(validator=min_len(1))
    revision: str | None = None
    prompt_name: str | None = None
    prompt: str | None = None
    max_length: int | None = field(default=None, validator=optional(ge(1)))
    too_long: options.TooLong = field(default="error", validator=options.is_too_long)
    dtype: options.Dtype = field(default="float32", validator=options.is_dtype)
    batch_tokens: int | None = field(default=None, validator=options.is_batch_tokens)
    device_map: Literal["auto"] | None = field(default=None, validator=optional(in_(("auto",))))
    quantization: options.Quantization | None = field(default=None, validator=optional(options.is_quantization))
    trust_remote_code: bool = False

    def check(self) -> Iterator[tuple[str, str]]:
        if self.prompt is not None and self.prompt_name is not None:
            yield "prompt", "excludes prompt_name: drop one of them"
        yield from missing_libraries(self._options(prompt="", max_length=None))
        folder = model_folder.as_folder(self.model)
        if folder is None:
            return
        if self.revision is not None:
            yield "revision", f"{self.model} is a folder, which has no revisions: drop the option"
        if problem := st_folder.problem(folder):
            yield "model", problem
            return
        try:
            self._prompt(st_folder.read_folder(folder))
        except TeacherError as error:
            yield "prompt" if self.prompt is not None else "prompt_name", str(error)

    def embedding_dim(self) -> int | None:
        from core_engine_teachers.sentence_transformer.locate import cached

        folder = model_folder.as_folder(self.model) or cached(self.model, self.revision)
        return None if folder is None or st_folder.problem(folder) else st_folder.read_folder(folder).dim()

    def build(self, context: TeacherContext) -> SentenceEncoder:
        from core_engine_teachers.sentence_transformer.encoder import SentenceEncoder
        from core_engine_teachers.sentence_transformer.locate import locate_sentence_folder

        folder, located = locate_sentence_folder(self.model, self.revision, self.trust_remote_code)
        asked = self._options(self._prompt(folder), self.max_length or folder.transformer.max_length)
        return SentenceEncoder(folder, located, asked, context.device)

    def _options(self, prompt: str, max_length: int | None) -> options.EncoderOptions:
        return options.EncoderOptions(
            normalize=False,  # where the folder asks for it, it is a module
            prompt=prompt,
            max_length=max_length,
            too_long=self.too_long,
            dtype=self.dtype,
            batch_tokens=self.batch_tokens,
            device_map=self.device_map,
            quantization=self.quantization,
            trust_remote_code=self.trust_remote_code,
        )

    def _prompt(self, folder: st_folder.SentenceFolder) -> str:
        prompt = folder.prompt(self.prompt_name) if self.prompt is None else self.prompt
        if prompt and not folder.pooling.include_prompt:
            raise TeacherError(
                f"{folder.pooling.config}: module Pooling has include_prompt: false, and pooling without the prompt's "
                f"tokens is not supported: set prompt: '' to use none"
            )
        return prompt
