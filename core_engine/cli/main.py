"""``core-engine``. Imports torch only in the commands that compute."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from core_engine.cli import (
    apply,
    check,
    compare,
    encode,
    evaluate,
    explain,
    kernels,
    plugins,
    prove,
    report,
    run,
    store,
    sweep,
)
from core_engine.errors import EngineError, RecipeError
from core_engine.log import configure_logging

#: Exit codes: 0 done; 2 wrong input, with the reason on stderr; 128 + n stopped by signal n.
BAD_INPUT = 2
INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    noise = common.add_mutually_exclusive_group()
    noise.add_argument("-v", "--verbose", action="store_true", help="log everything, with tracebacks of broken plugins")
    noise.add_argument("-q", "--quiet", action="store_true", help="log warnings only")
    common.add_argument(
        "--disable-plugin", action="append", default=[], metavar="NAME", help="do not load this plugin (repeatable)"
    )
    parser = argparse.ArgumentParser(
        prog="core-engine",
        description="Train small lattice cores behind frozen text encoders.",
        epilog="Start with: core-engine run RECIPE.yaml",
    )
    parser.add_argument("--version", action=_Version)
    subparsers = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for module in (
        run,
        sweep,
        check,
        prove,
        explain,
        kernels,
        encode,
        store,
        evaluate,
        compare,
        report,
        apply,
        plugins,
    ):
        module.add(subparsers, common)
    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version")

    def __call__(self, parser: argparse.ArgumentParser, *args: object, **kwargs: object) -> None:
        from importlib.metadata import version

        print(f"core-engine {version('core-engine')}")
        parser.exit()


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """argparse takes a list of positional arguments in one piece only; overrides may stand before and after options."""
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and (not hasattr(arguments, "overrides") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides += rest
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    configure_logging(1 if arguments.verbose else -1 if arguments.quiet else 0)
    try:
        code: int = arguments.handler(arguments)
        sys.stdout.flush()
    except RecipeError as error:
        # Lines that begin with path:line:column, as editors and other tools read them.
        print(error, file=sys.stderr)
        return BAD_INPUT
    except EngineError as error:
        print(f"core-engine: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("core-engine: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain about the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


if __name__ == "__main__":
    sys.exit(main())
