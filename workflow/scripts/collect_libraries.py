"""Join what the sheet says of each library with what its alignment shows.

One row a library, in the order of the sheet: layout, read length, strandedness as used and as
declared, and how many of its fragments aligned and can be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from contrast_options import add_contrast_options, study_from
from ringmark.errors import InputError, program
from ringmark.study import Study
from ringmark.tables import LIBRARIES
from summarise_alignment import SUMMARY


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Make the table of libraries.")
    add_contrast_options(options)
    options.add_argument("--summaries", type=Path, nargs="+", required=True)
    options.add_argument("--output", type=Path, required=True)
    return options


def join(study: Study, summaries: pd.DataFrame) -> pd.DataFrame:
    """Return the table of libraries.

    Raises
    ------
    InputError
        If a library has no summary, or two.
    """
    by_name = summaries.set_index("library")
    problems = [
        f"{found} alignment summaries of library {library.name}"
        for library in study.libraries
        if (found := (by_name.index == library.name).sum()) != 1
    ]
    if problems:
        raise InputError(problems, "give one summary a library")
    rows = [
        by_name.loc[library.name].to_dict()
        | {
            "library": library.name,
            "sample": library.sample,
            "condition": library.condition,
            "assay": library.assay,
        }
        # an alignment without reads does not tell, the sheet does unless the reads are downloaded
        | ({"layout": "paired"} if any(run.fastq_2 for run in library.runs) else {})
        for library in study.libraries
    ]
    return LIBRARIES.frame(rows)


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Write the table of libraries."""
    arguments = parser().parse_args(argv)
    summaries = pd.concat([SUMMARY.read(path) for path in arguments.summaries])
    LIBRARIES.write(join(study_from(arguments), summaries), arguments.output)


if __name__ == "__main__":
    sys.exit(main())
