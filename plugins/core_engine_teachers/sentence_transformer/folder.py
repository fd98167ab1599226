"""What a Sentence Transformers folder says, read without that library and without loading weights.

The format is that of Sentence Transformers 2 to 6: ``modules.json`` lists the modules, each with a folder of its own.
Whatever would make embeddings differ from that library's is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from attrs import frozen

from core_engine.errors import TeacherError
from core_engine_teachers import model_folder
from core_engine_teachers.sentence_transformer.files import AGAIN, AbsentFileError, read_list, read_object, whole_number
from core_engine_teachers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    read_dense,
    read_normalize,
    read_pooling,
)
from core_engine_teachers.sentence_transformer.transformer import Transformer, read_transformer

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
_PACKAGE = "sentence_transformers."
#: Prompts that every model has, empty where the folder gives none.
_ALWAYS = ("query", "document")


@frozen
class SentenceFolder:
    """``steps`` follow pooling, in order. ``files``: all that was read here, besides the transformer's own.

    ``prompts``: by name; ``default_prompt``: the name of the one used where none is asked for. ``truncate``: how many
    of the dimensions are kept in the end, all where None.
    """

    root: Path
    transformer: Transformer
    pooling: Pooling
    steps: tuple[Dense | Normalize, ...]
    prompts: Mapping[str, str]
    default_prompt: str | None
    truncate: int | None
    files: tuple[Path, ...]

    def dim(self) -> int:
        """Dimensions of an embedding. Raises TeacherError where the modules do not fit one another."""
        hidden = model_folder.hidden_size(self.transformer.folder)
        if hidden is None:
            raise TeacherError(f"{self.transformer.folder}: config.json names no hidden size: not a text encoder")
        dim = hidden * len(self.pooling.modes)
        for step in self.steps:
            if isinstance(step, Dense):
                if step.inputs != dim:
                    raise TeacherError(
                        f"{step.config}: in_features is {step.inputs}, but what comes before gives {dim}; {AGAIN}"
                    )
                dim = step.outputs
        return dim if self.truncate is None else min(dim, self.truncate)

    def prompt(self, name: str | None) -> str:
        """The prompt of that name, else the default one, else none. Raises TeacherError."""
        asked = self.default_prompt if name is None else name
        if asked is None:
            return ""
        if asked in self.prompts:
            return self.prompts[asked]
        if name is None and asked in _ALWAYS:
            return ""
        known = ", ".join(sorted(self.prompts)) or "none"
        option = "prompt_name" if name is not None else "default_prompt_name"
        raise TeacherError(
            f"{self.root / SETTINGS}: has no prompt {asked!r} ({option}); it has: {known}. Set prompt_name to one of "
            f"these, or write the text itself as prompt"
        )


def read_folder(root: Path) -> SentenceFolder:
    """Raises TeacherError naming the file, the module where there is one, and the remedy."""
    if not root.is_dir():
        raise TeacherError(f"{root}: no such folder; give one that holds a model, or a hub id such as 'owner/name'")
    if not (root / MODULES).is_file():
        raise AbsentFileError(f"{root}: has no {MODULES}, so it is no Sentence Transformers folder: use type: hf")
    modules = [_module(root, entry) for entry in read_list(root / MODULES)]
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or {"Transformer", "Pooling"} & {*kinds[2:]}:
        raise TeacherError(
            f"{root / MODULES}: its modules are {', '.join(kinds) or 'none'}; this teacher takes a Transformer, then "
            f"Pooling, then any number of Dense and Normalize"
        )
    settings = _settings(root / SETTINGS)
    transformer, pooling = read_transformer(modules[0][1]), read_pooling(modules[1][1])
    steps = tuple(read_dense(path) if kind == "Dense" else read_normalize(path) for kind, path in modules[2:])
    own = [root / MODULES, root / SETTINGS, transformer.settings, pooling.config]
    for step in steps:
        own += [step.config, step.weights] if isinstance(step, Dense) else [step.config]
    return SentenceFolder(
        root=root,
        transformer=transformer,
        pooling=pooling,
        steps=steps,
        prompts=_prompts(root / SETTINGS, settings),
        default_prompt=settings.get("default_prompt_name"),
        truncate=whole_number(root / SETTINGS, settings, "truncate_dim", least=1),
        files=tuple(path for path in own if path is not None and path.is_file()),
    )


def problem(root: Path) -> str | None:
    """Why ``root`` cannot be used, and what to do about it; None where everything needed is there."""
    try:
        folder = read_folder(root)
        if found := model_folder.problem(folder.transformer.folder):
            return found
        folder.dim()
    except TeacherError as error:
        return str(error)
    return None


def absent(root: Path) -> str | None:
    """What a folder lacks that the hub may have; None where nothing, even if it cannot be used as it is."""
    try:
        return model_folder.problem(read_folder(root).transformer.folder)
    except AbsentFileError as error:
        return str(error)
    except TeacherError:
        return None


def _module(root: Path, entry: Any) -> tuple[str, Path]:
    """Kind and folder of one entry of modules.json."""
    file = root / MODULES
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str) or not isinstance(entry.get("path"), str):
        raise TeacherError(f"{file}: an entry is not an object with 'type' and 'path'; {AGAIN}")
    name, path = entry["type"], PureWindowsPath(entry["path"])  # it knows both separators, and drives
    kind = name.rpartition(".")[2]
    if not name.startswith(_PACKAGE) or kind not in {"Transformer", "Pooling", "Dense", "Normalize"}:
        raise TeacherError(
            f"{file}: module {name!r} is not supported: this teacher takes Transformer, Pooling, Dense and Normalize "
            f"of sentence_transformers. Compute the embeddings with that library and use type: precomputed"
        )
    if path.anchor or ".." in path.parts:
        raise TeacherError(f"{file}: the path {entry['path']!r} of module {name!r} leaves the folder; {AGAIN}")
    return kind, root.joinpath(*path.parts)


def _settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    settings = read_object(file)
    kind = settings.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise TeacherError(f"{file}: model_type is {kind!r}, not 'SentenceTransformer': it gives no text embeddings")
    return settings


def _prompts(file: Path, settings: dict[str, Any]) -> dict[str, str]:
    prompts, default = settings.get("prompts") or {}, settings.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise TeacherError(f"{file}: 'prompts' is not an object of texts; {AGAIN}")
    if not isinstance(default, str | None):
        raise TeacherError(f"{file}: 'default_prompt_name' is not a name; {AGAIN}")
    return {name: text or "" for name, text in prompts.items()}
