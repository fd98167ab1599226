"""Components for well-known families of models: ``hf`` with defaults that suit the family, and no other models."""

from __future__ import annotations

from typing import Annotated, ClassVar

from attrs import field, frozen
from attrs.validators import min_len

from core_engine import FolderOrName
from core_engine_teachers.hugging_face import HuggingFace
from core_engine_teachers.options import Dtype, Padding, is_dtype, is_padding


@frozen(kw_only=True)
class Decoder(HuggingFace):
    """Defaults of decoder-only models.

    Their mean over all tokens says more of a text than its last token, which was trained to foretell the next one.
    They are published in the precision that they were trained in, which ``dtype: auto`` keeps, and padded on the left,
    as for generation. They take 131072 tokens or so, where a batch of one text could fill the memory: without
    ``max_length``, a text may have 512.
    """

    longest: ClassVar[int | None] = 512

    padding: Padding = field(default="left", validator=is_padding)
    dtype: Dtype = field(default="auto", validator=is_dtype)


@frozen(kw_only=True)
class Llama(Decoder):
    """LLaMA models: mean pooling, left padding, the precision of the published weights, at most 512 tokens.

    The hub gives most of them only to those who accepted their terms, so ``model`` has no default.
    Source: Touvron et al., 2023.
    """

    preset: ClassVar[str | None] = "llama"


@frozen(kw_only=True)
class CodeLlama(Decoder):
    """Code Llama models, of the LLaMA family: for texts that are program code; defaults as for ``llama``.

    Source: Roziere et al., 2023.
    """

    preset: ClassVar[str | None] = "codellama"


@frozen(kw_only=True)
class Mistral(Decoder):
    """Mistral models: mean pooling, left padding, the precision of the published weights, at most 512 tokens.

    Source: Jiang et al., 2023.
    """

    preset: ClassVar[str | None] = "mistral"


@frozen(kw_only=True)
class Qwen(Decoder):
    """Qwen 2 and 3 models, dense or mixtures of experts: mean pooling, left padding, at most 512 tokens.

    Those made for embeddings (Qwen3-Embedding) were trained with ``pooling: last``.
    Sources: Yang et al., 2024 and 2025.
    """

    preset: ClassVar[str | None] = "qwen"


@frozen(kw_only=True)
class Gpt2(Decoder):
    """GPT-2 models: mean pooling, left padding, at most 512 tokens; the small one unless ``model`` names another.

    Source: Radford et al., 2019.
    """

    preset: ClassVar[str | None] = "gpt2"

    model: Annotated[str, FolderOrName()] = field(default="openai-community/gpt2", validator=min_len(1))


@frozen(kw_only=True)
class DistilBert(HuggingFace):
    """DistilBERT models: mean pooling, right padding, float32; the uncased English one unless ``model`` says other.

    They were not trained for sentences, for which the mean is better than the first token (Reimers & Gurevych, 2019).
    Source: Sanh et al., 2019.
    """

    preset: ClassVar[str | None] = "distilbert"

    model: Annotated[str, FolderOrName()] = field(default="distilbert/distilbert-base-uncased", validator=min_len(1))


@frozen(kw_only=True)
class Roberta(HuggingFace):
    """RoBERTa, XLM-RoBERTa and CamemBERT models: mean pooling, right padding, float32; RoBERTa base by default.

    Sources: Liu et al., 2019; Conneau et al., 2020; Martin et al., 2020.
    """

    preset: ClassVar[str | None] = "roberta"

    model: Annotated[str, FolderOrName()] = field(default="FacebookAI/roberta-base", validator=min_len(1))


@frozen(kw_only=True)
class Bert(HuggingFace):
    """BERT models: mean pooling, right padding, float32; the uncased English base model by default.

    Its first token means something only after fine-tuning, hence the mean. Source: Devlin et al., 2019.
    """

    preset: ClassVar[str | None] = "bert"

    model: Annotated[str, FolderOrName()] = field(default="google-bert/bert-base-uncased", validator=min_len(1))
