"""The fused CUDA kernels on a real GPU: equality with float64, races, speed against eager PyTorch and torch.compile.

For a machine with a CUDA build of PyTorch, attrs and pluggy, from a checkout of this repository; takes under eight
minutes. Prints a table and a line of JSON, and ends with exit code 1 where a check fails.

    python benchmarks/gpu_checks.py [--skip-speed] [--skip-sanitizer] [--batch 1024] [--rounds 15]

1. Output and gradients of a spread of cells in both regimes, against the reference in float64 on the CPU, and twice,
   which must give equal bits.
2. The operator as training calls it: from autograd's thread on a stream of its own, in a CUDA graph, and by
   ``torch.library.opcheck``.
3. Medians of CUDA-event timings, the implementations taking turns within every round; forward without gradients, and
   forward and backward. ``pinned`` is the cell of the project's goals, ``default`` has positions and a gradient for its
   drive, ``core`` is the lattice of the default recipe. A run whose host time is near its time is bound by launches.
4. ``compute-sanitizer`` memcheck, racecheck and synccheck over a small case, where that program is installed, in the
   time that is left.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

import attrs  # noqa: E402
import torch  # noqa: E402
from attrs import frozen  # noqa: E402
from core_engine_kernels.fused_cuda import backward_pass, forward_pass, nvrtc  # noqa: E402
from core_engine_kernels.fused_cuda.driver import capability, launcher_for  # noqa: E402
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
#: Seconds after the start from which no further cell is timed, and by which the sanitizer ends.
NO_TIMINGS_AFTER, END = 320, 460
#: Milliseconds that one timing lasts at least: short runs are repeated.
WINDOW = 20
Row = dict[str, object]


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
    with torch.no_grad():
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


def check_equality() -> Iterator[Row]:
    """One row for each case, regime and dtype."""
    for name, case in spread().items():
        wanted = run_exact(case)
        for resident in (True, False):
            for dtype in (torch.float32, torch.bfloat16):
                row: Row = {"case": name, "resident": resident, "dtype": str(dtype)}
                try:
                    moved = case.to(GPU, dtype, torch.float32)
                    row |= compare(case, run_fused(moved, resident), run_fused(moved, resident), wanted)
                except (EngineError, RuntimeError) as error:
                    # What does not fit this GPU is not wrong.
                    row |= {"ok": None if "cannot run this cell" in str(error) else False, "reason": str(error)}
                yield row


def compare(case: Case, given: list[Tensor], again: list[Tensor], wanted: list[Tensor]) -> Row:
    results = zip(["final", "state", "drive", *case.named], given, wanted, strict=True)
    errors = {name: relative_error(mine, exact) for name, mine, exact in results if exact.numel()}
    limit = dict.fromkeys(errors, RELU_GRADIENT_LIMIT if case.spec.activation == "relu" else LIMIT)
    limit["final"] = LIMIT
    worst = max(errors, key=lambda key: errors[key] / limit[key])
    same = all(torch.equal(*pair) for pair in zip(given, again, strict=True))
    ok = same and errors[worst] <= limit[worst]
    return {"ok": ok, "final": errors["final"], "worst": worst, "error": errors[worst], "same bits": same}


def check_operator() -> Iterator[Row]:
    """The same bits as without the operator, and what PyTorch asks of one."""
    case = make_case(CellSpec(16, 3, update="gated", state_noise=0.1), (3, 5, 7), 5, 3, every=2)
    case = case.to(GPU, torch.float32, torch.float32)
    given = case.state, case.drive, case.parameters, case.sample_ids, case.spec.text, case.steps, SEED, case.every

    def by_autograd() -> list[Tensor]:
        inputs = [value.requires_grad_() for value in (case.state, case.drive, *case.parameters)]
        final = op.stencil_rollout(*given, True)[0]
        return [final.detach(), *torch.autograd.grad(final, inputs, case.grad)]

    def on_a_stream() -> bool:
        wanted = run_fused(case, True)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            found = by_autograd()
        stream.synchronize()
        return all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))

    def in_a_graph() -> bool:
        wanted = run_fused(case, True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = by_autograd()
        graph.replay()
        torch.cuda.synchronize()
        return all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))

    def by_opcheck() -> bool:
        torch.library.opcheck(op.stencil_rollout, (*given, True))
        detached = [value.detach() for value in case.parameters]
        states = op.stencil_rollout(*given, True)[1]
        inputs = (case.grad, states, case.state.detach(), case.drive.detach(), detached, *given[3:])
        torch.library.opcheck(op.stencil_rollout_backward, inputs)
        return True

    for check in (on_a_stream, in_a_graph, by_opcheck):
        try:
            yield {"operator": check.__name__, "ok": check()}
        except Exception as error:  # opcheck has its own: whatever it is, the check failed
            yield {"operator": check.__name__, "ok": False, "reason": repr(error)[:600]}


def run_small_case() -> None:
    """What the sanitizer watches."""
    for spec in (CellSpec(16, 3), CellSpec(32, 3, 32, update="gated", boundary="periodic", state_noise=0.1)):
        for resident in (True, False):
            run_fused(make_case(spec, (3, 5, 7), 3, 2).to(GPU, torch.float32, torch.float32), resident)


def check_sanitizer(end: float) -> Iterator[Row]:
    program = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if program is None:
        yield {"tool": "compute-sanitizer", "ok": None, "reason": "not installed"}
        return
    # PyTorch puts small tensors side by side, where nothing notices a read beyond one: here each is by itself.
    environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    # Libraries that PyTorch loads ask the driver for functions that it may lack; that is no error in a kernel.
    for tool, *options in (("memcheck", "--report-api-errors", "no"), ("racecheck",), ("synccheck",)):
        command = [program, "--tool", tool, *options, "--error-exitcode", "9", sys.executable, __file__, "--small-case"]
        left = min(100.0, end - time.monotonic())
        if left < 10:
            yield {"tool": tool, "ok": None, "reason": "no time left"}
            continue
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=left, check=False)
        except subprocess.TimeoutExpired:
            yield {"tool": tool, "ok": None, "reason": f"took more than {left:.0f} seconds"}
            continue
        yield {"tool": tool, "ok": done.returncode == 0, "reason": (done.stdout + done.stderr)[-600:]}


def speed_runs(case: Case, drive_gradient: bool, compiled: bool) -> dict[str, Callable[[], object]]:
    """Forward, and forward and backward, of every implementation; all in bf16, but for the fused one's parameters."""
    plain, fused = (case.to(GPU, torch.bfloat16, dtype) for dtype in (torch.bfloat16, torch.float32))
    spec, steps, ids, names = case.spec, case.steps, plain.sample_ids, list(case.named)

    def by_reference(state: Tensor, drive: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        return rollout(spec, dict(zip(names, parameters, strict=True)), state, drive, 0, steps, SEED, ids)

    def by_kernels(state: Tensor, drive: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        return op.rollout(spec, dict(zip(names, parameters, strict=True)), state, drive, steps, SEED, ids, case.every)

    implementations = {"fused": (by_kernels, fused), "eager": (by_reference, plain)}
    if compiled:
        torch.compiler.reset()
        implementations["compiled"] = (torch.compile(by_reference, dynamic=False, fullgraph=True), plain)
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


def milliseconds(run: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Of one run: on the GPU, and until the host had asked for it."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    began = time.perf_counter()
    start.record()
    for _ in range(repeats):
        run()
    end.record()
    host = (time.perf_counter() - began) * 1e3
    end.synchronize()
    return start.elapsed_time(end) / repeats, host / repeats


def peak_memory(run: Callable[[], object]) -> float:
    """MiB beyond what was taken before."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def measure(case: Case, drive_gradient: bool, compiled: bool, rounds: int) -> Row:
    """``ok`` is False where a run of the kernels failed; others may fail."""
    if reason := refusal(case.spec, case.size, len(case.state), case.steps, torch.bfloat16, GPU):
        return {"ok": None, "reason": reason}
    runs, memory, failed = speed_runs(case, drive_gradient, compiled), {}, {}
    for key, run in list(runs.items()):
        try:
            run()  # compiles
            memory[key] = peak_memory(run)
        except RuntimeError as error:
            failed[key] = str(error)[:600]
            del runs[key]
    if any(key.startswith("fused") for key in failed):
        return {"ok": False, "failed": failed}
    repeats = {key: max(1, round(WINDOW / milliseconds(run, 1)[0])) for key, run in runs.items()}
    times: dict[str, list[float]] = {key: [] for key in runs}
    host: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            taken, asked = milliseconds(run, repeats[key])
            times[key].append(taken)
            host[key].append(asked)
    fused = {key: times[f"fused {key.split()[1]}"] for key in runs}
    table = {
        key: {
            "ms": statistics.median(values),
            "host ms": statistics.median(host[key]),
            "x fused": statistics.median(slow / fast for slow, fast in zip(values, fused[key], strict=True)),
            "peak MiB": memory[key],
        }
        for key, values in times.items()
    }
    cells, spec = case.state.shape[:4].numel(), case.spec
    inputs = 7 * spec.channels + spec.drive_channels
    operations = 2 * cells * case.steps * spec.hidden * (inputs + spec.channels * (2 if spec.gated else 1))
    rate = operations / table["fused forward"]["ms"] / 1e9
    return {"ok": True, "failed": failed, "runs": table, "fused forward TFLOP/s": rate}


def check_speed(batch: int, rounds: int, no_more_after: float) -> Iterator[Row]:
    cases = [
        ("pinned C16", make_case(CellSpec(16, 1, position=False), (8, 8, 12), batch, 8), False, True),
        ("pinned C32", make_case(CellSpec(32, 1, position=False), (8, 8, 12), batch, 8), False, True),
        ("core", make_case(CellSpec(32, 24, 128), (4, 2, 2), batch, 4), True, False),
        ("core, batch 32", make_case(CellSpec(32, 24, 128), (4, 2, 2), 32, 4), True, False),
        ("default C16", make_case(CellSpec(16, 24), (8, 8, 12), batch, 8), True, False),
        ("default C32", make_case(CellSpec(32, 24), (8, 8, 12), batch, 8), True, False),
        ("37^3 C16, batch 8", make_case(CellSpec(16, 1, position=False), (37, 37, 37), 8, 8), False, False),
    ]
    for name, case, drive_gradient, compiled in cases:
        row: Row = {"speed": name}
        if time.monotonic() > no_more_after:
            row |= {"ok": None, "reason": "no time left"}
        else:
            try:
                row |= measure(case, drive_gradient, compiled, rounds)
            except RuntimeError as error:
                row |= {"ok": False, "reason": str(error)[:600]}
        yield row


def printed(rows: Iterable[Row]) -> list[Row]:
    """Row by row, so that what was found is seen even if a later row ends the process."""
    found = []
    for row in rows:
        found.append(row)
        table = row.get("runs")
        print({key: value for key, value in row.items() if key != "runs"}, flush=True)
        if isinstance(table, dict):
            print(f"    {'':16} {'ms':>10} {'host ms':>10} {'x fused':>10} {'peak MiB':>10}")
            for name, values in table.items():
                print(f"    {name:16}" + "".join(f" {value:10.3f}" for value in values.values()), flush=True)
    return found


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
    torch.backends.cudnn.benchmark = True  # the other implementations get the fastest convolutions there are
    device: Row = {"name": torch.cuda.get_device_name(GPU), "torch": torch.__version__, "cuda": torch.version.cuda}
    device |= {"capability": capability(0), "nvrtc": nvrtc.version(), **attrs.asdict(launcher_for(GPU).gpu)}
    print(device, flush=True)
    report: dict[str, object] = {"device": device}
    report["equality"] = equality = printed(check_equality())
    report["operator"] = operator = printed(check_operator())
    speed = [] if options.skip_speed else printed(check_speed(options.batch, options.rounds, began + NO_TIMINGS_AFTER))
    sanitizer = [] if options.skip_sanitizer else printed(check_sanitizer(began + END))
    report |= {"speed": speed, "sanitizer": sanitizer, "seconds": time.monotonic() - began}
    print(json.dumps(report))
    failed = [row for row in (*equality, *operator, *speed, *sanitizer) if row["ok"] is False]
    print(f"{len(failed)} checks failed" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
