from __future__ import annotations

from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from test_count_genes import write_summary
from test_summarise_alignment import CONTIGS, pair, place, write_bam

import write_tracks
from ringmark.alignments import Mate, Placement, parse_cigar
from write_tracks import depth_runs

Runs = dict[str, list[tuple[int, int, float]]]


def write(folder: Path, fragments: list[list[Mate]], strandedness: str) -> tuple[Runs, Runs]:
    bam = write_bam(folder / "lib.bam", fragments)
    plus, minus = folder / "lib.plus.bw", folder / "lib.minus.bw"
    code = write_tracks.main(
        [
            "--bam", str(bam), "--summary", str(write_summary(folder, strandedness)),
            "--plus", str(plus), "--minus", str(minus),
        ]
    )  # fmt: skip
    assert code == 0
    return read(plus), read(minus)


def read(path: Path) -> Runs:
    with pyBigWig.open(str(path)) as track:
        assert track.chroms() == dict(CONTIGS)
        return {name: list(track.intervals(name) or ()) for name, _ in CONTIGS}


EMPTY: Runs = {"one": [], "two": []}


@pytest.mark.parametrize("strandedness", ["forward", "unstranded"])
def test_an_empty_bam_gives_valid_tracks(tmp_path: Path, strandedness: str) -> None:
    assert write(tmp_path, [], strandedness) == (EMPTY, EMPTY)


def test_strands_have_their_tracks(tmp_path: Path) -> None:
    fragments = [
        pair(place(100, "+"), place(120, "-")),
        pair(place(300, "-", chrom="two"), place(250, "+", chrom="two")),
    ]
    plus, minus = write(tmp_path, fragments, "forward")
    assert plus == {"one": [(100, 170, 500_000)], "two": []}
    assert minus == {"one": [], "two": [(250, 350, 500_000)]}
    assert write(tmp_path, fragments, "reverse") == (minus, plus)


def test_unstranded_coverage_is_in_the_plus_track(tmp_path: Path) -> None:
    fragments = [pair(place(100, "+"), place(120, "-")), pair(place(120, "-"), place(100, "+"))]
    plus, minus = write(tmp_path, fragments, "unstranded")
    assert plus == {"one": [(100, 170, 1_000_000)], "two": []}
    assert minus == EMPTY


def test_introns_and_weak_alignments_are_left_out(tmp_path: Path) -> None:
    spliced = Placement("one", 100, "+", parse_cigar("20M60N30M"), 60, 0)
    fragments = [
        [Mate("A" * 50, "I" * 50, (spliced,))],
        [Mate("A" * 50, "I" * 50, (place(500, "+", 3),))],
        [Mate("A" * 50, "I" * 50)],
        [Mate("A" * 50, "I" * 50, (place(110, "+"),))],
    ]
    plus, _ = write(tmp_path, fragments, "forward")
    once, twice = pytest.approx(1e6 / 3), pytest.approx(2e6 / 3)
    assert plus["one"] == [(100, 110, once), (110, 120, twice), (120, 160, once), (180, 210, once)]


def test_an_unresolved_strandedness_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bam = write_bam(tmp_path / "lib.bam", [])
    code = write_tracks.main(
        [
            "--bam", str(bam), "--summary", str(write_summary(tmp_path, "auto")),
            "--plus", str(tmp_path / "p.bw"), "--minus", str(tmp_path / "m.bw"),
        ]
    )  # fmt: skip
    assert code == 1
    assert "'auto'" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.bw"))


def test_depth_is_that_of_every_base() -> None:
    random = np.random.default_rng(5)
    starts = random.integers(0, 200, 50)
    ends = starts + random.integers(1, 40, 50)
    expected = np.zeros(300, dtype=int)
    for start, end in zip(starts, ends, strict=True):
        expected[start:end] += 1
    found = np.zeros(300, dtype=int)
    runs = depth_runs(starts, ends)
    for start, end, depth in zip(*runs, strict=True):
        found[start:end] = depth
    assert found.tolist() == expected.tolist()
    assert (np.diff(runs[2]) != 0)[runs[0][1:] == runs[1][:-1]].all()


def test_no_block_has_no_depth() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert [len(part) for part in depth_runs(nothing, nothing)] == [0, 0, 0]
