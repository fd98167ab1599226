"""``core-engine run RECIPE``: train, evaluate, and write the run folder."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from core_engine.cli.recipe_arguments import add_recipe_arguments, load_from_arguments


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("run", parents=[common], help="train and evaluate what a recipe describes")
    add_recipe_arguments(parser)
    parser.add_argument(
        "--resume",
        metavar="auto|PATH",
        help="go on with a run: its folder, one of its step checkpoints, or auto for the newest unfinished one",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object and nothing else")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    loaded, host = load_from_arguments(arguments)

    from core_engine.assembly.engine import Engine
    from core_engine.cli.show import print_result
    from core_engine.run.interrupt import stop_on_signals

    engine = Engine.from_loaded(loaded.recipe, host)
    with stop_on_signals() as request:
        result = engine.run(arguments.resume, should_stop=lambda step: request.signal is not None)
    if result is None:
        print("core-engine: stopped; go on with --resume auto", file=sys.stderr)
        return 128 + (request.signal or 0)
    if arguments.json:
        print(result.to_json(), end="")
    else:
        print_result(result)
    return 0
