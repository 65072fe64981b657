"""Sites, peaks and the distances between them, on toy molecules with distances counted by hand."""

import numpy as np
import pandas as pd
import pytest
from toy_m6a import GENES, peak, site, write_results, write_study

from benchmarks.m6a_peaks.truth import Molecule, Region, Run, Truth
from ringmark.errors import InputError
from ringmark.intervals import Blocks


def blocks(strand, *bounds):
    starts, ends = np.array(bounds, dtype=np.int64).T
    return Blocks(starts, ends, strand)


LINE = Molecule(blocks("+", (100, 200), (1000, 1100)))
BACK = Molecule(blocks("-", (100, 200), (1000, 1100)))
RING = Molecule(blocks("+", (100, 200), (1000, 1100)), ring=True)


@pytest.mark.parametrize(
    ("molecule", "one", "other", "distance"),
    [
        (LINE, 190, 1009, 19),
        (BACK, 1009, 190, 19),
        (LINE, 101, 1098, 197),
        (RING, 101, 1098, 3),
        (RING, 190, 1009, 19),
        (LINE, 150, 500, None),
    ],
)
def test_distance_on_a_molecule(molecule, one, other, distance):
    assert molecule.distance(one, other) == distance


@pytest.mark.parametrize(
    ("molecule", "position", "around"),
    [
        (LINE, 150, {(145, 156)}),
        (LINE, 198, {(193, 200), (1000, 1004)}),
        (BACK, 1001, {(1000, 1007), (196, 200)}),
        (LINE, 101, {(100, 107)}),
        (RING, 101, {(100, 107), (1096, 1100)}),
        (RING, 1097, {(1092, 1100), (100, 103)}),
    ],
)
def test_what_is_near_on_a_molecule(molecule, position, around):
    assert set(molecule.around(position, 5)) == around


def test_sites_near_regions(tmp_path):
    sites = [
        site(390, "+", "G1"),  # 10 nt before the end of the first exon of G1
        site(1000, "+", "G1"),
        site(2250, "-", "G2"),
        site(1395, "+", "G1", molecule="c:1000-1400:+"),  # 5 nt before the back-splice
    ]
    truth = Truth.read(write_study(tmp_path, sites))
    regions = [
        Region("c", blocks("+", (1039, 1100))),  # 49 nt of RNA behind the first site
        Region("c", blocks("+", (1040, 1100))),
        Region("c", blocks("+", (1041, 1100))),
        Region("c", blocks("+", (2200, 2300))),  # on the other strand
        Region("c", blocks("-", (2301, 2400))),  # 51 nt from the site
        Region("c", blocks("-", (2300, 2400))),
        Region("d", blocks("-", (2200, 2300))),
    ]
    near = truth.near(regions, 50)
    assert near[0].tolist() == [True, True, False, False, False, False, False]
    assert near[1].tolist() == [True, True, True, False, False, False, False]
    assert near[2].tolist() == [False, False, False, False, False, True, False]
    # round the circle 5 nt are left of the site to 1000 and 45 beyond
    assert near[3].tolist() == [True, True, True, False, False, False, False]
    assert truth.distance(0, 1039) == 49
    assert truth.distance(3, 1000) == 5
    assert truth.distance(0, 600) == 210, "in the intron along the genome"
    assert truth.near([], 50).shape == (4, 0)


def test_fragments_and_stoichiometry(tmp_path):
    truth = Truth.read(
        write_study(tmp_path, [site(390, "+", "G1", 0.9, 0.3), site(2250, "-", "G2")])
    )
    assert truth.conditions == ("r", "s")
    assert truth.stoichiometry("s").tolist() == [0.3, 0.5]
    assert np.allclose(truth.change, [0.6, 0])
    totals = {name: GENES[name][-1] for name in GENES}
    assert truth.input_fragments(["r"]).tolist() == [2 * totals["G1"], 2 * totals["G2"]]
    assert truth.input_fragments("rs").tolist() == [4 * totals["G1"], 4 * totals["G2"]]


def test_a_site_of_no_gene_has_no_fragments(tmp_path):
    truth = Truth.read(write_study(tmp_path, [site(1395, "+", None, molecule="c:1000-1400:+")]))
    assert truth.input_fragments("rs").tolist() == [0]


def test_nothing_is_methylated_where_nothing_was_pulled_down(tmp_path):
    truth = Truth.read(write_study(tmp_path, [site(390, "+", "G1")], efficiency=0.0))
    assert truth.stoichiometry("r").tolist() == [0]


def test_no_sites(tmp_path):
    truth = Truth.read(write_study(tmp_path, []))
    assert truth.near([Region("c", blocks("+", (100, 200)))], 50).shape == (0, 1)
    assert truth.conditions == ("r", "s")


def test_a_table_without_stoichiometry_is_told(tmp_path):
    study = write_study(tmp_path, [])
    (study / "truth" / "m6a_sites.tsv").write_text("chrom\tposition\n")
    with pytest.raises(InputError, match="0 columns of stoichiometry"):
        Truth.read(study)


def test_peaks_of_a_run(tmp_path):
    rows = [peak("+", (380, 400), (1000, 1030), conditions="r,s"), peak("-", (2200, 2300))]
    run = Run.read(write_results(tmp_path, rows))
    assert run.widths.tolist() == [50, 100]
    assert run.called("r").tolist() == [True, True]
    assert run.called("s").tolist() == [True, False]
    assert run.regions[0].blocks.starts.tolist() == [380, 1000]
    assert run.changes["padj"].isna().all()


def test_a_run_without_peaks(tmp_path):
    run = Run.read(write_results(tmp_path, []))
    assert run.called("r").tolist() == [] and run.regions == []
    assert run.widths.tolist() == []


def test_a_peak_that_stands_twice_is_told(tmp_path):
    with pytest.raises(InputError, match="stands twice"):
        Run.read(write_results(tmp_path, [peak("+", (380, 400))] * 2))


def test_changes_are_put_in_the_order_of_the_peaks(tmp_path):
    rows = [peak("+", (380, 400)), peak("-", (2200, 2300))]
    changes = pd.DataFrame({"id": [row["peak"] for row in rows][::-1], "padj": [0.5, 0.1]})
    run = Run.read(write_results(tmp_path, rows, changes=changes))
    assert run.changes["padj"].tolist() == [0.1, 0.5]
