"""The fused CUDA kernels on a real GPU: equality with float64, races, speed against eager PyTorch and torch.compile.

For a machine with a CUDA build of PyTorch, attrs and pluggy, from a checkout of this repository; takes under eight
minutes. Prints a table and a line of JSON, and ends with exit code 1 where a check fails.

    python benchmarks/gpu_checks.py [--skip-speed] [--skip-sanitizer] [--batch 1024] [--rounds 15]

1. Output and gradients of a spread of cells in both regimes, against the reference in float64 on the CPU, and twice,
   which must give equal bits.
2. ``compute-sanitizer`` memcheck and racecheck over a small case, where that program is installed.
3. Medians of CUDA-event timings, the implementations taking turns within every round; forward without gradients, and
   forward and backward. ``pinned`` is the cell of the project's goals, ``default`` has positions and a gradient for its
   drive, ``core`` is the lattice of the default recipe.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

import attrs  # noqa: E402
import torch  # noqa: E402
from attrs import frozen  # noqa: E402
from core_engine_kernels.fused_cuda import backward_pass, forward_pass  # noqa: E402
from core_engine_kernels.fused_cuda.driver import launcher_for  # noqa: E402
from core_engine_kernels.fused_cuda.limits import refusal  # noqa: E402
from core_engine_kernels.stencil import op  # noqa: E402
from core_engine_kernels.stencil.rollout import rollout  # noqa: E402
from core_engine_kernels.stencil.spec import CellSpec  # noqa: E402
from torch import Tensor  # noqa: E402

from core_engine.errors import EngineError  # noqa: E402

Size = tuple[int, int, int]
GPU = torch.device("cuda", 0)
LIMIT = 5e-3
#: The slope of ReLU jumps, so a rounding may change the whole gradient of a hidden unit near zero.
RELU_GRADIENT_LIMIT = 5e-2
SEED = 5


@frozen(eq=False)
class Case:
    """A cell with random parameters and inputs, in float32 on the CPU."""

    spec: CellSpec
    size: Size
    steps: int
    every: int
    parameters: list[Tensor]
    state: Tensor
    drive: Tensor
    grad: Tensor
    sample_ids: Tensor

    @property
    def named(self) -> dict[str, Tensor]:
        return dict(zip(self.spec.parameter_shapes(self.size), self.parameters, strict=True))

    def to(self, device: torch.device, dtype: torch.dtype, parameter_dtype: torch.dtype) -> Case:
        return attrs.evolve(
            self,
            parameters=[value.to(device, parameter_dtype) for value in self.parameters],
            state=self.state.to(device, dtype),
            drive=self.drive.to(device, dtype),
            grad=self.grad.to(device, dtype),
            sample_ids=self.sample_ids.to(device),
        )


def make_case(spec: CellSpec, size: Size, batch: int, steps: int, every: int = 1) -> Case:
    source = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source)

    spread = (7 * spec.channels + spec.drive_channels) ** -0.5
    scale = {"state_weight": spread, "drive_weight": spread, "position": 1.0}
    out = 0.3 * spec.hidden**-0.5
    parameters = [scale.get(name, out) * normal(*shape) for name, shape in spec.parameter_shapes(size).items()]
    state, drive = normal(batch, *size, spec.channels), normal(batch, *size, spec.drive_channels)
    # Values that bf16 holds exactly, so that both dtypes start from the same.
    state, drive, grad = (value.bfloat16().float() for value in (state, drive, normal(*state.shape)))
    return Case(spec, size, steps, every, parameters, state, drive, grad, torch.arange(batch) * 7 + 3)


def spread() -> dict[str, Case]:
    """Cases for the comparison."""
    return {
        "plain 3x5x7": make_case(CellSpec(16, 1, position=False), (3, 5, 7), 3, 4),
        "pinned C16": make_case(CellSpec(16, 1, position=False), (8, 8, 12), 300, 3),
        "pinned C32": make_case(CellSpec(32, 1, position=False), (8, 8, 12), 140, 3),
        "eight steps": make_case(CellSpec(16, 4), (8, 8, 12), 4, 8, every=3),
        "one cell": make_case(CellSpec(16, 3, boundary="periodic", state_noise=0.3), (1, 1, 1), 700, 4, every=4),
        "gelu_tanh gated": make_case(
            CellSpec(16, 15, 64, "gelu_tanh", "gated", boundary="periodic", state_noise=0.3), (2, 3, 4), 33, 4, every=2
        ),
        "silu gated": make_case(CellSpec(32, 16, 32, "silu", "gated"), (3, 5, 7), 9, 3, every=3),
        "relu": make_case(CellSpec(32, 5, 64, "relu"), (2, 3, 4), 50, 2),
        "default core": make_case(CellSpec(32, 24, 128), (4, 2, 2), 1024, 4),
        "C64": make_case(CellSpec(64, 0, 64, state_noise=0.1), (4, 6, 10), 5, 3, every=2),
        "large": make_case(CellSpec(16, 2), (37, 37, 37), 2, 2),
    }


def run_fused(case: Case, resident: bool) -> list[Tensor]:
    """Final state and gradients of state, drive and parameters."""
    found = launcher_for(GPU)
    launcher = attrs.evolve(found, gpu=attrs.evolve(found.gpu, resident=resident))
    common = (launcher, case.spec, case.parameters, case.state, case.drive, case.sample_ids)
    final, kept = forward_pass.run(*common, case.steps, SEED, case.every, True)
    state, drive, parameters = backward_pass.run(*common, kept, case.grad, case.steps, SEED, case.every)
    torch.cuda.synchronize()
    return [final, state, drive, *parameters]


def run_exact(case: Case) -> list[Tensor]:
    exact = case.to(torch.device("cpu"), torch.float64, torch.float64)
    inputs = [value.requires_grad_() for value in (exact.state, exact.drive, *exact.parameters)]
    final = rollout(exact.spec, exact.named, exact.state, exact.drive, 0, exact.steps, SEED, exact.sample_ids)
    return [final.detach(), *torch.autograd.grad(final, inputs, exact.grad)]


def relative_error(given: Tensor, wanted: Tensor) -> float:
    error = float((given.double().cpu() - wanted).norm() / wanted.norm())
    return error if error == error else float("inf")


def check_equality() -> list[dict[str, object]]:
    """One row for each case, regime and dtype."""
    rows: list[dict[str, object]] = []
    for name, case in spread().items():
        wanted = run_exact(case)
        names = ["final", "state", "drive", *case.named]
        for resident in (True, False):
            for dtype in (torch.float32, torch.bfloat16):
                row: dict[str, object] = {"case": name, "resident": resident, "dtype": str(dtype)}
                moved = case.to(GPU, dtype, torch.float32)
                try:
                    given, again = run_fused(moved, resident), run_fused(moved, resident)
                except EngineError as error:
                    # What does not fit this GPU is not wrong.
                    unfit = "cannot run this cell" in str(error)
                    rows.append(row | {"ok": None if unfit else False, "reason": str(error)})
                    continue
                errors = {
                    key: relative_error(*pair)
                    for key, *pair in zip(names, given, wanted, strict=True)
                    if pair[1].numel()
                }
                limit = dict.fromkeys(errors, RELU_GRADIENT_LIMIT if case.spec.activation == "relu" else LIMIT)
                limit["final"] = LIMIT
                worst = max(errors, key=lambda key: errors[key] / limit[key])
                same = all(torch.equal(*pair) for pair in zip(given, again, strict=True))
                ok = same and errors[worst] <= limit[worst]
                row |= {"ok": ok, "final": errors["final"], "worst": worst, "error": errors[worst], "same bits": same}
                rows.append(row)
    return rows


def run_small_case() -> None:
    """What the sanitizer watches."""
    for spec in (CellSpec(16, 3), CellSpec(32, 3, 32, update="gated", boundary="periodic", state_noise=0.1)):
        for resident in (True, False):
            run_fused(make_case(spec, (3, 5, 7), 3, 2).to(GPU, torch.float32, torch.float32), resident)


def check_sanitizer() -> list[dict[str, object]]:
    program = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if program is None:
        return [{"tool": "compute-sanitizer", "ok": None, "reason": "not installed"}]
    rows: list[dict[str, object]] = []
    for tool in ("memcheck", "racecheck"):
        command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, __file__, "--small-case"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        except subprocess.TimeoutExpired:
            rows.append({"tool": tool, "ok": None, "reason": "took more than 100 seconds"})
            continue
        rows.append({"tool": tool, "ok": done.returncode == 0, "reason": (done.stdout + done.stderr)[-600:]})
    return rows


def speed_runs(case: Case, drive_gradient: bool, compiled: bool) -> dict[str, Callable[[], object]]:
    """Forward, and forward and backward, of every implementation; all in bf16, but for the fused one's parameters."""
    plain, fused = (case.to(GPU, torch.bfloat16, dtype) for dtype in (torch.bfloat16, torch.float32))

    def by_reference(state: Tensor, drive: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        named = dict(zip(plain.named, parameters, strict=True))
        return rollout(case.spec, named, state, drive, 0, case.steps, SEED, plain.sample_ids)

    def by_kernels(state: Tensor, drive: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        named = dict(zip(fused.named, parameters, strict=True))
        return op.rollout(case.spec, named, state, drive, case.steps, SEED, fused.sample_ids, case.every)

    implementations = {"fused": (by_kernels, fused), "eager": (by_reference, plain)}
    if compiled:
        torch._dynamo.reset()
        implementations["compiled"] = (torch.compile(by_reference, dynamic=False), plain)
    runs: dict[str, Callable[[], object]] = {}
    for name, (function, moved) in implementations.items():
        wanted = [moved.state, *moved.parameters] + ([moved.drive] if drive_gradient else [])
        for value in wanted:
            value.requires_grad_()

        def forward(function: Callable[..., Tensor] = function, moved: Case = moved) -> Tensor:
            with torch.no_grad():
                return function(moved.state, moved.drive, moved.parameters)

        def both(
            function: Callable[..., Tensor] = function, moved: Case = moved, wanted: list[Tensor] = wanted
        ) -> tuple[Tensor, ...]:
            return torch.autograd.grad(function(moved.state, moved.drive, moved.parameters), wanted, moved.grad)

        runs[f"{name} forward"], runs[f"{name} both"] = forward, both
    return runs


def milliseconds(run: Callable[[], object], repeats: int) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    elapsed: float = start.elapsed_time(end)
    return elapsed / repeats


def measure(name: str, case: Case, drive_gradient: bool, compiled: bool, rounds: int) -> dict[str, object]:
    if reason := refusal(case.spec, case.size, len(case.state), case.steps, torch.bfloat16, GPU):
        return {"case": name, "reason": reason}
    runs = speed_runs(case, drive_gradient, compiled)
    memory = {}
    for key, run in runs.items():
        run()  # compiles
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        memory[key] = (torch.cuda.max_memory_allocated() - before) / 2**20
    times: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            times[key].append(milliseconds(run, 3))
    median = {key: statistics.median(values) for key, values in times.items()}
    ratios = {
        key: statistics.median(slow / fast for slow, fast in zip(values, times[f"fused {key.split()[1]}"], strict=True))
        for key, values in times.items()
        if not key.startswith("fused")
    }
    cells, spec = case.state.shape[:4].numel(), case.spec
    inputs = 7 * spec.channels + spec.drive_channels
    operations = 2 * cells * case.steps * spec.hidden * (inputs + spec.channels * (2 if spec.gated else 1))
    return {
        "case": name,
        "milliseconds": median,
        "times faster": ratios,
        "peak MiB": memory,
        "fused forward TFLOP/s": operations / median["fused forward"] / 1e9,
    }


def measure_all(batch: int, rounds: int, deadline: float) -> list[dict[str, object]]:
    cases = [
        ("pinned C16", make_case(CellSpec(16, 1, position=False), (8, 8, 12), batch, 8), False, True),
        ("pinned C32", make_case(CellSpec(32, 1, position=False), (8, 8, 12), batch, 8), False, True),
        ("core", make_case(CellSpec(32, 24, 128), (4, 2, 2), batch, 4), True, False),
        ("core, batch 32", make_case(CellSpec(32, 24, 128), (4, 2, 2), 32, 4), True, False),
        ("default C16", make_case(CellSpec(16, 24), (8, 8, 12), batch, 8), True, False),
        ("default C32", make_case(CellSpec(32, 24), (8, 8, 12), batch, 8), True, False),
        ("37^3 C16, batch 8", make_case(CellSpec(16, 1, position=False), (37, 37, 37), 8, 8), False, False),
    ]
    rows: list[dict[str, object]] = []
    for name, case, drive_gradient, compiled in cases:
        if time.monotonic() > deadline:
            rows.append({"case": name, "reason": "no time left"})
        else:
            rows.append(measure(name, case, drive_gradient, compiled, rounds))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks and timings of the fused CUDA kernels.")
    parser.add_argument("--skip-speed", action="store_true")
    parser.add_argument("--skip-sanitizer", action="store_true")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--small-case", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("PyTorch finds no CUDA device", file=sys.stderr)
        return 1
    if options.small_case:
        run_small_case()
        return 0
    began = time.monotonic()
    device = {"name": torch.cuda.get_device_name(GPU), "torch": torch.__version__, "cuda": torch.version.cuda}
    report: dict[str, object] = {"device": device}
    equality = check_equality()
    for row in equality:
        print(row, flush=True)
    sanitizer = [] if options.skip_sanitizer else check_sanitizer()
    for row in sanitizer:
        print(row, flush=True)
    speed = [] if options.skip_speed else measure_all(options.batch, options.rounds, began + 400)
    for row in speed:
        print(row["case"])
        for key, value in row.items():
            print(f"    {key}: {value}", flush=True)
    report |= {"equality": equality, "sanitizer": sanitizer, "speed": speed, "seconds": time.monotonic() - began}
    print(json.dumps(report))
    failed = [row for row in (*equality, *sanitizer) if row["ok"] is False]
    print(f"{len(failed)} checks failed" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
