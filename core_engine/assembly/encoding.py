"""The embedding store of a recipe: filling it, checking it, and taking its rows elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import structlog
import torch

from core_engine.assembly.build import build_embedder, build_sources, resolve_device
from core_engine.assembly.files import embedding_writer
from core_engine.data.rows import target_texts_of, texts_of
from core_engine.errors import DataError
from core_engine.log import ensure_logging
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed
from core_engine.recipe.schema import Filters, Recipe, Split
from core_engine.run.folder import write_atomically
from core_engine.store.folders import damaged
from core_engine.teaching.embed import fill
from core_engine.teaching.embedder import Embedder
from core_engine.teaching.units import launched_share

log = structlog.get_logger("core_engine.teaching")

#: Cosine between a stored row and the same text encoded again: below it something other than rounding is at work.
SAME = 0.999


def encode_recipe(recipe: Recipe) -> dict[str, Any]:
    """Fills the store with every text that a run of the recipe needs; under ``torchrun``, with this process's share.

    Gives the figures as plain data.
    """
    embedder, texts = _opened(recipe)
    share = launched_share()
    figures = fill(texts, embedder.teacher, embedder.store, share)
    found = {"folder": str(embedder.store.folder), "rank": share.rank, "processes": share.size, **figures.to_dict()}
    if embedder.further:
        targets = target_texts_of(build_sources(recipe, embedder), *_preparation(recipe))
        found["further"] = {
            name: {"folder": str(other.store.folder), **fill(targets, other.teacher, other.store, share).to_dict()}
            for name, other in embedder.further.items()
        }
    embedder.close()
    return found


def verify_recipe(recipe: Recipe, sample: int, seed: int) -> dict[str, Any]:
    """Looks at every bit of the recipe's store, and encodes ``sample`` of its texts again.

    Gives plain data with ``worst_cosine``. DataError where a segment is damaged, where a text is stored as something
    else than the teacher makes of it now, and where there is nothing to compare.
    """
    embedder, texts = _opened(recipe)
    store = embedder.store
    broken = damaged(store.folder)
    if broken:
        raise DataError(
            f"{broken[0]}: damaged: not the bits that were written ({len(broken)} such): remove them with "
            f"'core-engine store prune', and encode again"
        )
    missing = set(store.missing(texts))
    stored = [text for text in texts if text not in missing]
    if not stored:
        raise DataError(f"{store.folder}: holds none of the recipe's {len(texts)} texts; fill it: core-engine encode")
    generator = torch.Generator().manual_seed(seed)
    chosen = [stored[i] for i in torch.randperm(len(stored), generator=generator)[:sample].tolist()]
    live = embedder.teacher.encode(chosen)
    embedder.close()
    cosine = torch.nn.functional.cosine_similarity(live.double(), store.get(chosen).double())
    worst = int(cosine.argmin())
    if not cosine[worst] >= SAME:
        raise DataError(
            f"{store.folder}: the stored embedding of {chosen[worst][:80]!r} has a cosine of {cosine[worst]:.6f} with "
            f"what the teacher gives now: remove the store with 'core-engine store prune --store {store.folder.name}', "
            f"and encode again"
        )
    return {
        "folder": str(store.folder),
        "texts": len(texts),
        "stored": len(stored),
        "compared": len(chosen),
        "worst_cosine": float(cosine[worst]),
    }


def export_recipe(recipe: Recipe, output: Path) -> dict[str, Any]:
    """Writes the embeddings of the recipe's texts to ``output``, and the texts beside it, line i for row i.

    The two files are what the teacher ``precomputed`` reads. DataError where a text is not in the store.
    """
    write = embedding_writer(output)
    beside = output.with_suffix(".jsonl")
    embedder, texts = _opened(recipe)
    missing = embedder.store.missing(texts)
    if missing:
        raise DataError(
            f"{embedder.store.folder}: lacks {len(missing)} of the recipe's {len(texts)} texts; fill it first: "
            f"core-engine encode"
        )
    write(embedder.store.get(texts))
    write_atomically(beside, "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts))
    return {"rows": len(texts), "embeddings": str(output), "texts": str(beside)}


def _opened(recipe: Recipe) -> tuple[Embedder, list[str]]:
    ensure_logging()
    embedder = build_embedder(recipe, resolve_device(recipe.device))
    texts = texts_of(build_sources(recipe, embedder), *_preparation(recipe))
    if embedder is None:
        raise DataError("the recipe names no teacher; name one under 'teacher'")
    return embedder, texts


def _preparation(recipe: Recipe) -> tuple[Autoencoder | Dialogue | Mixed, Filters, Split, int]:
    return recipe.mode, recipe.data.filters, recipe.data.split or Split(), recipe.seed
