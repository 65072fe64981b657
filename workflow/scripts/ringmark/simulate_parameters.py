"""Parameters of a simulated study: one place for names, defaults, meanings and limits."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from ringmark.errors import InputError

LAYOUTS = ("paired", "single", "mixed")
STRANDEDNESS = ("reverse", "forward", "unstranded")


def _parameter(default: Any, meaning: str) -> Any:
    """Return a dataclass field that carries its own help text."""
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class SimulationParameters:
    """Everything that decides what a simulated study is; the defaults are the tiny study.

    The meaning of each field is in its metadata under ``help``. Counts are of things planted,
    lengths in nucleotides, fractions and probabilities between 0 and 1.
    """

    seed: int = _parameter(2, "seed of all random numbers")
    genome_length: int = _parameter(280_000, "nucleotides over all contigs")
    contigs: int = _parameter(2, "number of contigs")
    genes: int = _parameter(36, "number of genes")
    intron_median: float = _parameter(320.0, "median intron length")
    intron_max: int = _parameter(2_000, "longest intron")
    last_exon_min: int = _parameter(450, "shortest last exon")
    last_exon_max: int = _parameter(900, "longest last exon")
    noncoding_fraction: float = _parameter(0.12, "share of genes without a coding sequence")
    gc_ag_fraction: float = _parameter(0.03, "share of exons followed by GC instead of GT")
    at_ac_fraction: float = _parameter(
        0.1, "share of simple genes with an exon between AT/AC introns"
    )
    overlapping_genes: int = _parameter(2, "pairs of genes that overlap tail to tail")

    exonic_circles: int = _parameter(5, "circles of annotated exons")
    short_circles: int = _parameter(2, "circles of one annotated exon, 120 to 300 nt")
    exon_intron_circles: int = _parameter(2, "circles of exons with a retained intron")
    intronic_circles: int = _parameter(2, "intronic lariats, 5' splice site to branch point")
    antisense_circles: int = _parameter(2, "circles on the other strand of a gene")
    intergenic_circles: int = _parameter(2, "circles between genes")
    novel_circles: int = _parameter(2, "circles of a gene's exons with an unannotated splice site")
    at_ac_circles: int = _parameter(0, "circles of an exon between AT/AC introns")
    circle_fraction: float = _parameter(0.16, "share of fragments (before the IP) from circles")
    circle_spread: float = _parameter(0.6, "standard deviation of the log of circle abundance")
    low_coverage_fraction: float = _parameter(0.15, "share of circles made 15 times rarer")
    circle_isoform_fraction: float = _parameter(
        0.0, "share of circles of three or more exons of which some molecules skip an exon"
    )

    repeats: int = _parameter(0, "copies of one 300 nt repeat in introns")
    inverted_repeats: int = _parameter(0, "circles whose flanking introns get inverted repeats")
    tandem_duplications: int = _parameter(0, "genes with an exon duplicated in tandem")
    paralogues: int = _parameter(0, "genes that have a diverged copy elsewhere")
    paralogue_divergence: float = _parameter(0.04, "substitutions a base between paralogues")
    processed_pseudogenes: int = _parameter(0, "silent spliced copies of transcripts")
    retro_copies: int = _parameter(
        0, "transcribed, unannotated copies; every second one holds exons in back-spliced order"
    )
    retro_fraction: float = _parameter(0.005, "share of fragments from retro-copies, if any")
    chimeras: int = _parameter(0, "molecules joined by template switching inside one gene")
    chimera_fraction: float = _parameter(0.002, "share of fragments from chimeras, if any")
    premrna_fraction: float = _parameter(0.0, "share of fragments from unspliced transcripts")

    test_condition: str = _parameter("resistant", "name of the test condition")
    reference_condition: str = _parameter("sensitive", "name of the reference condition")
    replicates: int = _parameter(3, "samples a condition")
    ip: bool = _parameter(True, "make an immunoprecipitated library of each sample")
    gene_spread: float = _parameter(0.5, "standard deviation of the log of gene abundance")
    dispersion: float = _parameter(0.03, "negative binomial dispersion between samples")
    differential_genes: int = _parameter(8, "genes that differ between the conditions")
    differential_circles: int = _parameter(6, "circles that differ between the conditions")
    log2_fold_change_min: float = _parameter(2.0, "smallest planted change")
    log2_fold_change_max: float = _parameter(3.0, "largest planted change")
    depth_spread: float = _parameter(0.0, "standard deviation of the log of library sizes")
    batch_effect: float = _parameter(0.0, "standard deviation of the log of a batch effect a gene")
    confounded_batches: bool = _parameter(False, "put conditions mostly in different batches")
    outlier_samples: int = _parameter(0, "samples with ten times the dispersion")

    methylated_fraction: float = _parameter(0.75, "share of genes with m6A")
    sites_per_gene: float = _parameter(1.6, "mean m6A sites a methylated gene")
    methylated_circle_fraction: float = _parameter(0.6, "share of circles with m6A")
    stoichiometry_min: float = _parameter(0.4, "lowest share of molecules methylated at a site")
    stoichiometry_max: float = _parameter(0.95, "highest share of molecules methylated at a site")
    differential_site_fraction: float = _parameter(0.25, "share of sites that differ")
    stoichiometry_change: float = _parameter(0.55, "difference in stoichiometry at those")
    methylation_factor: float = _parameter(
        1.0, "global factor on stoichiometry in the test samples"
    )
    site_noise: float = _parameter(0.1, "standard deviation of the logit of stoichiometry a sample")
    ip_background: float = _parameter(0.04, "chance to pull down an unmethylated fragment")
    ip_background_spread: float = _parameter(0.25, "standard deviation of its log over libraries")
    gene_background_spread: float = _parameter(0.2, "standard deviation of its log over genes")
    ip_efficiency: float = _parameter(0.75, "chance to pull down a methylated site's fragment")
    failed_ips: int = _parameter(0, "IP libraries, first ones first, that pulled nothing down")

    read_pairs: int = _parameter(5_500, "fragments sequenced a library")
    fragment_length: float = _parameter(170.0, "mean fragment length")
    fragment_length_sd: float = _parameter(40.0, "standard deviation of fragment length")
    coverage_bias: float = _parameter(0.15, "standard deviation of the log of local coverage")
    duplicate_fraction: float = _parameter(0.0, "share of fragments that are PCR duplicates")
    read_length: int = _parameter(75, "nucleotides a read")
    layout: str = _parameter("paired", "paired, single, or mixed: inputs single-end and IPs paired")
    strandedness: str = _parameter("reverse", "reverse (dUTP), forward or unstranded")
    strand_errors: float = _parameter(0.005, "share of fragments read from the wrong strand")
    substitution_rate: float = _parameter(0.002, "substitutions a base")
    indel_rate: float = _parameter(0.00005, "insertions and deletions a base")
    low_quality_tails: float = _parameter(0.01, "share of reads whose end is of low quality")
    split_libraries: int = _parameter(1, "libraries, first ones first, sequenced in two runs")
    compression: int = _parameter(6, "gzip level of the FASTQ files")

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise InputError(problems, "see simulate_study.py --help for what each parameter means")

    def _problems(self) -> list[str]:
        """Return what is wrong with the values, one line each."""
        found = []
        for item in fields(self):
            value = getattr(self, item.name)
            flag = "--" + item.name.replace("_", "-")
            if item.name in _POSITIVE and value < 1:
                found.append(f"{flag} {value}: must be at least 1")
            elif isinstance(value, int | float) and value < 0:
                found.append(f"{flag} {value}: must not be negative")
            elif item.name in _FRACTIONS and value > 1:
                found.append(f"{flag} {value}: must be between 0 and 1")
        for name, allowed in (("layout", LAYOUTS), ("strandedness", STRANDEDNESS)):
            if getattr(self, name) not in allowed:
                found.append(f"--{name} {getattr(self, name)}: must be one of {', '.join(allowed)}")
        for name, limit in (("fragment_length", 30), ("read_length", 20), ("intron_max", 120)):
            if 1 <= getattr(self, name) < limit:
                found.append(f"--{name.replace('_', '-')}: must be at least {limit}")
        if self.compression > 9:
            found.append(f"--compression {self.compression}: must be between 0 and 9")
        if self.test_condition == self.reference_condition:
            found.append(f"both conditions are named {self.test_condition}")
        for low, high in _ORDERED:
            if getattr(self, low) > getattr(self, high):
                found.append(f"--{low.replace('_', '-')} is larger than its maximum")
        return found

    @property
    def conditions(self) -> tuple[str, str]:
        """Names of the conditions: test, reference."""
        return self.test_condition, self.reference_condition

    @property
    def longest_fragment(self) -> int:
        """Fragments are cut to this length."""
        return int(self.fragment_length + 6 * self.fragment_length_sd)


_POSITIVE = (
    "genome_length",
    "contigs",
    "genes",
    "intron_median",
    "intron_max",
    "last_exon_min",
    "last_exon_max",
    "replicates",
    "read_pairs",
    "fragment_length",
    "read_length",
)
_FRACTIONS = (
    "noncoding_fraction",
    "gc_ag_fraction",
    "at_ac_fraction",
    "circle_fraction",
    "low_coverage_fraction",
    "circle_isoform_fraction",
    "paralogue_divergence",
    "retro_fraction",
    "chimera_fraction",
    "premrna_fraction",
    "methylated_fraction",
    "methylated_circle_fraction",
    "stoichiometry_min",
    "stoichiometry_max",
    "differential_site_fraction",
    "stoichiometry_change",
    "ip_background",
    "ip_efficiency",
    "duplicate_fraction",
    "strand_errors",
    "substitution_rate",
    "indel_rate",
    "low_quality_tails",
)
_ORDERED = (
    ("last_exon_min", "last_exon_max"),
    ("stoichiometry_min", "stoichiometry_max"),
    ("log2_fold_change_min", "log2_fold_change_max"),
)

_TINY = SimulationParameters()

#: Defaults by name of the preset.
PRESETS = {
    "tiny": _TINY,
    "benchmark": replace(
        _TINY,
        genome_length=12_000_000,
        contigs=4,
        genes=900,
        intron_median=1_200.0,
        intron_max=20_000,
        last_exon_min=600,
        last_exon_max=2_000,
        overlapping_genes=40,
        exonic_circles=200,
        short_circles=60,
        exon_intron_circles=30,
        intronic_circles=30,
        antisense_circles=20,
        intergenic_circles=20,
        novel_circles=40,
        at_ac_circles=4,
        circle_fraction=0.08,
        circle_spread=1.1,
        low_coverage_fraction=0.25,
        circle_isoform_fraction=0.15,
        repeats=400,
        inverted_repeats=40,
        tandem_duplications=30,
        paralogues=30,
        processed_pseudogenes=40,
        retro_copies=20,
        chimeras=3_000,
        premrna_fraction=0.03,
        gene_spread=1.2,
        dispersion=0.08,
        differential_genes=180,
        differential_circles=100,
        log2_fold_change_min=0.7,
        stoichiometry_min=0.1,
        read_pairs=400_000,
        read_length=100,
        split_libraries=0,
        compression=1,
    ),
}
