"""Compiles the kernels of common cells for the GPUs in use: ``python -m core_engine_kernels.fused_cuda.build``.

Needs NVRTC, no GPU, and half a minute. To be run after every change of the device code; a test compares digests.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from core_engine_kernels.fused_cuda import nvrtc, shipped
from core_engine_kernels.fused_cuda.plan import Gpu, plan
from core_engine_kernels.fused_cuda.variants import Variant
from core_engine_kernels.stencil.spec import CellSpec

#: Multiprocessors and shared memory of a block of the largest GPU of each architecture.
ARCHITECTURES = {
    "sm_80": Gpu(108, 166912),
    "sm_90": Gpu(132, 232448),
    "sm_100": Gpu(148, 232448),
    "sm_120": Gpu(170, 101376),
}
_BENCHMARKED = ((8, 8, 12), (8, 8, 8), (4, 2, 2))
CASES = (
    *((CellSpec(channels, 1), size) for channels in (16, 32) for size in _BENCHMARKED),
    (CellSpec(32, 24, 128), (4, 2, 2)),  # the core of configs/quickstart.yaml
)
BATCHES = (32, 1024)


def variants(gpu: Gpu) -> list[Variant]:
    """The kernels that the listed cases take on a GPU."""
    found: set[Variant] = set()
    for spec, size in CASES:
        for batch in BATCHES:
            launches = plan(spec, size, batch, gpu)
            if not isinstance(launches, str):
                found |= {launches.forward.variant, launches.backward.variant}
                found |= {launches.pull.variant} if launches.pull else set()
    return sorted(found, key=str)


def build(path: Path) -> None:
    """Writes the archive."""
    contents = {
        shipped.name_of(variant, architecture): nvrtc.compile_variant(variant, architecture).cubin
        for architecture, gpu in ARCHITECTURES.items()
        for variant in variants(gpu)
    }
    manifest = {"digest": shipped.source_digest(), "toolkit": nvrtc.version()[0]}
    contents[shipped.MANIFEST] = json.dumps(manifest).encode()
    with ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in contents.items():
            # Without the date of today, equal kernels make equal archives.
            archive.writestr(ZipInfo(name), content, zipfile.ZIP_LZMA)


if __name__ == "__main__":
    build(shipped.ARCHIVE)
    print(f"{shipped.ARCHIVE}: {shipped.ARCHIVE.stat().st_size // 1024} KiB")
