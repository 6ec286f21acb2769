"""Run one of the benchmarks: `python -m tests.benchmarks pages [--help]`."""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

import django

from tests.benchmarks.report import Report

BENCHMARKS = ("faults", "importing", "pages", "verification")


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    modules = {name: import_module(f"tests.benchmarks.{name}") for name in BENCHMARKS}
    for name, module in modules.items():
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0])
        command.add_argument("--output", type=Path, help="also write the report into this folder")
        module.add_arguments(command)
    options = parser.parse_args()
    report = modules[options.benchmark].run(options)
    if isinstance(report, str):
        report = Report(report)
    sys.stdout.write(report.text + "\n")
    if options.output:
        report.write(options.output, options.benchmark)


main()
