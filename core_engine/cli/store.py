"""``core-engine store ls | verify | prune | export``: look after stored embeddings."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from core_engine.cli.recipe_arguments import add_recipe_arguments, load_from_arguments


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("store", help="look after stored embeddings")
    commands = parser.add_subparsers(title="commands", dest="store_command", required=True, metavar="COMMAND")

    ls = commands.add_parser("ls", parents=[common], help="list the stores, one for each teacher")
    ls.set_defaults(handler=_ls)

    verify = commands.add_parser(
        "verify", parents=[common], help="check every bit of a recipe's store, and encode some of its texts again"
    )
    add_recipe_arguments(verify)
    verify.add_argument("--sample", type=_positive, default=64, metavar="N", help="texts to encode again (default 64)")
    verify.add_argument("--seed", type=int, default=0, help="which texts are drawn (default 0)")
    verify.set_defaults(handler=_verify)

    prune = commands.add_parser("prune", parents=[common], help="remove torn files and stores that nobody uses")
    prune.add_argument("--unused-for", type=float, metavar="DAYS", help="also stores not used for so many days")
    prune.add_argument("--store", metavar="NAME", help="this store alone, whole: a name, or its start")
    prune.add_argument("--dry-run", action="store_true", help="say what would go, and leave it")
    prune.set_defaults(handler=_prune)

    export = commands.add_parser("export", parents=[common], help="write a recipe's embeddings and texts to files")
    add_recipe_arguments(export)
    export.add_argument(
        "--output", metavar="FILE", type=Path, required=True, help=".npy or .safetensors; texts go to .jsonl beside it"
    )
    export.set_defaults(handler=_export)

    for command in (ls, verify, prune, export):
        command.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def _ls(arguments: argparse.Namespace) -> int:
    from core_engine.assembly.build import embeddings_dir
    from core_engine.store.folders import list_folders

    folders = [folder.to_dict() for folder in list_folders(embeddings_dir())]
    if arguments.json:
        print(json.dumps({"root": str(embeddings_dir()), "stores": folders}))
        return 0
    print(f"{_count(len(folders), 'store')} in {embeddings_dir()}")
    for folder in folders:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(folder["used"]))
        print(f"{Path(folder['folder']).name}  {folder['rows']:>9,} rows  {_size(folder['bytes']):>9}  used {used}")
        if folder["segments"]:
            words = ", ".join(f"{name} {value}" for name, value in folder["teacher"].items())
            print(f"    {words}; rows of {folder['dim']} x {folder['dtype']} in {_count(folder['segments'], 'file')}")
        elif not folder["useless"] and not folder["foreign"]:
            print("    empty")
        for name, why in (folder["useless"] | folder["foreign"]).items():
            print(f"    {name}: {why}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    loaded, _ = load_from_arguments(arguments)

    from core_engine.assembly.encoding import verify_recipe

    with redirect_stdout(sys.stderr):
        found = verify_recipe(loaded.recipe, arguments.sample, arguments.seed)
    if arguments.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['stored']} of {found['texts']} texts stored, every bit as written\n"
            f"worst cosine of {found['compared']} texts encoded again: {found['worst_cosine']:.7f}"
        )
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from core_engine.assembly.build import embeddings_dir
    from core_engine.store.folders import prune

    pruned = prune(embeddings_dir(), arguments.unused_for, arguments.store, arguments.dry_run)
    if arguments.json:
        rows = [{"path": str(one.path), "bytes": one.bytes, "why": one.why} for one in pruned]
        print(json.dumps({"dry_run": arguments.dry_run, "removed": rows}))
        return 0
    for one in pruned:
        print(f"{'would remove' if arguments.dry_run else 'removed'} {one.path} ({_size(one.bytes)}): {one.why}")
    if not pruned:
        print("there is nothing to remove")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    loaded, _ = load_from_arguments(arguments)

    from core_engine.assembly.encoding import export_recipe

    with redirect_stdout(sys.stderr):
        written = export_recipe(loaded.recipe, arguments.output)
    if arguments.json:
        print(json.dumps(written))
    else:
        print(f"{written['rows']} embeddings written to {written['embeddings']}, their texts to {written['texts']}")
    return 0


def _positive(word: str) -> int:
    number = int(word)
    if number < 1:
        raise ValueError
    return number


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
