"""Write samtools' statistics of a BAM, for MultiQC.

The statistics are those of ``samtools stats`` as it comes inside pysam; nothing is counted here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pysam

from ringmark.alignments import damaged
from ringmark.errors import program
from ringmark.files import write_text


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Write samtools' statistics of a BAM.")
    options.add_argument("--bam", type=Path, required=True)
    options.add_argument("--output", type=Path, required=True)
    return options


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Write the statistics of one BAM."""
    arguments = parser().parse_args(argv)
    try:
        text = pysam.stats(str(arguments.bam))
    except pysam.SamtoolsError as error:
        raise damaged(arguments.bam, error) from None
    write_text(str(text), arguments.output)


if __name__ == "__main__":
    sys.exit(main())
