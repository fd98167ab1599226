"""``core-engine run RECIPE``: train, evaluate, and write the run folder."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from core_engine.cli.recipe_arguments import add_recipe_arguments, load_from_arguments
from core_engine.log import configure_logging

if TYPE_CHECKING:
    from core_engine.host.host import PluginHost
    from core_engine.recipe.load import LoadedRecipe
    from core_engine.training.ranks import Ranks

#: Exit code where ``train.max_time`` was over: sysexits' "try again later".
OUT_OF_TIME = 75


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

    from core_engine.training.ranks import launched_ranks

    with launched_ranks() as ranks:
        if not ranks.writes:
            configure_logging(-1)  # they do what the first does, which tells of it
        return _run(arguments, loaded, host, ranks)


def _run(arguments: argparse.Namespace, loaded: LoadedRecipe, host: PluginHost, ranks: Ranks) -> int:
    from core_engine.assembly.engine import Engine
    from core_engine.assembly.resume import find_checkpoint, require_same_recipe
    from core_engine.cli.show import print_result
    from core_engine.run.folder import LOCK_FILE, run_label
    from core_engine.run.interrupt import stop_on_signals

    if arguments.resume is not None:
        # Before data are read and texts encoded, which can take long.
        checkpoint = find_checkpoint(
            arguments.resume, loaded.recipe.output, run_label(loaded.recipe.name, loaded.recipe.control)
        )
        if checkpoint is not None:
            require_same_recipe(checkpoint.path.parent.parent, loaded.recipe)
    # Whatever a plugin prints must not end up in the JSON.
    with redirect_stdout(sys.stderr if arguments.json else sys.stdout):
        engine = Engine.from_loaded(loaded.recipe, host)
        with stop_on_signals() as request:
            result = engine.run(arguments.resume, should_stop=lambda step: request.asked())
    if result is not None:
        if arguments.json:
            print(result.to_json(), end="")
        else:
            print_result(result)
        return 0
    if ranks.writes:
        run_dir = engine.run_dir
        print(
            f"core-engine: stopped; go on with: core-engine run {run_dir}/{LOCK_FILE} --resume {run_dir}",
            file=sys.stderr,
        )
    elif engine.finished:
        return 0
    return OUT_OF_TIME if request.signal is None else 128 + request.signal
