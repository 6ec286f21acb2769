"""Run one of the benchmarks: `python -m tests.benchmarks pages [--help]`."""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

import django

BENCHMARKS = ("pages",)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--output", type=Path, help="also write the report into this file")
    commands = parser.add_subparsers(dest="benchmark", required=True)
    modules = {name: import_module(f"tests.benchmarks.{name}") for name in BENCHMARKS}
    for name, module in modules.items():
        module.add_arguments(commands.add_parser(name, help=module.__doc__.splitlines()[0]))
    options = parser.parse_args()
    report = modules[options.benchmark].run(options)
    sys.stdout.write(report + "\n")
    if options.output:
        options.output.write_text(report + "\n")


main()
