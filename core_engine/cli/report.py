"""``core-engine report RUN``: a finished run as a page that a person can read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from core_engine.host.host import PluginHost


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("report", parents=[common], help="a finished run as a page for people")
    parser.add_argument("run_dir", metavar="RUN", type=Path, help="run folder")
    parser.add_argument(
        "--data", metavar="FILE", type=Path, help="rows to report on, in place of the run's own test split"
    )
    parser.add_argument("--corpus", metavar="FILE", type=Path, help="texts to retrieve among, beside the answers")
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, help="where report.html and report/ go; the run folder by default"
    )
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    host = PluginHost.discover(arguments.disable_plugin)

    from core_engine.report.figures import draw_figures
    from core_engine.report.gather import gather
    from core_engine.report.page import render
    from core_engine.report.write import write_report
    from core_engine.run.folder import check_writable, require_run_dir

    require_run_dir(arguments.run_dir)
    folder = arguments.output or arguments.run_dir
    check_writable(folder)
    facts = gather(arguments.run_dir, arguments.data, arguments.corpus, host)
    figures = draw_figures(facts)
    page = write_report(folder, render(facts, figures), figures)
    print(facts.verdict.headline)
    print(f"report: {page}")
    return 0
