"""The component ``precomputed``: embeddings that another program made, looked up by their text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen
from core_engine_data.files import problem_with

from core_engine import TeacherContext
from core_engine.errors import TeacherError

if TYPE_CHECKING:
    from core_engine_teachers.precomputed.lookup import Lookup


@frozen(kw_only=True)
class Precomputed:
    """Embeddings from a file, looked up by their text; a text that is not there is an error.

    ``texts``: a .txt file (one text a line, blank lines left out) or a .jsonl file (under the key ``text``).
    ``embeddings``: an .npy file, or a .safetensors file with one tensor named ``embeddings``; float16, bfloat16
    (``.safetensors`` only), float32 or float64, given out as float32. Row i belongs to text i. ``normalize``:
    embeddings of unit length, whatever they are in the file.
    """

    texts: Path
    embeddings: Path
    normalize: bool = False

    def check(self) -> Iterator[tuple[str, str]]:
        if problem := problem_with(self.texts, (".txt", ".jsonl")):
            yield "texts", problem
        if problem := problem_with(self.embeddings, (".npy", ".safetensors")):
            yield "embeddings", problem
            return
        from core_engine_teachers.precomputed.embedding_file import embedding_matrix

        try:
            embedding_matrix(self.embeddings)
        except TeacherError as error:
            yield "embeddings", str(error)

    def embedding_dim(self) -> int | None:
        """From the file's header; None where that cannot be read."""
        from core_engine_teachers.precomputed.embedding_file import embedding_matrix

        if any(option == "embeddings" for option, _ in self.check()):
            return None
        return embedding_matrix(self.embeddings).shape[1]

    def build(self, context: TeacherContext) -> Lookup:
        """Reads headers only. TeacherError for files that cannot be used."""
        from core_engine_teachers.precomputed.lookup import Lookup

        for option, problem in self.check():
            raise TeacherError(f"{option}: {problem}")
        return Lookup(self)
