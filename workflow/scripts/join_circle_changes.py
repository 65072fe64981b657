"""Join what changes of each circle: its expression, its ratio, its host gene and its m6A.

The comparisons between conditions stand in tables of their own; side by side they tell a circle
that goes up because its gene does from one that goes up by itself (``ringmark.circle_changes``). A
study without immunoprecipitation has NA for m6A.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ringmark.circle_changes import circle_changes
from ringmark.errors import program
from ringmark.tables import CIRCLE_CHANGES, CIRCLES, DETECTION, DIFFERENTIAL


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Join what changes of each circle.")
    options.add_argument("--circles", type=Path, required=True, help="catalogue of circles")
    options.add_argument("--expression", type=Path, required=True, help="comparison of circles")
    options.add_argument("--ratio", type=Path, required=True, help="comparison of ratios")
    options.add_argument("--genes", type=Path, required=True, help="comparison of genes")
    options.add_argument("--methylation", type=Path, help="comparison of the m6A of circles")
    options.add_argument("--detection", type=Path, help="m6A on circles and its limits")
    options.add_argument("--alpha", type=float, default=0.05, help="default %(default)s")
    options.add_argument("--output", type=Path, required=True)
    return options


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Join the tables."""
    options = parser().parse_args(argv)
    table = circle_changes(
        CIRCLES.read(options.circles),
        DIFFERENTIAL.read(options.expression),
        DIFFERENTIAL.read(options.ratio),
        DIFFERENTIAL.read(options.genes),
        DIFFERENTIAL.read(options.methylation) if options.methylation else None,
        DETECTION.read(options.detection) if options.detection else None,
        options.alpha,
    )
    CIRCLE_CHANGES.write(table, options.output)


if __name__ == "__main__":
    sys.exit(main())
