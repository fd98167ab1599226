"""Kernels that come compiled with the package, so that common cells start at once.

``cubins.zip`` is written by ``python -m core_engine_kernels.fused_cuda.build``. Where it does not have a kernel, or was
built from other sources, NVRTC compiles the kernel from the same source: slower by a second, with the same result.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from zipfile import ZipFile

from attrs import frozen

from core_engine_kernels.fused_cuda.variants import SOURCE, Variant

ARCHIVE = Path(__file__).parent / "cubins.zip"
MANIFEST = "manifest.json"


@frozen
class Manifest:
    """``digest``: of the sources. ``toolkit``: major version of the CUDA release that compiled them."""

    digest: str
    toolkit: int
    names: frozenset[str]


def find(variant: Variant, capability: tuple[int, int], driver: int) -> bytes | None:
    """Machine code for a GPU under a driver that supports CUDA up to major version ``driver``, or None."""
    found = manifest(ARCHIVE)
    # Drivers load code of their own major version and of earlier ones.
    if found is None or found.digest != source_digest() or found.toolkit > driver:
        return None
    major, minor = capability
    # Code for one minor version runs on the later ones of its major version.
    for candidate in (name_of(variant, f"sm_{major}{lower}") for lower in range(minor, -1, -1)):
        if candidate in found.names:
            with ZipFile(ARCHIVE) as archive:
                return archive.read(candidate)
    return None


def name_of(variant: Variant, architecture: str) -> str:
    """Where the archive has a variant."""
    constants = "-".join(str(value) for value in variant.defines.values())
    return f"{architecture}/{variant.kernel}-{constants}.cubin"


@functools.cache
def manifest(path: Path) -> Manifest | None:
    """What the archive at ``path`` holds; None where there is none, as in a checkout that never built it."""
    if not path.exists():
        return None
    with ZipFile(path) as archive:
        told = json.loads(archive.read(MANIFEST))
        return Manifest(told["digest"], told["toolkit"], frozenset(archive.namelist()))


@functools.cache
def source_digest() -> str:
    """Of every file of the device code, with its name."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.glob("*.cuh")):
        digest.update(f"{path.name} {len(path.read_bytes())}\n".encode() + path.read_bytes())
    return digest.hexdigest()
