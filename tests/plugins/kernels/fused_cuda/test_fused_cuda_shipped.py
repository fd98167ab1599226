"""The archive of compiled kernels: it is that of the source, and is used only where it fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve
from core_engine_kernels.fused_cuda import shipped
from core_engine_kernels.fused_cuda.build import ARCHITECTURES, variants
from core_engine_kernels.fused_cuda.plan import Plan, plan
from core_engine_kernels.fused_cuda.shipped import Manifest, find, manifest, name_of, source_digest
from core_engine_kernels.fused_cuda.variants import variant
from core_engine_kernels.stencil.spec import CellSpec

REBUILD = "run python -m core_engine_kernels.fused_cuda.build and commit cubins.zip"


@pytest.fixture
def told() -> Manifest:
    found = manifest(shipped.ARCHIVE)
    assert found is not None, REBUILD
    return found


def test_the_archive_is_that_of_the_source(told: Manifest) -> None:
    assert told.digest == source_digest(), f"the device code changed: {REBUILD}"


def test_the_archive_has_what_the_build_lists(told: Manifest) -> None:
    listed = {name_of(kernel, name) for name, gpu in ARCHITECTURES.items() for kernel in variants(gpu)}
    assert told.names == listed | {shipped.MANIFEST}, REBUILD
    assert shipped.ARCHIVE.stat().st_size < 2**20


def test_the_core_of_the_quickstart_starts_at_once(told: Manifest) -> None:
    found = plan(CellSpec(32, 24, 128), (4, 2, 2), 32, ARCHITECTURES["sm_90"])
    assert isinstance(found, Plan)
    for launch in (found.forward, found.backward):
        code = find(launch.variant, (9, 0), told.toolkit)
        assert code is not None
        assert code.startswith(b"\x7fELF")


def test_code_runs_on_later_minor_versions_only(told: Manifest) -> None:
    kernel = variants(ARCHITECTURES["sm_100"])[0]
    assert find(kernel, (10, 3), told.toolkit) == find(kernel, (10, 0), told.toolkit) is not None
    assert find(kernel, (11, 0), told.toolkit) is None


def test_older_drivers_do_not_get_newer_code(told: Manifest) -> None:
    kernel = variants(ARCHITECTURES["sm_90"])[0]
    assert find(kernel, (9, 0), told.toolkit - 1) is None
    assert find(kernel, (9, 0), told.toolkit + 1) is not None


def test_other_cells_are_left_to_the_compiler(told: Manifest) -> None:
    kernel = variants(ARCHITECTURES["sm_90"])[0]
    assert find(evolve(kernel, gated=True), (9, 0), told.toolkit) is None
    assert find(variant("forward_step", CellSpec(16, 99), warps=8), (9, 0), told.toolkit) is None


def test_a_stale_archive_is_not_used(told: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "source_digest", lambda: "of other sources")
    assert find(variants(ARCHITECTURES["sm_90"])[0], (9, 0), told.toolkit) is None


def test_a_missing_archive_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "ARCHIVE", tmp_path / "cubins.zip")
    assert find(variants(ARCHITECTURES["sm_90"])[0], (9, 0), 13) is None
