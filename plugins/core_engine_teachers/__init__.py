"""Bundled teachers: frozen text encoders loaded with Hugging Face transformers."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_teachers.hugging_face import HuggingFace
from core_engine_teachers.minilm import MiniLM
from core_engine_teachers.multi.config import Multi
from core_engine_teachers.precomputed.config import Precomputed
from core_engine_teachers.presets import Bert, CodeLlama, DistilBert, Gpt2, Llama, Mistral, Qwen, Roberta
from core_engine_teachers.sentence_transformer.config import SentenceTransformer

__all__ = [
    "Bert",
    "CodeLlama",
    "DistilBert",
    "Gpt2",
    "HuggingFace",
    "Llama",
    "MiniLM",
    "Mistral",
    "Multi",
    "Precomputed",
    "Qwen",
    "Roberta",
    "SentenceTransformer",
    "teachers",
]


@hookimpl
def teachers() -> list[Component]:
    return [
        Component("hf", HuggingFace),
        Component("minilm", MiniLM),
        Component("llama", Llama),
        Component("codellama", CodeLlama),
        Component("mistral", Mistral),
        Component("qwen", Qwen),
        Component("gpt2", Gpt2),
        Component("distilbert", DistilBert),
        Component("roberta", Roberta),
        Component("bert", Bert),
        Component("sentence_transformer", SentenceTransformer),
        Component("precomputed", Precomputed),
        Component("multi", Multi),
    ]
