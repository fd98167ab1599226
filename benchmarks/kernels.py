"""How fast the lattice is computed: every backend and its peers, in turns, in one process.

    python benchmarks/kernels.py [--json] [--full] [--threads 2]

The pinned cell: six neighbours, hidden layer of 64, exact GELU, residual update, zero boundary, one drive channel
without gradient, no position biases; 8 steps, float32. Times are milliseconds per lattice step, medians; ``fb`` is
forward and backward. ``peak_mb``: resident memory of forward and backward above the level before, in a process of its
own (not for JAX). ``error``: largest relative L2 error of the result and of every gradient against float64. The default
lattice is 8x8x12 at batch 32 with 16 and 32 channels; ``--full`` adds others. After these comes a cell as recipes use
it: position biases, gate, eight drive channels with gradient.

``compile`` is torch.compile of the form that it makes the fastest: forward padcat by 1x1 convolutions, forward and
backward the reference.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import asdict, define, frozen
from core_engine_kernels.fused_cpu.backend import FusedCpuBackend
from core_engine_kernels.stencil.cell import StencilCell
from core_engine_kernels.stencil.spec import CellSpec
from kernel_peers import Rollout, gather, jax_functions, padcat, padcat_by_convolution
from quiet import interleaved, peak_memory_mb
from torch import Tensor

from core_engine import RolloutCase
from core_engine.errors import EngineError

STEPS, HIDDEN = 8, 64
KERNELS = ("reference", "fused_cpu", "fused_cuda", "padcat", "gather", "compile", "jax")
Size = tuple[int, int, int]


@frozen
class Setting:
    """One lattice and batch."""

    size: Size
    batch: int
    channels: int
    recipe_cell: bool = False

    @property
    def spec(self) -> CellSpec:
        if self.recipe_cell:
            return CellSpec(self.channels, 8, HIDDEN, update="gated")
        return CellSpec(self.channels, 1, HIDDEN, position=False)

    @property
    def lattice(self) -> str:
        return "x".join(map(str, self.size))

    @property
    def forward_gflop(self) -> float:
        """Of one step: two for each multiply-add of the two layers."""
        spec = self.spec
        inputs = len(spec.offsets) * spec.channels + spec.drive_channels
        outputs = spec.channels * (2 if spec.gated else 1)
        return 2e-9 * self.batch * self.size[0] * self.size[1] * self.size[2] * HIDDEN * (inputs + outputs)


DEFAULT = [Setting((8, 8, 12), 32, 16), Setting((8, 8, 12), 32, 32)]
FULL = [
    *DEFAULT,
    *(Setting((8, 8, 12), batch, channels) for batch in (1, 2, 256) for channels in (16, 32)),
    *(Setting(size, 32, channels) for size in ((8, 8, 8), (12, 12, 12), (16, 16, 16)) for channels in (16, 32)),
    Setting((37, 37, 37), 2, 16),
]


@define
class Row:
    kernel: str
    lattice: str
    batch: int
    channels: int
    dtype: str = "float32"
    fwd_ms: float | None = None
    fb_ms: float | None = None
    peak_mb: float | None = None
    error: float | None = None
    skipped: str | None = None


@frozen(eq=False)
class Problem:
    """A cell and a batch, with values away from zero."""

    setting: Setting
    cell: StencilCell
    state: Tensor
    drive: Tensor
    cotangent: Tensor

    @classmethod
    def drawn(cls, setting: Setting) -> Problem:
        spec = setting.spec
        cell = StencilCell(spec, size=setting.size, seed=0)
        source = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, parameter in cell.named_parameters():
                scale = 1.0 if name == "position" else 0.5 * parameter.shape[-1] ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=source) * scale)
        shape = (setting.batch, *setting.size)
        state, cotangent = (torch.randn(*shape, spec.channels, generator=source) for _ in range(2))
        return cls(setting, cell, state, torch.randn(*shape, spec.drive_channels, generator=source), cotangent)

    @property
    def leaves(self) -> list[Tensor]:
        """What gradients are asked for: the state, the parameters, and in a recipe's cell the drive."""
        drive = [self.drive] if self.setting.recipe_cell else []
        return [self.state, *self.cell.parameters(), *drive]

    def in_double(self) -> Problem:
        cell = StencilCell(self.setting.spec, size=self.setting.size, seed=0).double()
        cell.load_state_dict(self.cell.state_dict())
        return Problem(self.setting, cell, self.state.double(), self.drive.double(), self.cotangent.double())


Run = Callable[[], list[Tensor]]


def of_rollout(problem: Problem, run: Callable[[], Tensor]) -> tuple[Run, Run]:
    """(forward, forward and backward): the result, and all gradients after it."""
    leaves = problem.leaves

    def forward() -> list[Tensor]:
        with torch.no_grad():
            return [run()]

    def both() -> list[Tensor]:
        for leaf in leaves:
            leaf.requires_grad_()
        result = run()
        return [result.detach(), *torch.autograd.grad(result, leaves, problem.cotangent)]

    return forward, both


