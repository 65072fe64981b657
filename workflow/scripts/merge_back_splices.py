"""Join the back-splice junctions of all libraries to one list of candidate circles.

A junction is the same in two libraries if ends and strand agree. The fragments are summed; which
candidates become circles is decided after they have been counted in every library.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ringmark.backsplice import JUNCTIONS
from ringmark.errors import program

PLACE = ["chrom", "start", "end", "strand"]


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Join the junctions of all libraries.")
    options.add_argument("--junctions", type=Path, nargs="+", required=True)
    options.add_argument("--output", type=Path, required=True)
    return options


def merge(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Sum the evidence of junctions over libraries, in order of place."""
    stacked = pd.concat(tables, ignore_index=True)
    if stacked.empty:
        return JUNCTIONS.empty()
    summed = stacked.groupby(PLACE, sort=True, as_index=False).agg(
        {"splice_motif": "first", "split_reads": "sum", "realigned_reads": "sum"}
    )
    return JUNCTIONS.frame(summed)


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Write the candidates of a study."""
    arguments = parser().parse_args(argv)
    JUNCTIONS.write(merge([JUNCTIONS.read(path) for path in arguments.junctions]), arguments.output)


if __name__ == "__main__":
    sys.exit(main())
