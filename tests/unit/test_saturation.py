import itertools

import numpy as np
import pytest
from toy_pairs import LAYOUT, ToyStudy

from ringmark.bins import Coverage
from ringmark.peaks import Peak, Thresholds
from ringmark.saturation import SHARES, Intervals, recovered, saturation
from ringmark.tables import SATURATION


def coverage(intervals, steps=10):
    """Return coverage by intervals of first and last step."""
    first, last = np.zeros(steps, np.int32), np.zeros(steps, np.int32)
    for start, end in intervals:
        first[start] += 1
        last[end] += 1
    count = len(intervals)
    return Coverage(
        first, last, np.array([count]), np.zeros(1001, np.int64), count, count, "digest"
    )


def test_beginnings_and_ends_are_paired_in_order():
    whole = coverage([(0, 6), (2, 3), (2, 8), (9, 9)])
    found = Intervals.of(whole, "a")
    assert found.first.tolist() == [0, 2, 2, 9]
    assert found.last.tolist() == [3, 6, 8, 9]


def test_all_kept_is_the_coverage_itself():
    whole = coverage([(0, 6), (2, 3), (2, 8), (9, 9)])
    intervals = Intervals.of(whole, "a")
    assert intervals.thinned(whole, 1.0) is whole
    nearly = intervals.thinned(whole, float(intervals.chance.max()) + 1e-9)
    assert (nearly.steps() == whole.steps()).all()


def test_parts_are_nested_and_of_their_share():
    whole = coverage([(place % 8, place % 8 + 2) for place in range(4000)])
    intervals = Intervals.of(whole, "a")
    depths = [intervals.thinned(whole, share).first for share in SHARES]
    for less, more in itertools.pairwise(depths):
        assert (less <= more).all()
    # four standard deviations of a binomial count
    for share, depth in zip(SHARES, depths, strict=True):
        assert abs(depth.sum() - 4000 * share) <= 4 * np.sqrt(4000 * share * (1 - share)) + 1e-9
    assert (intervals.thinned(whole, 0.25).steps() >= 0).all()


def test_what_is_kept_depends_on_the_name_alone():
    whole = coverage([(0, 3)] * 100)
    same = [Intervals.of(whole, name).thinned(whole, 0.5).first.sum() for name in ("a", "a")]
    assert same[0] == same[1]
    assert (Intervals.of(whole, "a").chance != Intervals.of(whole, "b").chance).any()


def test_an_empty_library_stays_empty():
    whole = coverage([])
    assert Intervals.of(whole, "a").thinned(whole, 0.5).first.sum() == 0


@pytest.mark.parametrize(
    ("peaks", "others", "share"),
    [
        ([(0, 10, 20, 15)], [(0, 0, 90, 19)], 1.0),
        ([(0, 10, 20, 15)], [(0, 0, 90, 20)], 0.0),
        ([(0, 10, 20, 15)], [(1, 10, 20, 15)], 0.0),
        ([(0, 10, 20, 15), (0, 30, 40, 35)], [(0, 10, 20, 12), (0, 10, 20, 14)], 0.5),
        ([(0, 10, 20, 15)], [], 0.0),
        ([], [(0, 10, 20, 15)], float("nan")),
    ],
)
def test_recovered(peaks, others, share):
    made = [[Peak(*bounds, 0.0) for bounds in rows] for rows in (peaks, others)]
    assert recovered(*made) == pytest.approx(share, nan_ok=True)


def test_saturation_of_a_condition():
    (condition,) = ToyStudy(2, (("a", 1),), depth=5_000).conditions()
    rows = saturation(condition, LAYOUT, Thresholds())
    table = SATURATION.frame(rows)
    assert table["condition"].tolist() == ["a"] * 4
    assert table["fraction"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert table["ip_fragments"].is_monotonic_increasing
    assert table["ip_fragments"].iloc[-1] == table["input_fragments"].iloc[-1] == 5_000
    # 50 genes have a site
    assert table["peaks"].iloc[-1] > 25
    assert table["peaks"].iloc[0] < 0.7 * table["peaks"].iloc[-1]
    assert table["recovered"].iloc[0] < table["recovered"].iloc[2] < table["recovered"].iloc[3] == 1
    assert saturation(condition, LAYOUT, Thresholds()) == rows


def test_saturation_without_fragments_or_peaks():
    study = ToyStudy(2, (("a", 1),))
    nothing = coverage([], LAYOUT.steps)
    study.libraries |= {"a1_ip": nothing, "a1_input": nothing}
    (condition,) = study.conditions()
    table = SATURATION.frame(saturation(condition, LAYOUT, Thresholds()))
    assert (table["peaks"] == 0).all() and (table["ip_fragments"] == 0).all()
    assert table["recovered"].isna().all()
