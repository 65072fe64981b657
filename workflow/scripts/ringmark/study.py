"""The study: libraries, runs, IP/input pairs and the contrast, read from the samples sheet.

Every mistake that can be seen in the sheet is found here, all at once, each with its file, row,
value and remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Run:
    """One sequencing run: a row of the samples sheet.

    Attributes
    ----------
    row
        Line of the sheet, the header being line 1.
    """

    row: int
    fastq_1: Path | None = None
    fastq_2: Path | None = None
    accession: str | None = None


@dataclass(frozen=True)
class Library:
    """What becomes one BAM: one or more runs of one library.

    Attributes
    ----------
    assay
        ``input`` (also plain RNA-seq) or ``ip``.
    strandedness
        As declared: ``auto``, ``unstranded``, ``forward`` or ``reverse``.
    covariates
        The sheet's further columns.
    """

    name: str
    sample: str
    condition: str
    assay: str
    runs: tuple[Run, ...] = ()
    strandedness: str = "auto"
    input_library: str | None = None
    covariates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """An IP with the input it is compared to."""

    ip: Library
    input: Library

    @property
    def sample(self) -> str:
        """The specimen of the IP."""
        return self.ip.sample

    @property
    def condition(self) -> str:
        """The condition of the IP."""
        return self.ip.condition


@dataclass(frozen=True)
class Contrast:
    """What is compared: ``test`` over ``reference`` of ``factor``, beside ``covariates``."""

    factor: str
    test: str
    reference: str
    covariates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """All libraries of a study, in the order of the sheet."""

    libraries: tuple[Library, ...]
    pairs: tuple[Pair, ...]
    contrast: Contrast

    @property
    def inputs(self) -> tuple[Library, ...]:
        """Libraries that measure expression."""
        return tuple(item for item in self.libraries if item.assay == "input")

    @property
    def ips(self) -> tuple[Library, ...]:
        """Immunoprecipitated libraries."""
        return tuple(item for item in self.libraries if item.assay == "ip")

    def design(self, libraries: tuple[Library, ...]) -> pd.DataFrame:
        """Return factor and covariates of libraries, only those of the contrast's two levels.

        Returns
        -------
        pandas.DataFrame
            Index: library names; columns: the contrast's factor, then its covariates.
        """
        raise NotImplementedError
