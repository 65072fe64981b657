import numpy as np
import pytest

from ringmark.annotation import Gene, Transcript
from ringmark.bins import Coverage
from ringmark.intervals import Blocks
from ringmark.summits import (
    TRIM,
    find_extents,
    fragment_length,
    make_profile,
    site_shape,
    transcript_places,
)

STEP, FRAGMENT = 5, 150


def coverage_of(*lengths):
    counts = np.bincount(np.array(lengths, dtype=np.int64), minlength=1001)
    nothing = np.zeros(0, np.int32)
    return Coverage(nothing, nothing, np.zeros(0, int), counts, 0, 0, "")


def gene_of(*exon_sets):
    transcripts = []
    for index, exons in enumerate(exon_sets):
        bounds = np.array(exons, dtype=np.int64)
        transcripts.append(Transcript(f"T{index}", Blocks(bounds[:, 0], bounds[:, 1], "+")))
    return Gene("G", "G", "x", "c", "+", tuple(transcripts))


SHAPE = site_shape([coverage_of(*[FRAGMENT] * 10)], STEP)


def depth_of(starts, ends, steps):
    depth = np.zeros(steps, np.int64)
    for start, end in zip(starts, ends, strict=True):
        depth[start // STEP : (end - 1) // STEP + 1] += 1
    return depth


def simulate(length, sites, fragments=3000, background=300, seed=0):
    """IP and input depth of a gene; each site adds fragments that hold it."""
    generator = np.random.default_rng(seed)
    starts = [generator.integers(0, length - FRAGMENT, background)]
    for site, weight in sites:
        at_site = generator.integers(max(0, site - FRAGMENT + 1), site + 1, fragments)
        at_site = at_site[at_site <= length - FRAGMENT]
        starts.append(at_site[: round(len(at_site) * weight)])
    steps = -(-length // STEP)
    ip = np.concatenate(starts)
    control = generator.integers(0, length - FRAGMENT, background)
    return depth_of(ip, ip + FRAGMENT, steps), depth_of(control, control + FRAGMENT, steps)


def extents(length, sites, gene=None, **more):
    pair = simulate(length, sites, **more)
    gene = gene or gene_of([(0, length)])
    profile = make_profile([pair], np.zeros(1), transcript_places(gene, STEP), SHAPE, 0.0)
    return find_extents(profile, np.ones(len(pair[0]), bool))


def test_shape_is_a_triangle_for_one_length():
    distances = np.arange(len(SHAPE)) * STEP
    np.testing.assert_allclose(SHAPE, np.maximum(1 - distances / FRAGMENT, 0), atol=1e-9)


def test_shape_of_short_reads_is_that_of_fragments():
    short = site_shape([coverage_of(36, 36)], STEP)
    assert short[10] == pytest.approx(0.5)
    assert fragment_length([coverage_of(36, 36)]) == 100


def test_shape_and_length_without_fragments():
    assert fragment_length([coverage_of()]) == 100
    assert fragment_length([]) == 100
    assert site_shape([], STEP)[0] == 1


def test_mean_length():
    assert fragment_length([coverage_of(120, 180), coverage_of(150, 150)]) == 150


@pytest.mark.parametrize("site", [333, 500, 700])
def test_lone_site(site):
    (found,) = extents(1000, [(site, 1)])
    assert abs(found.summit * STEP - site) <= 15
    assert found.start <= found.summit < found.end
    assert found.shadow == pytest.approx(0, abs=1e-9)
    assert (found.end - found.start) * STEP == pytest.approx(2 * (1 - TRIM) * FRAGMENT, abs=25)


@pytest.mark.parametrize("site", [15, 985])
def test_site_at_the_end_of_a_gene_lies_in_its_peak(site):
    (found,) = extents(1000, [(site, 1)])
    assert found.start * STEP <= site < found.end * STEP


def test_two_sites_apart_are_two_peaks():
    found = extents(1500, [(500, 1), (760, 0.7)])
    assert [item.summit * STEP for item in found] == pytest.approx([500, 760], abs=15)
    assert found[0].end <= found[1].start


def test_two_close_sites_are_one_peak():
    (found,) = extents(1000, [(480, 1), (530, 1)])
    assert 470 <= found.summit * STEP <= 540


def test_a_shoulder_is_no_peak_of_its_own():
    found = extents(1500, [(600, 1), (690, 0.3)])
    assert len(found) == 1
    assert abs(found[0].summit * STEP - 600) <= 20


def test_neighbours_cast_a_shadow():
    """By the lengths given, a fifth of the fragments of one site would reach the other."""
    pair = simulate(1500, [(500, 1), (740, 1)])
    shape = site_shape([coverage_of(*[100] * 4, 600)], STEP)
    places = transcript_places(gene_of([(0, 1500)]), STEP)
    profile = make_profile([pair], np.zeros(1), places, shape, 0.0)
    left, right = find_extents(profile, np.ones(300, bool))
    share = shape[right.summit - left.summit]
    height = profile.excess[right.summit] / (1 + share)
    expected = np.log(1 + share * height / profile.expected[left.summit])
    assert share > 0.3
    assert left.shadow == pytest.approx(expected, rel=0.1)


def test_no_excess_no_peak():
    _, control = simulate(1000, [])
    places = transcript_places(gene_of([(0, 1000)]), STEP)
    profile = make_profile([(control, control)], np.log([2.0]), places, SHAPE, 0.0)
    assert find_extents(profile, np.ones(200, bool)) == []


def test_noise_is_that_of_beta_binomial_counts():
    """Of pairs with an input each, and of IPs that share one."""
    places = transcript_places(gene_of([(0, 100)]), STEP)
    depth = np.full(20, 40)
    rho, expected = 0.02, 40.5
    for shared, inputs in ((None, 2), ([[0, 1]], 1)):
        profile = make_profile([(depth, depth)] * 2, np.zeros(2), places, SHAPE, rho, shared)
        seen = inputs * expected
        assert profile.seen == pytest.approx(seen)
        counting = 2 * expected + (2 * expected) ** 2 / (seen + 1)
        noise = counting * (1 + rho / inputs * (2 * expected + seen))
        assert profile.noise(profile.expected) == pytest.approx(noise)


def test_a_summit_is_where_it_is_clearest_not_where_most_is_expressed():
    """A site beside a stretch of deep coverage, the ratio of which is a little up by chance."""
    ip, control = np.full(200, 20), np.full(200, 20)
    control[40:80], ip[40:80] = 300, 430
    ip[90:110] = 90
    places = transcript_places(gene_of([(0, 1000)]), STEP)
    profile = make_profile([(ip, control)], np.zeros(1), places, SHAPE, 0.03)
    assert any(90 <= item.summit < 110 for item in find_extents(profile, np.ones(200, bool)))


def test_only_searched_steps_are_summits():
    pair = simulate(1000, [(300, 1), (700, 1)])
    places = transcript_places(gene_of([(0, 1000)]), STEP)
    profile = make_profile([pair], np.zeros(1), places, SHAPE, 0.0)
    searched = np.arange(200) >= 110
    (found,) = find_extents(profile, searched)
    assert abs(found.summit * STEP - 700) <= 15
    assert find_extents(profile, np.zeros(200, bool)) == []


def test_without_input_the_summit_still_stands():
    ip, control = simulate(1000, [(400, 1)])
    places = transcript_places(gene_of([(0, 1000)]), STEP)
    profile = make_profile([(ip, control * 0)], np.zeros(1), places, SHAPE, 0.0)
    assert np.isfinite(profile.expected).all()
    found = find_extents(profile, np.ones(200, bool))
    assert any(abs(item.summit * STEP - 400) <= 15 for item in found)


def test_places_in_transcripts():
    gene = gene_of([(0, 100), (200, 300), (400, 500)], [(0, 100), (400, 500)])
    places = transcript_places(gene, STEP)
    assert places.shape == (2, 60)
    assert places[0].tolist() == [(step * STEP + 2) / STEP for step in range(60)]
    assert (places[1][20:40] == -1).all()
    assert places[1][40] == pytest.approx(102 / STEP)


def test_step_over_an_exon_border_belongs_to_both_sides():
    gene = gene_of([(0, 103), (200, 300)], [(150, 160), (200, 300)])
    places = transcript_places(gene, STEP)
    assert places[0][20] >= 0 and places[1][20] >= 0


def test_site_reaches_over_a_skipped_exon():
    gene = gene_of([(0, 400), (500, 900), (1000, 1400)], [(0, 400), (1000, 1400)])
    places = transcript_places(gene, STEP)
    depth = np.full(240, 50)
    profile = make_profile([(depth, depth)], np.zeros(1), places, SHAPE, 0.0)
    share = profile.share(380 // STEP)
    assert share[820 // STEP] == pytest.approx(1 - 40 / FRAGMENT, abs=0.05)
    assert share[600 // STEP] == 0
    linear = make_profile([(depth, depth)], np.zeros(1), places[:1], SHAPE, 0.0)
    assert linear.share(380 // STEP)[820 // STEP] == 0


def test_fragments_that_jump_over_an_exon_are_no_second_peak():
    """A site 20 nt before an exon that most molecules skip."""
    gene = gene_of([(0, 400), (500, 900), (1000, 1400)], [(0, 400), (1000, 1400)])
    generator = np.random.default_rng(1)
    starts = generator.integers(380 - FRAGMENT + 1, 381, 2000)
    control = generator.integers(0, 800 - FRAGMENT, 600)
    steps = 240

    def skipping(starts):
        """Map fragments of the short transcript to the long one's coordinates."""
        depth = np.zeros(steps, np.int64)
        for start in starts.tolist():
            end = start + FRAGMENT
            depth[start // STEP : (min(end, 400) - 1) // STEP + 1] += start < 400
            if end > 400:
                left = max(start, 400) + 400
                depth[left // STEP : (end + 400 - 1) // STEP + 1] += 1
        return depth

    pair = skipping(starts), skipping(control)
    for places, peaks in ((transcript_places(gene, STEP), 1), (None, 2)):
        if places is None:
            places = transcript_places(gene, STEP)[:1]
        profile = make_profile([pair], np.log([0.5]), places, SHAPE, 0.0)
        found = find_extents(profile, np.ones(steps, bool))
        assert len([item for item in found if pair[0][item.summit] > 100]) == peaks


def test_over_dispersed_counts_need_deeper_valleys():
    pair = simulate(1500, [(500, 0.05), (700, 0.05)], background=200, fragments=2000)
    places = transcript_places(gene_of([(0, 1500)]), STEP)
    numbers = [
        len(
            find_extents(
                make_profile([pair], np.zeros(1), places, SHAPE, dispersion), np.ones(300, bool)
            )
        )
        for dispersion in (0.0, 0.5)
    ]
    assert numbers[0] > numbers[1] >= 1
