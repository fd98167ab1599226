"""How the kernels are launched for a cell, a lattice, a batch and a GPU: pure arithmetic, no GPU needed.

Each pass runs in one of two regimes. Resident: the lattice of a sample, or of a few, fits the shared memory of one
block, which takes all steps in one launch. Stepwise: blocks take chunks of cells, with launches for every step.
Where resident does not fit, stepwise is tried; where that does not fit either, there is no plan, but a reason.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from attrs import frozen

from core_engine_kernels.fused_cuda.variants import Variant, padded_drive, variant
from core_engine_kernels.stencil.spec import CellSpec

_TILE = 16  # cells that a matrix instruction takes
_DIRECTIONS = 7
_REGISTERS = 65536  # of a multiprocessor, 32 bits each
#: Warps of a forward block, and how many registers of each thread may hold states: with 12 warps a thread has 168.
_FORWARD_WARPS = ((12, 32), (8, 96))
#: Warps of a backward block, and tiles of a chunk: fewer where shared memory is short.
_BACKWARD_CHOICES = ((12, 12), (8, 8), (12, 6), (8, 4))
_WORKING_REGISTERS = 72  # of a thread, beside the sums that it keeps


@frozen
class Gpu:
    """What a plan needs to know. ``shared``: bytes of shared memory that one block may have.

    ``resident``: False keeps every lattice out of the resident regime, so that both regimes can be checked on one.
    """

    multiprocessors: int
    shared: int
    resident: bool = True


@frozen
class Launch:
    """``shared`` bytes of a block. Resident: ``group`` samples to a block. Stepwise: ``group`` is 0."""

    variant: Variant
    shared: int
    group: int

    @property
    def resident(self) -> bool:
        return self.group > 0

    def grid(self, batch: int, cells: int, gpu: Gpu) -> int:
        """Blocks of a forward launch, or of the second of a backward step: one for each piece of work."""
        if self.resident:
            return -(-batch // self.group)
        # More blocks than can run at once load their weights for nothing.
        return min(batch * self._chunks(cells), 4 * gpu.multiprocessors)

    def summing_grid(self, batch: int, cells: int, gpu: Gpu) -> tuple[int, int]:
        """Blocks and slots of a launch that leaves a sum for each block: no more blocks than can run at once.

        A slot is a set of blocks that together see all cells of a sample.
        """
        room = gpu.multiprocessors * max(1, min(2, gpu.shared // self.shared))
        if self.resident:
            blocks = min(self.grid(batch, cells, gpu), room)
            return blocks, blocks
        chunks = self._chunks(cells)
        slots = min(batch, max(1, room // chunks))
        return min(chunks, room) * slots, slots

    def _chunks(self, cells: int) -> int:
        return -(-cells // (_TILE * self.variant.chunk))


@frozen
class Plan:
    """``pull``: the second launch of a stepwise backward step, None where backward is resident."""

    forward: Launch
    backward: Launch
    pull: Launch | None


@functools.lru_cache(maxsize=256)
def plan(spec: CellSpec, size: tuple[int, int, int], batch: int, gpu: Gpu) -> Plan | str:
    """The launches of a rollout, or in a few words why there are none."""
    forward = forward_launch(spec, size, batch, gpu)
    if isinstance(forward, str):
        return forward
    backward = backward_launch(spec, size, batch, gpu)
    if isinstance(backward, str):
        return backward
    if backward.resident:
        return Plan(forward, backward, None)
    for warps in (8, 4):
        shared = _weights(spec) + _rows(spec.hidden, _TILE * warps)
        if shared <= gpu.shared:
            return Plan(forward, backward, Launch(variant("backward_step_states", spec, warps=warps), shared, 0))
    return _too_much("the second sweep of a backward step", shared, gpu)


def forward_launch(spec: CellSpec, size: tuple[int, int, int], batch: int, gpu: Gpu) -> Launch | str:
    """Resident if states and weights fit, and the float32 states of a warp's tiles its registers."""
    cells = math.prod(size)
    for warps, state_registers in _FORWARD_WARPS:
        group = _group(cells, batch, _TILE * warps, gpu)
        tiles = _tiles(-(-group * cells // (_TILE * warps)), spec)
        shared = _resident_rows(spec, group * cells) + _weights(spec)
        if gpu.resident and shared <= gpu.shared and tiles * spec.channels // 2 <= state_registers:
            return Launch(variant("forward_resident", spec, warps=warps, tiles=tiles), shared, group)
    for fewer in (8, 4):
        shared = _weights(spec) + _rows(spec.channels, _DIRECTIONS * _TILE * fewer)
        if shared <= gpu.shared:
            return Launch(variant("forward_step", spec, warps=fewer), shared, 0)
    return _too_much("a forward step", shared, gpu)


def backward_launch(spec: CellSpec, size: tuple[int, int, int], batch: int, gpu: Gpu) -> Launch | str:
    """Resident if states, dz and weights fit; with as many warps as registers and shared memory allow."""
    choices = [(warps, chunk) for warps, chunk in _BACKWARD_CHOICES if _enough_registers(spec, warps)]
    if not choices:
        what = f"{spec.channels} channels and a hidden layer of {spec.hidden}"
        return f"{what} have more weights than a block has registers to sum their gradient in"

    def resident(warps: int, chunk: int) -> Launch:
        group = _group(math.prod(size), batch, _TILE * chunk, gpu)
        cells = group * math.prod(size)
        dz = _rows(spec.hidden, _padded(cells) + 1)
        shared = _weights(spec) + _resident_rows(spec, cells) + dz + _chunk(spec, chunk)
        return Launch(variant("backward_resident", spec, warps=warps, chunk=chunk), shared, group)

    def step(warps: int, chunk: int) -> Launch:
        cells = _TILE * chunk
        shared = _weights(spec) + _rows(spec.channels, _DIRECTIONS * cells) + _rows(spec.hidden, cells)
        return Launch(variant("backward_step", spec, warps=warps, chunk=chunk), shared + _chunk(spec, chunk), 0)

    regimes: list[Callable[[int, int], Launch]] = [resident, step] if gpu.resident else [step]
    launches = [regime(*choice) for regime in regimes for choice in choices]
    fitting = (launch for launch in launches if launch.shared <= gpu.shared)
    smallest = min(launches, key=lambda launch: launch.shared)
    return next(fitting, _too_much("a backward step", smallest.shared, gpu))


def _enough_registers(spec: CellSpec, warps: int) -> bool:
    """Whether a warp's share of the gradient's sums, see source/config.cuh, leaves room for all else."""
    unit = min(spec.hidden, 64)
    columns = (_DIRECTIONS * spec.channels + padded_drive(spec) + _outputs(spec)) // 16
    owned = -(-columns // (warps * unit // spec.hidden))
    # A multiprocessor's registers are in four parts, each for a quarter of the warps.
    registers = min(255, _REGISTERS // 4 // (32 * -(-warps // 4)) // 8 * 8)
    return owned * unit // 2 + _WORKING_REGISTERS <= registers


def _group(cells: int, batch: int, rows: int, gpu: Gpu) -> int:
    """Samples to a block: as many as fill its warps, but no more than keep all multiprocessors busy."""
    return max(1, min(rows // cells, -(-batch // gpu.multiprocessors)))


def _tiles(needed: int, spec: CellSpec) -> int:
    """Tiles are taken in pairs, but for a single one, and for gated cells, which need the registers."""
    return needed if needed == 1 or spec.gated else needed + needed % 2


def _outputs(spec: CellSpec) -> int:
    return 2 * spec.channels if spec.gated else spec.channels


def _padded(cells: int) -> int:
    return -(-cells // _TILE) * _TILE


def _piece(size: int) -> int:
    """Bytes that source/memory.cuh takes for a piece of shared memory."""
    return -(-size // 128) * 128


def _rows(width: int, count: int) -> int:
    """Bytes of ``Rows<width>`` in source/memory.cuh."""
    pitch = width if width & (width - 1) == 0 else width + 8
    return _piece(count * pitch * 2)


def _weights(spec: CellSpec) -> int:
    inputs = _DIRECTIONS * spec.channels + padded_drive(spec)
    return _rows(inputs, spec.hidden) + _rows(spec.hidden, _outputs(spec)) + _piece(_outputs(spec) * 4)


def _resident_rows(spec: CellSpec, cells: int) -> int:
    return _rows(spec.channels, _padded(cells) + 1) + _piece(_padded(cells))


def _chunk(spec: CellSpec, tiles: int) -> int:
    """Bytes of ``Chunk`` in source/backward.cuh."""
    cells = _TILE * tiles
    return _rows(spec.hidden, cells) + _rows(_outputs(spec), cells) + _rows(padded_drive(spec), cells)


def _too_much(what: str, shared: int, gpu: Gpu) -> str:
    return f"{what} needs {shared} bytes of shared memory and a block of this GPU has {gpu.shared}"
