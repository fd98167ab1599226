"""Tiny models with random weights, of architectures that are used in earnest, saved as their owners save them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as t
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

WORDS = "where can i park my car near the hotel and is breakfast included for two dogs or cats at night"
TEXTS = [
    "where can i park my car",
    "breakfast",
    "is breakfast included for two dogs and two cats at the hotel near the park",
    "can dogs park",
    "the hotel",
    "where is my car at night and where is the cat",
    "dogs",
]
FAMILIES = ["bert", "roberta", "distilbert", "gpt2", "llama", "mistral", "qwen2"]
CAUSAL = {"gpt2", "llama", "mistral", "qwen2"}
QWEN_TOKENS = 200
POSITIONS = 24  # longest text that the models take, special tokens included


def save_model(family: str, folder: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = _build(family).eval()
        for parameter in model.parameters():  # far from the near-zero start, so that no detail is lost
            parameter.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    if family == "qwen2":  # transformers takes no other kind of tokenizer for it
        save_qwen_tokenizer(folder)
    elif family in CAUSAL:  # leaves the limit to config.json
        save_tokenizer(folder, causal=True)
    else:  # RoBERTa's tokenizer has to state it, as published ones do
        save_tokenizer(folder, causal=False, model_max_length=POSITIONS)


def save_tokenizer(folder: Path, causal: bool, **settings: Any) -> None:
    """A word-level tokenizer; a causal one has an end token but neither padding nor special tokens around a text."""
    names = ["<s>", "<pad>", "</s>", "<unk>"]  # padding is 1, as RoBERTa has it
    vocabulary = {word: i for i, word in enumerate([*names, *dict.fromkeys(WORDS.split())])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "<unk>", "eos_token": "</s>"}
    if not causal:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
        special |= {"pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"}
    t.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special, **settings).save_pretrained(folder)


def save_qwen_tokenizer(folder: Path) -> None:
    """Byte pairs, enough of them that each word, and each with the space before it, is one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = WORDS.split()
    tokenizer.train_from_iterator([*words, *(f" {w}" for w in words)], trainers.BpeTrainer(vocab_size=QWEN_TOKENS))
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    t.Qwen2Tokenizer(vocab=model["vocab"], merges=merges).save_pretrained(folder)


def _build(family: str) -> Any:
    size = {
        "vocab_size": 32,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    match family:
        case "bert":
            return t.BertModel(t.BertConfig(**size, max_position_embeddings=POSITIONS, pad_token_id=1))
        case "roberta":  # with its head and without pooler, as published ones are
            return t.RobertaForMaskedLM(t.RobertaConfig(**size, max_position_embeddings=POSITIONS + 2, pad_token_id=1))
        case "distilbert":
            shape = {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 4}
            return t.DistilBertModel(t.DistilBertConfig(vocab_size=32, max_position_embeddings=POSITIONS, **shape))
        case "gpt2":
            return t.GPT2Model(t.GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=4, n_positions=POSITIONS))
        case "llama":
            return t.LlamaForCausalLM(t.LlamaConfig(**size, num_key_value_heads=2, max_position_embeddings=POSITIONS))
        case "mistral":
            return t.MistralModel(t.MistralConfig(**size, num_key_value_heads=2, max_position_embeddings=POSITIONS))
        case "qwen2":
            own = {"vocab_size": QWEN_TOKENS, "num_key_value_heads": 2, "max_position_embeddings": POSITIONS}
            return t.Qwen2Model(t.Qwen2Config(**size | own))
    raise AssertionError(family)