def contenders(kernel: str, problem: Problem) -> tuple[Run, Run] | str:
    """Its forward, and its forward and backward; or why there are none."""
    setting, cell = problem.setting, problem.cell
    ids = torch.arange(setting.batch)
    if setting.recipe_cell and kernel not in ("reference", "fused_cpu", "fused_cuda"):
        return "it computes the pinned cell only"
    if kernel == "reference":
        return of_rollout(problem, lambda: cell(problem.state, problem.drive, STEPS, 0, ids))
    if kernel == "fused_cuda":
        return "no CUDA device on this machine" if not torch.cuda.is_available() else "see benchmarks/gpu_checks.py"
    if kernel == "fused_cpu":
        backend = FusedCpuBackend()
        device = torch.device("cpu")
        case = RolloutCase(cell.spec, setting.size, setting.batch, STEPS, torch.float32, device)
        reason = backend.supports(case)
        if reason is not None:
            return reason
        parameters = dict(cell.named_parameters())
        return of_rollout(
            problem,
            lambda: backend.rollout(cell.spec, parameters, problem.state, problem.drive, STEPS, 0, ids, None),
        )
    if kernel == "jax":
        return of_jax(problem)
    parameters = list(cell.parameters())

    def of(rollout: Rollout) -> tuple[Run, Run]:
        return of_rollout(problem, lambda: rollout(problem.state, problem.drive, parameters, STEPS))

    if kernel == "compile":
        compiled = torch.compile(padcat_by_convolution, fullgraph=True, dynamic=False)
        compiled_cell = torch.compile(cell, fullgraph=True, dynamic=False)
        forward = of(compiled)[0]
        return forward, of_rollout(problem, lambda: compiled_cell(problem.state, problem.drive, STEPS, 0, ids))[1]
    return of({"padcat": padcat, "gather": gather}[kernel])


def of_jax(problem: Problem) -> tuple[Run, Run] | str:
    try:
        forward, both = jax_functions(STEPS)
    except ImportError:
        return "JAX is not installed (make bench-install)"
    state, drive, cotangent = (tensor.detach().numpy() for tensor in (problem.state, problem.drive, problem.cotangent))
    parameters = [parameter.detach().numpy() for parameter in problem.cell.parameters()]

    def tensors(arrays: Sequence[Any]) -> list[Tensor]:
        return [torch.from_dlpack(array) for array in arrays]

    def forward_backward() -> list[Tensor]:
        result, (d_state, d_parameters) = both(state, drive, parameters, cotangent)
        return tensors([result, d_state, *d_parameters])

    return lambda: tensors([forward(state, drive, parameters)]), forward_backward


def exact(problem: Problem) -> list[Tensor]:
    """Result and gradients by the reference in float64, a few samples at a time: it is memory that is short."""
    double = problem.in_double()
    parts = []
    for start in range(0, problem.setting.batch, 8):
        rows = slice(start, start + 8)
        some = Problem(
            problem.setting, double.cell, double.state[rows].clone(), double.drive[rows].clone(), double.cotangent[rows]
        )
        ids = torch.arange(len(some.state))
        parts.append(of_rollout(some, lambda some=some, ids=ids: some.cell(some.state, some.drive, STEPS, 0, ids))[1]())
    by_sample = {0, 1} | ({len(parts[0]) - 1} if problem.setting.recipe_cell else set())
    return [
        torch.cat(of_parts) if n in by_sample else torch.stack(of_parts).sum(0)
        for n, of_parts in enumerate(zip(*parts, strict=True))
    ]


def relative_error(given: Tensor, wanted: Tensor) -> float:
    return float((given.double() - wanted).norm() / wanted.norm())


def measure(setting: Setting, rounds: int, threads: int, peak: FmaPeak | None) -> tuple[list[Row], float | None]:
    """A row for each kernel, and the FMA peak in the same run, GFLOP/s."""
    torch.compiler.reset()  # it gives up on a function that it has compiled for many shapes
    problem = Problem.drawn(setting)
    wanted = exact(problem)
    rows = [Row(kernel, setting.lattice, setting.batch, setting.channels) for kernel in KERNELS]
    tasks: dict[str, Callable[[], object]] = {}
    for row in rows:
        runs = contenders(row.kernel, problem)
        if isinstance(runs, str):
            row.skipped = runs
            continue
        row.error = max(relative_error(g, w) for g, w in zip(runs[1](), wanted, strict=True))
        tasks[f"{row.kernel} forward"], tasks[f"{row.kernel} both"] = runs
    if peak is not None:
        tasks["peak"] = peak
    seconds = interleaved(tasks, rounds)
    for row in rows:
        if row.skipped is None:
            row.fwd_ms = 1e3 * seconds[f"{row.kernel} forward"] / STEPS
            row.fb_ms = 1e3 * seconds[f"{row.kernel} both"] / STEPS
            # JAX keeps what its warm-up took, and then takes nothing.
            row.peak_mb = None if row.kernel == "jax" else memory_in_own_process(setting, row.kernel, threads)
    return rows, None if peak is None else peak.gflop / seconds["peak"]


