"""Circles of genes with exons duplicated in tandem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_circles import EXONS, Spans, World, flip, make_world, put, toy_contig

from ringmark.backsplice import Junction, Limits
from ringmark.circles import name_of
from ringmark.tandem_copies import (
    Copies,
    StudyCounts,
    add_surplus,
    circles_with_a_common_end,
    find_copies,
    share_ends,
)

#: Exons 2 and 3 have one length here.
TWINS = (EXONS[0], (1800, 2000), (2500, 2700), *EXONS[3:])

LEFT = Junction("p", 1800, 2000, "+", "GT/AG", 2)
RIGHT = Junction("p", 2500, 2700, "+", "none", 2)
BOTH = Junction("p", 1800, 2700, "+", "GT/AG", 2)


def copies_world(
    folder: Path, start: int = 0, end: int = 0, transcripts: Sequence[Spans] = (TWINS,)
) -> World:
    """Make exon 3 a copy of exon 2, but for some bases of its beginning and its end."""
    bases = put(toy_contig("+"), 2000, "GT")
    copy = flip(bases[1800:2000], *range(2, 2 + start), *range(190, 190 + end))
    return make_world(folder, {"p": put(bases, 2500, copy)}, [("G", "p", "+", transcripts)])


def places(found: Sequence[Copies]) -> list[tuple[int, int, int, int]]:
    return [(one.left.start, one.left.end, one.right.start, one.right.end) for one in found]


@pytest.mark.parametrize(
    ("start", "end", "found"), [(0, 0, True), (2, 2, True), (3, 0, False), (0, 3, False)]
)
def test_copies_look_alike_at_both_ends(tmp_path: Path, start: int, end: int, found: bool) -> None:
    world = copies_world(tmp_path, start, end)
    expected = [(1800, 2000, 2500, 2700)] if found else []
    assert places(find_copies(world.annotation, world.genome, Limits())) == expected


def test_copies_without_an_intron_between_them_read_like_no_linear_rna(tmp_path: Path) -> None:
    world = copies_world(
        tmp_path, transcripts=[(EXONS[0], TWINS[1], EXONS[3]), (EXONS[0], TWINS[2], EXONS[3])]
    )
    assert find_copies(world.annotation, world.genome, Limits()) == []


def test_circles_of_copies_must_have_an_allowed_span(tmp_path: Path) -> None:
    world = copies_world(tmp_path)
    assert find_copies(world.annotation, world.genome, Limits(min_span=201)) == []
    assert len(find_copies(world.annotation, world.genome, Limits(min_span=200))) == 1


def test_an_ordinary_gene_has_no_copies(tmp_path: Path) -> None:
    world = make_world(tmp_path, {"p": toy_contig("+")}, [("G", "p", "+", [EXONS])])
    assert find_copies(world.annotation, world.genome, Limits()) == []


def test_each_copy_is_paired_with_its_neighbour(tmp_path: Path) -> None:
    exons = (EXONS[0], (1800, 2000), (2500, 2700), (3200, 3400), (4200, 4500))
    bases = toy_contig("+")
    for start in (2500, 3200):
        bases = put(bases, start, bases[1800:2000])
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [exons])])
    found = places(find_copies(world.annotation, world.genome, Limits()))
    assert found == [(1800, 2000, 2500, 2700), (2500, 2700, 3200, 3400)]


def test_circles_with_a_common_end(tmp_path: Path) -> None:
    world = copies_world(tmp_path)
    to_left = Junction("p", 1000, 2000, "+", "GT/AG", 2)
    candidates = [LEFT, BOTH, RIGHT, to_left]
    found = circles_with_a_common_end(candidates, world.annotation, world.genome)
    assert set(found) == {(LEFT, BOTH), (RIGHT, BOTH)}


# ---------------------------------------------------------------- counts


def counts_of(rows: Mapping[Junction, Mapping[str, Sequence[int]]]) -> StudyCounts:
    """Return counts by junction and name of the table; what is not given is 0."""
    names = [name_of(item) for item in rows]
    size = max(len(values) for row in rows.values() for values in row.values())
    tables = {
        name: pd.DataFrame(
            [list(row.get(name, [0] * size)) for row in rows.values()], index=names, dtype=int
        )
        for name in (
            "back_splice",
            "anchored",
            "shared",
            "linear_start",
            "linear_end",
            "closer",
        )
    }
    return StudyCounts(**tables)


def test_surplus_inside_makes_the_longer_circle(tmp_path: Path) -> None:
    """Of 20 fragments that fit both, the junction of the copies has 12 more than the next."""
    rows = {
        LEFT: {
            "back_splice": [9, 7],
            "shared": [8, 7],
            "anchored": [8, 3],
            "linear_end": [20, 12],
        },
        BOTH: {"back_splice": [2, 3], "shared": [2, 3], "linear_end": [10, 10]},
    }
    counts = counts_of(rows)
    share_ends(counts, [(LEFT, BOTH)])
    assert counts.back_splice.to_numpy().tolist() == [[1, 0], [10, 10]]
    assert counts.shared.to_numpy().tolist() == [[0, 0], [10, 10]]
    assert counts.anchored.to_numpy().tolist() == [[1, 0], [7, 3]]


@pytest.mark.parametrize("side", ["start", "end"])
@pytest.mark.parametrize(("inside", "longer"), [(20, False), (30, False), (31, True)])
def test_the_longer_circle_needs_more_than_half_its_fragments_inside(
    side: str, inside: int, longer: bool
) -> None:
    inner = LEFT if side == "end" else RIGHT
    linear = f"linear_{side}"
    counts = counts_of(
        {
            inner: {"back_splice": [10], "shared": [10], linear: [inside]},
            BOTH: {"back_splice": [10], "shared": [10], linear: [20]},
        }
    )
    share_ends(counts, [(inner, BOTH)])
    expected = [[0], [20]] if longer else [[20], [0]]
    assert counts.back_splice.to_numpy().tolist() == expected


def test_fragments_that_fit_one_circle_alone_stay(tmp_path: Path) -> None:
    counts = counts_of({LEFT: {"back_splice": [5]}, BOTH: {"back_splice": [7]}})
    share_ends(counts, [(LEFT, BOTH)])
    assert counts.back_splice.to_numpy().tolist() == [[5], [7]]


PAIR = [Copies(LEFT, RIGHT)]


def twins(
    before: Sequence[int], between: Sequence[int], behind: Sequence[int], closer: int = 0
) -> dict[Junction, dict[str, Sequence[int]]]:
    """Return counts of linear fragments before, between and behind two copies."""
    return {
        LEFT: {"linear_start": before, "linear_end": between},
        RIGHT: {
            "linear_start": between,
            "linear_end": behind,
            "closer": [closer] + [0] * (len(between) - 1),
        },
    }


def test_a_surplus_between_copies_is_a_circle() -> None:
    counts = counts_of(twins([10, 12], [60, 40], [8, 10]))
    add_surplus(counts, PAIR, [LEFT, RIGHT])
    assert counts.back_splice.to_numpy().tolist() == [[50, 28], [0, 0]]
    assert counts.shared.to_numpy().tolist() == [[50, 28], [0, 0]]
    assert counts.linear_end.to_numpy().tolist() == [[10, 12], [8, 10]]
    assert counts.linear_start.to_numpy().tolist() == [[10, 12], [60, 40]]
    assert counts.estimated == {"p:1800-2000:+": 78}


def test_a_surplus_goes_to_the_copy_that_reads_are_closer_to() -> None:
    counts = counts_of(twins([10, 12], [60, 40], [8, 10], closer=3))
    add_surplus(counts, PAIR, [LEFT, RIGHT])
    assert counts.back_splice.to_numpy().tolist() == [[0, 0], [50, 28]]
    assert counts.linear_start.to_numpy().tolist() == [[10, 12], [10, 12]]


@pytest.mark.parametrize(
    ("between", "closer", "found"),
    [(81, 0, False), (82, 0, True), (60, 5, False), (61, 5, True), (81, 4, False), (30, 30, False)],
)
def test_reads_that_are_closer_make_a_smaller_surplus_certain(
    between: int, closer: int, found: bool
) -> None:
    counts = counts_of(twins([30], [between], [30], closer))
    add_surplus(counts, PAIR, [LEFT, RIGHT])
    assert bool(counts.estimated) is found


@pytest.mark.parametrize(
    ("before", "behind"), [(60, 5), (5, 60)], ids=["ends in the copies", "begins in the copies"]
)
def test_transcripts_that_begin_or_end_in_the_copies_are_no_surplus(
    before: int, behind: int
) -> None:
    counts = counts_of(twins([before] * 3, [60] * 3, [behind] * 3))
    add_surplus(counts, PAIR, [LEFT, RIGHT])
    assert not counts.estimated and not counts.back_splice.to_numpy().any()


@pytest.mark.parametrize(
    ("junction", "surplus"),
    [
        # holds the junction of the copies, and none of the next ones
        (BOTH, False),
        # holds all three
        (Junction("p", 1000, 3450, "+", "GT/AG", 2), True),
        # holds the one before the copies
        (Junction("p", 1000, 2000, "+", "GT/AG", 2), True),
        (Junction("p", 1000, 2000, "-", "GT/AG", 2), True),
    ],
)
def test_other_circles_are_allowed_for(junction: Junction, surplus: bool) -> None:
    rows = twins([10], [60], [10]) | {junction: {"back_splice": [45]}}
    counts = counts_of(rows)
    add_surplus(counts, PAIR, list(rows))
    assert bool(counts.estimated) is surplus


def test_a_circle_that_holds_the_junction_before_the_copies_hides_a_surplus_no_longer() -> None:
    """Before the copies are 10 linear fragments and 50 of a circle that ends with the first."""
    other = Junction("p", 1000, 2000, "+", "GT/AG", 2)
    rows = twins([60], [80], [10]) | {other: {"back_splice": [50]}}
    counts = counts_of(rows)
    add_surplus(counts, PAIR, list(rows))
    assert counts.estimated == {"p:1800-2000:+": 70}


def test_a_surplus_that_chance_or_uneven_coverage_gives_is_none() -> None:
    random = np.random.default_rng(1)
    for depth in (3, 30, 300):
        for _ in range(200):
            uneven = random.lognormal(0, 0.15, 3) * depth
            before, between, behind = (random.poisson(mean, 6).tolist() for mean in uneven)
            counts = counts_of(twins(before, between, behind))
            add_surplus(counts, PAIR, [LEFT, RIGHT])
            assert not counts.estimated


def test_nothing_to_settle() -> None:
    counts = counts_of({LEFT: {"back_splice": [3]}})
    share_ends(counts, [])
    add_surplus(counts, [], [LEFT])
    assert counts.back_splice.to_numpy().tolist() == [[3]]
