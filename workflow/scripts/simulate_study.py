"""Simulate a study with known truth: genome, annotation, reads, samples sheet, configuration.

A random genome gets genes with introns and isoforms, circular RNAs of every type and m6A sites on
linear and circular RNA. Molecules are cut to fragments, fragments are immunoprecipitated and
sequenced, for replicates of two conditions that differ in planted genes, circles and sites. What
was planted and how many fragments cross each back-splice stands in the tables under ``truth/``.

Every parameter of the simulation is an option; a preset gives their defaults. The same options
give the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import Field, fields, replace
from pathlib import Path

from ringmark.errors import program
from ringmark.simulate import simulate_study
from ringmark.simulate_parameters import PRESETS, SimulationParameters


def parser() -> argparse.ArgumentParser:
    """Return the command line: one option for every field of `SimulationParameters`."""
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--output", type=Path, required=True, help="folder to write, new or empty")
    command.add_argument(
        "--preset", choices=sorted(PRESETS), default="tiny", help="defaults to start from (tiny)"
    )
    for item in fields(SimulationParameters):
        _add_option(command, item)
    return command


def _add_option(command: argparse.ArgumentParser, item: Field[object]) -> None:
    """Add the option of one parameter; absent options keep the preset's value."""
    flag = "--" + item.name.replace("_", "-")
    meaning = item.metadata["help"]
    if isinstance(item.default, bool):
        command.add_argument(
            flag, action=argparse.BooleanOptionalAction, default=None, help=meaning
        )
        return
    values = ", ".join(f"{name} {getattr(PRESETS[name], item.name)}" for name in sorted(PRESETS))
    command.add_argument(flag, type=type(item.default), help=f"{meaning} ({values})")


def parameters_from(options: argparse.Namespace) -> SimulationParameters:
    """Return the preset's parameters with the options given on the command line."""
    names = [item.name for item in fields(SimulationParameters)]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return replace(PRESETS[options.preset], **given)


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    options = parser().parse_args(argv)
    simulate_study(parameters_from(options), options.output)


if __name__ == "__main__":
    sys.exit(main())
