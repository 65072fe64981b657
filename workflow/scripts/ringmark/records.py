"""Records of a BAM as arrays, for programs that look at every read of a library.

`pysam` hands records on one by one, and asking each of a million for its fields takes many times as
long as unpacking the file. Here htslib unpacks the file and NumPy takes the fields of thousands of
records out of the bytes at once, as the SAM specification (section 4.2) lays them out.

Only what places a read on the genome is kept: no bases, no qualities, no tags. Names are kept as
checksums of 64 bits, enough to find the mate among the records whose places say that they are it.
Short reads have no CIGARs of more than 65,535 operations, which would stand in a tag.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pysam

from ringmark.intervals import IntArray

#: Unpacked bytes after which records are handed on: what a processor holds in its cache.
CHUNK = 1 << 22

_Hashes = npt.NDArray[np.uint64]

#: What stands before the name of a record.
_HEAD = np.dtype(
    [
        ("size", "<i4"),
        ("contig", "<i4"),
        ("start", "<i4"),
        ("name_size", "u1"),
        ("quality", "u1"),
        ("bin", "<u2"),
        ("operations", "<u2"),
        ("flag", "<u2"),
        ("bases", "<i4"),
        ("next_contig", "<i4"),
        ("next_start", "<i4"),
        ("span", "<i4"),
    ]
)
_FIELDS = ("contig", "start", "flag", "quality", "next_contig", "next_start")
_SIZE = struct.Struct("<I")
# odd numbers, one for each eight letters of a name of up to 255
_FACTORS: _Hashes = np.random.default_rng(1).integers(0, 2**63, 32, dtype=np.uint64) * 2 + 1


@dataclass(frozen=True)
class Records:
    """Some records of a BAM, in its order; arrays of shape (records,) where nothing else is said.

    Attributes
    ----------
    contig, start
        Number of the contig, -1 for none, and leftmost aligned base, 0-based.
    flag, quality
        Bits of the flag and mapping quality.
    next_contig, next_start
        The same of the mate.
    name
        Checksum of the read's name.
    sizes
        Operations of each CIGAR.
    operations
        Those of all records, as in BAM: length times 16 plus the code; shape (operations,).
    """

    contig: IntArray
    start: IntArray
    flag: IntArray
    quality: IntArray
    next_contig: IntArray
    next_start: IntArray
    name: _Hashes
    sizes: IntArray
    operations: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.start)

    def select(self, kept: npt.NDArray[np.bool_]) -> Records:
        """Return the records of a mask."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        operations = values.pop("operations")[np.repeat(kept, self.sizes)]
        return Records(
            **{name: value[kept] for name, value in values.items()}, operations=operations
        )

    def joined(self, other: Records) -> Records:
        """Return these records and then those of another one."""
        names = [item.name for item in fields(self)]
        return Records(
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names)
        )


def contig_names(path: str | Path) -> tuple[str, ...]:
    """Return the contigs of a BAM in the order of their numbers."""
    with pysam.AlignmentFile(str(path), "rb") as bam:
        return tuple(bam.references)


def read_records(
    path: str | Path, unused: int = 0, min_mapping_quality: int = 0
) -> Iterator[Records]:
    """Yield the records of a BAM, some thousands at a time.

    Parameters
    ----------
    unused
        Records with one of these bits in their flag are left out.
    min_mapping_quality
        Records below it are left out.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read or is cut short.
    """
    with pysam.BGZFile(str(path), "rb", None) as file:
        _skip_header(file)
        rest = b""
        while True:
            more = file.read(CHUNK)
            data = rest + more
            places = np.array(_places(data))
            found = _records(data, places[:-1], unused, min_mapping_quality)
            if len(found):
                yield found
            rest = data[places[-1] :]
            if not more:
                break
        if rest:
            raise ValueError("truncated file")


def _skip_header(file: pysam.BGZFile) -> None:
    """Read to the first record of a BAM."""

    def integer() -> int:
        number = file.read(_SIZE.size)
        if len(number) < _SIZE.size:
            raise ValueError("truncated file")
        return int(_SIZE.unpack(number)[0])

    if file.read(4) != b"BAM\1":
        raise ValueError("not a BAM file")
    file.read(integer())
    for _ in range(integer()):
        file.read(integer() + _SIZE.size)


def _places(data: bytes) -> list[int]:
    """Return where the whole records of unpacked bytes begin, and then where the last one ends."""
    places: list[int] = []
    place, size = 0, _SIZE.size
    last = len(data) - size
    unpack, add = _SIZE.unpack_from, places.append
    while place <= last:
        add(place)
        place += size + unpack(data, place)[0]
    return places if place > len(data) else [*places, place]


def _taken(data: bytes, places: IntArray, kind: npt.DTypeLike) -> npt.NDArray:
    """Return the values of a type that stand at places of unpacked bytes.

    NumPy copies bytes without a type several times faster than values that are not aligned.
    """
    size = np.dtype(kind).itemsize
    everywhere = np.ndarray(max(len(data) - size + 1, 0), f"V{size}", data, strides=1)
    return everywhere[places].view(kind)


def _records(data: bytes, places: IntArray, unused: int, min_mapping_quality: int) -> Records:
    """Take the records that are used out of unpacked bytes."""
    heads = _taken(data, places, _HEAD)
    used = ((heads["flag"] & unused) == 0) & (heads["quality"] >= min_mapping_quality)
    places = places[used]
    heads = _taken(data, places, _HEAD)
    names = places + _HEAD.itemsize
    name_sizes, sizes = heads["name_size"].astype(np.int64), heads["operations"].astype(np.int64)
    first = np.repeat(names + name_sizes - 4 * (np.cumsum(sizes) - sizes), sizes)
    return Records(
        **{name: heads[name].astype(np.int64) for name in _FIELDS},
        name=_checksums(data, names, name_sizes),
        sizes=sizes,
        operations=_taken(data, first + 4 * np.arange(len(first)), "<u4"),
    )


def _checksums(data: bytes, names: IntArray, sizes: IntArray) -> _Hashes:
    """Return a checksum of each name, a sum of its words times fixed random numbers."""
    found = np.zeros(len(names), dtype=np.uint64)
    for size in np.flatnonzero(np.bincount(sizes)).tolist():
        own = np.flatnonzero(sizes == size)
        words = -(-size // 8)
        letters = _taken(data, names[own], f"V{size}").astype(f"V{8 * words}")
        found[own] = letters.view("<u8").reshape(len(own), words) @ _FACTORS[:words]
    return found ^ (found >> np.uint64(29))
