"""``core-engine sweep RECIPE key=a,b key=low..high``: train with many values, and say which are best."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_engine.cli.run import OUT_OF_TIME
from core_engine.errors import EngineError
from core_engine.host.host import PluginHost

if TYPE_CHECKING:
    from core_engine.sweep.plan import Plan

#: Exit code where every trial failed.
ALL_FAILED = 1


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("sweep", parents=[common], help="train with many values, and say which are best")
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="recipe file (YAML)")
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="KEY=VALUES",
        help="a list, such as lattice.kernel.hidden=16,32; a range, such as lattice.kernel.hidden=16..64 or "
        "train.optimizer.lr=log:1e-4..1e-2; or one value, for all trials",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="how many to make, where there is a range")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with a sweep; with no RECIPE")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object and nothing else")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise EngineError("a sweep makes its trials in one process; start it without torchrun")
    host = PluginHost.discover(arguments.disable_plugin)
    plan = _plan(arguments, host)

    from core_engine.cli.show import print_report
    from core_engine.run.interrupt import stop_on_signals
    from core_engine.sweep.folder import new_sweep
    from core_engine.sweep.trials import run_trials

    folder = new_sweep(plan) if arguments.resume is None else arguments.resume.absolute()
    # Whatever a plugin prints must not end up in the JSON.
    with redirect_stdout(sys.stderr if arguments.json else sys.stdout), stop_on_signals() as request:
        report = run_trials(folder, plan, host, request.asked)
    if not report.complete:
        print(f"core-engine: stopped; go on with: core-engine sweep --resume {folder}", file=sys.stderr)
        return OUT_OF_TIME if request.signal is None else 128 + request.signal
    if arguments.json:
        print(report.to_json(), end="")
    else:
        print_report(report)
    return ALL_FAILED if report.winner is None else 0


def _plan(arguments: argparse.Namespace, host: PluginHost) -> Plan:
    if arguments.resume is None:
        from core_engine.sweep.plan import make_plan

        if arguments.recipe is None:
            raise EngineError("a sweep needs a recipe, or --resume with the folder of one that was begun")
        return make_plan(arguments.recipe, arguments.overrides, arguments.trials, host)
    if arguments.recipe is not None or arguments.trials is not None:
        raise EngineError("--resume takes recipe, values and trials from the sweep's folder; give nothing else")
    from core_engine.sweep.folder import read_plan

    return read_plan(arguments.resume, host)