def memory_in_own_process(setting: Setting, kernel: str, threads: int) -> float | None:
    request = json.dumps({"kernel": kernel, "setting": asdict(setting), "threads": threads})
    command = [sys.executable, __file__, "--memory", request]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: float | None = json.loads(done.stdout)
    return answer


def memory(request: Mapping[str, Any]) -> float | None:
    torch.set_num_threads(request["threads"])
    kernel = request["kernel"]
    setting = Setting(**{**request["setting"], "size": tuple(request["setting"]["size"])})
    problem = Problem.drawn(setting)
    # The libraries are loaded, and the code compiled, before the level is taken.
    same = kernel == "compile"
    small = Setting((2, 2, 2), 1, setting.channels, setting.recipe_cell)
    runs = contenders(kernel, problem if same else Problem.drawn(small))
    assert not isinstance(runs, str)
    runs[1]()
    if not same:
        runs = contenders(kernel, problem)
        assert not isinstance(runs, str)
    return peak_memory_mb(runs[1])


class FmaPeak:
    """What the processor can do: multiply-adds in registers, timed in turn with the kernels. EngineError where no
    compiler is found.
    """

    STEPS = 2_000_000

    def __init__(self, threads: int) -> None:
        source = Path(__file__).with_name("fma_peak.cpp")
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "fma_peak.so"
            # (The OpenMP runtime is torch's, which is in the process.)
            command = ["g++", "-O3", "-march=native", "-fopenmp", "-fPIC", "-c", str(source), "-o"]
            try:
                subprocess.run([*command, str(library.with_suffix(".o"))], check=True, capture_output=True)
                link = ["g++", "-shared", str(library.with_suffix(".o")), "-o", str(library)]
                subprocess.run(link, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise EngineError(f"the FMA peak is not measured: {error}") from error
            self._run = ctypes.CDLL(str(library)).multiply_adds
        self._run.restype = ctypes.c_double
        self._threads = threads
        self.gflop = self() / 1e9

    def __call__(self) -> float:
        operations: float = self._run(self._threads, ctypes.c_long(self.STEPS))
        return operations


def table(setting: Setting, rows: Sequence[Row], peak: float | None) -> None:
    kind = ", a cell as in recipes" if setting.recipe_cell else ""
    limit = "" if peak is None else f"; FMA peak {peak:.0f} GFLOP/s"
    print(f"\n{setting.lattice}, batch {setting.batch}, {setting.channels} channels{kind}{limit}")
    print(f"{'kernel':<11}{'fwd ms':>9}{'f+b ms':>9}{'x padcat':>15}{'of FMA peak':>15}{'peak MB':>9}{'error':>10}")
    base = next(row for row in rows if row.kernel == "padcat")
    for row in rows:
        if row.fwd_ms is None or row.fb_ms is None:
            print(f"{row.kernel:<11}  skipped: {row.skipped}")
            continue
        ratios = f"{base.fwd_ms / row.fwd_ms:.2f} {base.fb_ms / row.fb_ms:.2f}" if base.fwd_ms and base.fb_ms else ""
        # Forward and backward count as three forward passes, whatever is computed again.
        rates = [setting.forward_gflop / row.fwd_ms * 1e3, 3 * setting.forward_gflop / row.fb_ms * 1e3]
        shares = " ".join(f"{rate / peak:.2f}" for rate in rates) if peak else ""
        megabytes = "" if row.peak_mb is None else f"{row.peak_mb:.0f}"
        times = f"{row.fwd_ms:>9.3f}{row.fb_ms:>9.3f}"
        print(f"{row.kernel:<11}{times}{ratios:>15}{shares:>15}{megabytes:>9}{row.error:>10.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--full", action="store_true", help="more lattices and batches; takes an hour")
    parser.add_argument("--rounds", type=int, default=9, help="samples of each figure (default 9)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: all cores")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory is not None:
        print(json.dumps(memory(json.loads(arguments.memory))))
        return
    torch.set_num_threads(arguments.threads)
    fma: FmaPeak | None = None
    try:
        fma = FmaPeak(arguments.threads)
    except EngineError as error:
        print(error, file=sys.stderr)
    rows: list[Row] = []
    of_recipes: list[Row] = []
    peaks: list[float] = []
    for setting in [*(FULL if arguments.full else DEFAULT), Setting((8, 8, 12), 32, 16, recipe_cell=True)]:
        print(f"{setting.lattice}, batch {setting.batch}, {setting.channels} channels ...", file=sys.stderr)
        measured, peak = measure(setting, arguments.rounds, arguments.threads, fma)
        (of_recipes if setting.recipe_cell else rows).extend(measured)
        if peak is not None:
            peaks.append(peak)
        if not arguments.json:
            table(setting, measured, peak)
    if arguments.json:
        plain = [[asdict(row) for row in some] for some in (rows, of_recipes)]
        gflops = statistics.median(peaks) if peaks else None
        print(json.dumps({"fma_peak_gflops": gflops, "rows": plain[0], "recipe_cell_rows": plain[1]}))


if __name__ == "__main__":
    main()
