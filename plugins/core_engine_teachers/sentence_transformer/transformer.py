"""The first module of a Sentence Transformers folder: a transformers model and how its tokenizer is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen

from core_engine.errors import TeacherError
from core_engine_teachers.sentence_transformer.files import flag, read_object, whole_number

#: The first that is there holds the settings, as Sentence Transformers reads them.
_SETTINGS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
#: What each setting may say without changing embeddings; of the others, max_seq_length and do_lower_case are used.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "transformer_task": ("feature-extraction",),
    "module_output_name": ("token_embeddings",),
    "processing_kwargs": (None, {}),
    "unpad_inputs": (None, True, False),
    "query_length": (None,),
    "document_length": (None,),
    "query_expansion": (None,),
    "tokenizer_name_or_path": (None,),
}
_ARGUMENTS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")


@frozen
class Transformer:
    """``settings``: the file that ``max_length`` (tokens) and ``lower_case`` come from, None where there is none."""

    folder: Path
    settings: Path | None
    max_length: int | None
    lower_case: bool


def read_transformer(folder: Path) -> Transformer:
    file = next((folder / name for name in _SETTINGS if (folder / name).is_file()), None)
    if file is None:
        return Transformer(folder, None, None, lower_case=False)
    settings = read_object(file)
    for key, value in settings.items():
        if not _is_harmless(key, value):
            raise TeacherError(f"{file}: module Transformer has {key}: {value!r}, which is not supported")
    return Transformer(
        folder=folder,
        settings=file,
        max_length=whole_number(file, settings, "max_seq_length", least=1),
        lower_case=flag(file, settings, "do_lower_case", default=False),
    )


def _is_harmless(key: str, value: Any) -> bool:
    if key in ("max_seq_length", "do_lower_case"):
        return True
    if key in _ARGUMENTS:  # code that comes with a model is an option of the teacher's own
        return isinstance(value, dict) and not value.keys() - {"trust_remote_code"}
    if key == "modality_config":  # where it has "message", texts go through the tokenizer's chat template
        return isinstance(value, dict) and value.get("text") == _TEXT and "message" not in value
    return key in _HARMLESS and value in _HARMLESS[key]
