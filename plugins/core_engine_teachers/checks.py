"""Texts, options and embeddings that cannot be used, each told as one TeacherError."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from core_engine.errors import TeacherError
from core_engine_teachers.options import EncoderOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def require_room(tokenizer: PreTrainedTokenizerBase, options: EncoderOptions, max_length: int, folder: Path) -> None:
    """TeacherError unless a text of one token fits, special tokens and prompt counted."""
    special = tokenizer.num_special_tokens_to_add() if options.special_tokens else 0
    if max_length <= special:
        raise TeacherError(
            f"{folder}: max_length {max_length} leaves no room beside {special} special tokens: raise it"
        )
    if not options.prompt:
        return
    if options.too_long == "cut" and tokenizer.truncation_side != "right":
        raise TeacherError(
            f"{folder}: its tokenizer cuts texts at their beginning, where the prompt stands: set too_long: error, or "
            f"do without a prompt"
        )
    prompt = len(tokenizer(options.prompt, add_special_tokens=False, verbose=False)["input_ids"])
    if max_length <= special + prompt:
        raise TeacherError(
            f"{folder}: max_length {max_length} leaves no room for text beside the prompt's {prompt} tokens and "
            f"{special} special tokens: raise it or shorten the prompt"
        )


def require_text(texts: Sequence[str]) -> None:
    """TeacherError unless every text is valid Unicode and more than white space."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TeacherError(
                f"text {text[:80]!r} is not valid Unicode ({error.reason}): repair or drop it"
            ) from error
    if empty := [i for i, text in enumerate(texts) if not text.strip()]:
        raise TeacherError(
            f"{len(empty)} of {len(texts)} texts are empty, the first at position {empty[0]}: drop empty texts"
        )


def require_usable(embeddings: Tensor, texts: Sequence[str]) -> None:
    """TeacherError unless every row of ``embeddings``, ``[len(texts), D]``, is finite and has a direction."""
    if broken := (~embeddings.isfinite().all(1)).nonzero().flatten().tolist():
        raise TeacherError(
            f"the embedding of {texts[broken[0]][:80]!r} is not finite ({len(broken)} such of {len(texts)}): if the "
            f"teacher runs in float16, try dtype: bfloat16 or float32; otherwise its weights are damaged"
        )
    if zero := (~embeddings.any(1)).nonzero().flatten().tolist():
        raise TeacherError(
            f"the embedding of {texts[zero[0]][:80]!r} is all zeros ({len(zero)} such of {len(texts)}), which has no "
            f"direction: drop the text, or use another layer or model"
        )
