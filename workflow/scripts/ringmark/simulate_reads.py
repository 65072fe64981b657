"""From molecules to reads: fragmentation, immunoprecipitation, sequencing, FASTQ.

RNA is fragmented before the immunoprecipitation. Fragments are proposed from the molecules in
proportion to abundance and length, and kept with the chance that they are pulled down (in an
input: always), so an IP library is what the antibody leaves of the same fragments.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ringmark.files import whole_file
from ringmark.intervals import IntArray
from ringmark.simulate_expression import Expression, Library, molecule_weights
from ringmark.simulate_genome import BASES, COMPLEMENT, Letters
from ringmark.simulate_molecules import CIRCULAR, Pool
from ringmark.simulate_parameters import SimulationParameters
from ringmark.simulate_random import FloatArray, Stream

#: What a read runs into behind the fragment: adapters of read 1 and 2.
ADAPTERS = (b"AGATCGGAAGAGCACACGTCTGAACTCCAGTCA", b"AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGT")

GOOD, BAD = ord("F"), ord("#")

_SHORTEST_FRAGMENT = 30
_CHUNK = 50_000


@dataclass(frozen=True)
class Fragments:
    """Fragments of one library, in the order of sequencing.

    Attributes
    ----------
    molecules
        Index of the molecule each comes from, shape (fragments,).
    starts, lengths
        First letter in the pool and length, shape (fragments,).
    sense
        Whether read 1 is the fragment's 5' end; else it is its reverse complement.
    """

    molecules: IntArray
    starts: IntArray
    lengths: IntArray
    sense: npt.NDArray[np.bool_]

    def take(self, chosen: IntArray) -> Fragments:
        """Return the chosen fragments, in the order given."""
        return Fragments(
            self.molecules[chosen], self.starts[chosen], self.lengths[chosen], self.sense[chosen]
        )


def _join(parts: list[Fragments]) -> Fragments:
    return Fragments(
        np.concatenate([part.molecules for part in parts]),
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.sense for part in parts]),
    )


def local_bias(length: int, parameters: SimulationParameters) -> FloatArray:
    """Return the chance, at most 1, that a fragment starting at a genomic position is kept.

    It is a smooth random track that all libraries share, so inputs are uneven in the same places
    as their IPs.
    """
    knots = Stream(parameters.seed, 9).normal(length // 60 + 2)
    track = np.interp(np.arange(length), 60.0 * np.arange(len(knots)), knots)
    return np.exp(parameters.coverage_bias * np.minimum(track - 2.5, 0.0))


def escape_track(pool: Pool, expression: Expression, library: Library) -> FloatArray:
    """Return cumulated logarithms of the chance that a site does not pull its fragment down.

    Returns
    -------
    numpy.ndarray
        Shape (pool + 1,): the difference of two positions is that of the sites between them.
    """
    levels = expression.stoichiometry[pool.site_numbers, library.sample_number]
    track = np.zeros(len(pool.letters) + 1)
    np.add.at(track, pool.site_positions + 1, np.log1p(-library.efficiency * levels))
    return np.cumsum(track)


def _propose(
    pool: Pool, cumulative: FloatArray, size: int, parameters: SimulationParameters, stream: Stream
) -> Fragments:
    """Cut fragments from molecules drawn in proportion to their weights."""
    drawn = np.searchsorted(cumulative, stream.uniform(size) * cumulative[-1], side="right")
    molecules = np.minimum(drawn, len(cumulative) - 1)
    lengths = parameters.fragment_length + parameters.fragment_length_sd * stream.normal(size)
    longest = parameters.longest_fragment
    fragment = np.clip(np.rint(lengths).astype(np.int64), _SHORTEST_FRAGMENT, longest)
    circular = pool.kinds[molecules] == CIRCULAR
    whole = pool.lengths[molecules]
    fragment = np.where(circular, fragment, np.minimum(fragment, whole))
    places = np.where(circular, whole, whole - fragment + 1)
    offsets = np.floor(stream.uniform(size) * places).astype(np.int64)
    sense_rate = {
        "forward": 1 - parameters.strand_errors,
        "reverse": parameters.strand_errors,
        "unstranded": 0.5,
    }
    sense = stream.uniform(size) < sense_rate[parameters.strandedness]
    return Fragments(molecules, pool.starts[molecules] + offsets, fragment, sense)


def pull_down_chance(
    pool: Pool, fragments: Fragments, escape: FloatArray, expression: Expression, library: Library
) -> FloatArray:
    """Return the chance of each fragment to be in an IP library, shape (fragments,).

    The antibody binds unmethylated fragments with the background of library and gene, and each
    methylated site with its efficiency. A circle's fragment holds every site at most once.
    """
    circular = pool.kinds[fragments.molecules] == CIRCULAR
    turn = pool.lengths[fragments.molecules]
    spans = np.where(circular, np.minimum(fragments.lengths, turn), fragments.lengths)
    missed = np.exp(escape[fragments.starts + spans] - escape[fragments.starts])
    genes = pool.genes[fragments.molecules]
    factors = np.concatenate([expression.gene_background, [1.0]])[genes]
    return 1 - (1 - np.minimum(library.background * factors, 1.0)) * missed


def draw_fragments(
    pool: Pool,
    expression: Expression,
    library: Library,
    bias: FloatArray,
    parameters: SimulationParameters,
) -> Fragments:
    """Draw the fragments of one library.

    Parameters
    ----------
    bias
        Of `local_bias`.
    """
    stream = Stream(parameters.seed, 10, library.number)
    cumulative = np.cumsum(molecule_weights(pool, expression, library, parameters))
    escape = escape_track(pool, expression, library)
    unique = max(round(library.fragments * (1 - parameters.duplicate_fraction)), 1)
    batch = int(np.clip(8 * unique, 20_000, 500_000))
    kept: list[Fragments] = []
    missing = unique
    while missing > 0:
        proposed = _propose(pool, cumulative, batch, parameters, stream)
        chance = bias[pool.genome_positions[proposed.starts]]
        if library.assay == "ip":
            chance = chance * pull_down_chance(pool, proposed, escape, expression, library)
        accepted = np.flatnonzero(stream.uniform(batch) < chance)[:missing]
        kept.append(proposed.take(accepted))
        missing -= len(accepted)
    return _with_duplicates(_join(kept), library.fragments, stream)


def _with_duplicates(fragments: Fragments, size: int, stream: Stream) -> Fragments:
    """Repeat random fragments until there are ``size``, in random order."""
    unique = len(fragments.starts)
    if unique == size:
        return fragments
    chosen = np.concatenate([np.arange(unique), stream.integers(0, unique, size - unique)])
    return fragments.take(chosen[stream.permutation(size)])


# ---------------------------------------------------------------- sequencing


def perfect_reads(pool: Pool, fragments: Fragments, mate: int, read_length: int) -> Letters:
    """Read one end of each fragment, without errors.

    Parameters
    ----------
    mate
        0 for read 1, 1 for read 2.

    Returns
    -------
    numpy.ndarray
        Letters, shape (fragments, read_length): the fragment, then the adapter, then G, which is
        how a sequencer of two colours reports that there is nothing.
    """
    sense = (fragments.sense == (mate == 0))[:, np.newaxis]
    starts, lengths = fragments.starts[:, np.newaxis], fragments.lengths[:, np.newaxis]
    steps = np.arange(read_length)
    inside = np.minimum(steps, lengths - 1)
    letters = pool.letters[np.where(sense, starts + inside, starts + lengths - 1 - inside)]
    letters = np.where(sense, letters, COMPLEMENT[letters])
    tail = np.full(len(ADAPTERS[mate]) + read_length, ord("G"), dtype=np.uint8)
    tail[: len(ADAPTERS[mate])] = np.frombuffer(ADAPTERS[mate], dtype=np.uint8)
    short = np.flatnonzero(fragments.lengths < read_length)
    beyond = steps - fragments.lengths[short, np.newaxis]
    letters[short] = np.where(beyond >= 0, tail[np.maximum(beyond, 0)], letters[short])
    return letters


def _substitute(letters: Letters, hits: IntArray, stream: Stream) -> None:
    """Replace, in place, the letters at flat positions by others."""
    flat = letters.reshape(-1)
    codes = np.searchsorted(BASES, flat[hits])
    flat[hits] = BASES[(codes + stream.integers(1, 4, len(hits))) % 4]


def sequence(
    perfect: Letters, parameters: SimulationParameters, stream: Stream
) -> tuple[Letters, Letters]:
    """Add errors to perfect reads that are one letter longer than wanted.

    Returns
    -------
    tuple of numpy.ndarray
        Letters and qualities, each of shape (reads, read_length).
    """
    letters = perfect.copy()
    count, width = letters.shape
    for hit in stream.positions(letters.size, parameters.indel_rate).tolist():
        row, place = divmod(hit, width)
        if stream.chance(0.5):
            letters[row, place:-1] = letters[row, place + 1 :]
        else:
            letters[row, place + 1 :] = letters[row, place:-1].copy()
            letters[row, place] = BASES[stream.integer(0, 4)]
    letters = np.ascontiguousarray(letters[:, :-1])
    _substitute(letters, stream.positions(letters.size, parameters.substitution_rate), stream)
    qualities = np.full(letters.shape, GOOD, dtype=np.uint8)
    rows = stream.positions(count, parameters.low_quality_tails)
    tails = stream.integers(width // 2, width - 1, len(rows))
    bad = np.zeros(letters.shape, dtype=bool)
    bad[rows] = np.arange(width - 1) >= tails[:, np.newaxis]
    qualities[bad] = BAD
    places = np.flatnonzero(bad)
    _substitute(letters, places[stream.positions(len(places), 0.2)], stream)
    return letters, qualities


def format_fastq(
    letters: Letters, qualities: Letters, run: int, first: int, digits: int, suffix: str
) -> bytes:
    """Return FASTQ records; names are run and number, padded to one width."""
    count = len(letters)
    numbers = np.arange(first, first + count)
    powers = 10 ** np.arange(digits - 1, -1, -1)
    columns = (numbers[:, np.newaxis] // powers % 10 + ord("0")).astype(np.uint8)

    def constant(text: str) -> Letters:
        return np.tile(np.frombuffer(text.encode("ascii"), dtype=np.uint8), (count, 1))

    parts = [
        constant(f"@run{run}."),
        columns,
        constant(f"{suffix}\n"),
        letters,
        constant("\n+\n"),
        qualities,
        constant("\n"),
    ]
    return np.hstack(parts).tobytes()


def fastq_chunks(
    pool: Pool,
    fragments: Fragments,
    library: Library,
    run: int,
    mate: int,
    parameters: SimulationParameters,
) -> Iterator[bytes]:
    """Yield the FASTQ records of one mate of one run, some ten thousand at a time."""
    stream = Stream(parameters.seed, 11, library.number, run, mate)
    count = len(fragments.starts)
    digits = len(str(count))
    suffix = f"/{mate + 1}" if library.layout == "paired" else ""
    for first in range(0, count, _CHUNK):
        part = fragments.take(np.arange(first, min(first + _CHUNK, count)))
        perfect = perfect_reads(pool, part, mate, parameters.read_length + 1)
        letters, qualities = sequence(perfect, parameters, stream)
        yield format_fastq(letters, qualities, run, first + 1, digits, suffix)


def write_gzip(path: Path, chunks: Iterator[bytes], level: int) -> None:
    """Write a gzip file without name and time inside, complete or not at all."""
    with (
        whole_file(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=level) as handle,
    ):
        for chunk in chunks:
            handle.write(chunk)
