"""Which preset takes which families of models."""

from __future__ import annotations

from pathlib import Path

from core_engine_teachers import model_folder

#: ``model_type`` in config.json, by the name of the component.
FAMILIES: dict[str, tuple[str, ...]] = {
    "llama": ("llama",),
    "codellama": ("llama",),
    "mistral": ("mistral",),
    "qwen": ("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next"),
    "distilbert": ("distilbert",),
    "roberta": ("roberta", "xlm-roberta", "camembert"),
    "bert": ("bert",),
    "gpt2": ("gpt2",),
}


def problem(preset: str | None, folder: Path, model: str) -> str | None:
    """Why the component ``preset`` cannot use ``folder``, asked for as ``model``; None where it can."""
    if preset is None:
        return None
    family = model_folder.model_type(folder)
    if family in FAMILIES[preset]:
        return None
    fitting = [f"type: {name}" for name, families in FAMILIES.items() if family in families]
    return (
        f"'{preset}' cannot use {model}, whose config.json says model_type {family}: use "
        f"{' or '.join([*fitting[:1], 'type: hf'])}"
    )
