"""Which jobs each kind of study plans, by dry runs."""

import pytest
import workflow_runs as runs

PER_LIBRARY = {
    "trim_reads",
    "align_minimap2",
    "summarise_alignment",
    "summarise_bam",
    "count_genes",
    "find_back_splices",
    "count_circles",
    "write_tracks",
}
ONCE = {
    "all",
    "prepare_reference",
    "index_minimap2",
    "collect_libraries",
    "merge_gene_counts",
    "merge_back_splices",
    "catalogue_circles",
    "compare_genes",
    "compare_circles",
    "compare_ratio",
    "join_circle_changes",
    "overlap_regulators",
    "run_multiqc",
    "write_provenance",
    "build_report",
}
ONLY_WITH_IP = {
    "call_peaks",
    "assess_ip",
    "profile_peaks",
    "enrich_circles",
    "compare_methylation",
    "compare_circle_methylation",
}


def planned(folder, *arguments):
    return runs.jobs_of(runs.run_to_end(folder, "--dry-run", *arguments).stdout)


def test_a_merip_study_plans_everything(tmp_path):
    jobs = planned(runs.tiny_study(tmp_path / "study"))
    expected = dict.fromkeys(PER_LIBRARY | {"count_bins"}, 12) | dict.fromkeys(
        ONCE | ONLY_WITH_IP, 1
    )
    assert jobs == expected


def test_a_study_without_ip_plans_no_peaks(tmp_path):
    libraries = ["resistant_1_input", "resistant_2_input", "sensitive_1_input", "sensitive_2_input"]
    jobs = planned(runs.tiny_study(tmp_path / "study", libraries))
    assert jobs == dict.fromkeys(PER_LIBRARY, 4) | dict.fromkeys(ONCE, 1)


def test_ips_of_one_condition_have_peaks_but_no_change_of_methylation(tmp_path):
    libraries = ["resistant_1_input", "resistant_1_ip", "sensitive_1_input"]
    jobs = planned(runs.tiny_study(tmp_path / "study", libraries))
    assert jobs["call_peaks"] == jobs["enrich_circles"] == 1
    assert jobs["count_bins"] == 2
    assert "compare_methylation" not in jobs
    assert "compare_circle_methylation" not in jobs


def test_introns_are_counted_where_they_are_asked_for(tmp_path):
    without = planned(runs.tiny_study(tmp_path / "without"))
    study = runs.tiny_study(tmp_path / "with", config={"m6a": {"introns": True}})
    assert planned(study) == without | {"count_introns": without["count_bins"]}


def test_star_replaces_minimap2_and_nothing_else(tmp_path):
    study = runs.tiny_study(tmp_path / "study")
    minimap2 = planned(study)
    runs.write_config(
        study,
        {
            "samples": "samples.tsv",
            "reference": {
                "fasta": str(runs.TINY / "genome.fa"),
                "gtf": str(runs.TINY / "genes.gtf"),
            },
            "contrast": {"test": "resistant", "reference": "sensitive"},
        },
    )
    star = planned(study)
    renamed = {rule.replace("minimap2", "star"): count for rule, count in minimap2.items()}
    assert star == renamed


def test_an_accession_is_fetched(tmp_path):
    study = runs.tiny_study(tmp_path / "study", ["resistant_1_ip", "resistant_2_input"])
    rows = [
        {"library": name, "sample": name, "condition": name, "assay": "input", "accession": run}
        for name, run in (("resistant", "SRR0000001"), ("sensitive", "ERR0000002"))
    ]
    runs.sheet(study, rows)
    jobs = planned(study)
    assert jobs["fetch_run"] == jobs["trim_reads"] == 2


@pytest.mark.parametrize(
    ("target", "absent"),
    [("circles", "call_peaks"), ("peaks", "find_back_splices"), ("tracks", "count_genes")],
)
def test_named_targets_plan_their_part(tmp_path, target, absent):
    jobs = planned(runs.tiny_study(tmp_path / "study"), target)
    assert jobs[target] == 1
    assert absent not in jobs


def test_at_most_twelve_jobs_a_library(tmp_path):
    jobs = planned(runs.tiny_study(tmp_path / "study"))
    assert sum(count == 12 for count in jobs.values()) <= 12
