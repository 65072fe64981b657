"""A small fabricated study as tables, for the tests of the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ringmark import regulators, tables


def libraries(with_ip: bool = True, replicates: int = 2) -> pd.DataFrame:
    rows = []
    for condition, letter in (("resistant", "R"), ("sensitive", "S")):
        for number in range(1, replicates + 1):
            for assay in ("input", "ip") if with_ip else ("input",):
                rows.append(
                    {
                        "library": f"{letter}{number}_{assay}",
                        "sample": f"{letter}{number}",
                        "condition": condition,
                        "assay": assay,
                        "layout": "paired",
                        "read_length": 100,
                        "strandedness": "reverse",
                        "strandedness_declared": "auto",
                        "sense_fraction": 0.03 + 0.01 * number,
                        "reads": 100_000 + 1_000 * number,
                        "aligned_fraction": 0.97,
                        "usable_fraction": 0.93 - 0.01 * number,
                    }
                )
    return tables.LIBRARIES.frame(rows)


def circle_ids(count: int = 12) -> list[str]:
    return [f"chr1:{1000 * place}-{1000 * place + 600}:+" for place in range(1, count + 1)]


def circles(count: int = 12) -> pd.DataFrame:
    kinds = ["exonic", "exonic", "exon_intron", "intronic", "antisense", "intergenic"]
    rows = [
        {
            "circle": circle,
            "chrom": "chr1",
            "start": 1000 * place,
            "end": 1000 * place + 600,
            "strand": "+",
            "type": kinds[place % len(kinds)],
            "gene_id": f"G{place:03d}",
            "gene_name": f"GENE{place}" if place != 5 else None,
            "exons": place % 5 + 1,
            "spliced_length": 200 + 35 * place,
            "splice_motif": "GT-AG",
            "annotated_ends": "both",
            "libraries": 4,
            "reads": 10 * place,
            "confidence": "high" if place > 3 else "low",
        }
        for place, circle in enumerate(circle_ids(count), start=1)
    ]
    return tables.CIRCLES.frame(rows)


def counts(ids: list[str], names: list[str], id_name: str, scale: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    base = generator.gamma(2.0, scale, size=(len(ids), 1))
    values = generator.poisson(base * np.ones((1, len(names))))
    return pd.DataFrame(values, index=pd.Index(ids, name=id_name), columns=names)


def peaks(count: int = 20) -> pd.DataFrame:
    regions = ["5UTR", "CDS", "stop_codon", "3UTR", "exon", "intron"]
    rows = [
        {
            "peak": f"chr1:{500 * place}-{500 * place + 150}:+",
            "chrom": "chr1",
            "start": 500 * place,
            "end": 500 * place + 150,
            "strand": "+",
            "block_sizes": "50,40" if place % 3 == 0 else str(100 + place),
            "block_starts": "0,110" if place % 3 == 0 else "0",
            "gene_id": f"G{place:03d}",
            "gene_name": f"GENE{place}",
            "region": regions[place % len(regions)],
            "summit": 500 * place + 40,
            "log2_enrichment": 1.0 + 0.1 * place,
            "pvalue": 10.0**-place,
            "padj": 10.0 ** -(place - 1) if place > 1 else 0.5,
            "conditions": ["resistant", "sensitive", "resistant,sensitive"][place % 3],
            "samples": 2,
            "drach": place % 4,
            "drach_distance": 3 * place - 30 if place % 4 else None,
        }
        for place in range(1, count + 1)
    ]
    return tables.PEAKS.frame(rows)


def quality(sheet: pd.DataFrame) -> pd.DataFrame:
    verdicts = ["good", "weak", "failed"]
    rows = [
        {
            "sample": row.sample,
            "condition": row.condition,
            "ip_library": row.library,
            "input_library": f"{row.sample}_input",
            "enrichment": 3.2,
            "ip_fraction_in_peaks": 0.21,
            "drach_rate_summits": 0.8 - 0.1 * place,
            "drach_rate_background": 0.4,
            "drach_odds_ratio": 4.0,
            "drach_pvalue": 1e-6,
            "stop_codon_enrichment": 2.1,
            "replicate_jaccard": 0.6,
            "closest_input": f"{row.sample}_input",
            "verdict": verdicts[place % 3],
            "reason": "DRACH motifs are twice as frequent at summits",
        }
        for place, row in enumerate(sheet[sheet["assay"] == "ip"].itertuples())
    ]
    return tables.QUALITY.frame(rows)


def saturation(counts: tuple[int, ...] = (9, 15, 18, 20)) -> pd.DataFrame:
    rows = [
        {
            "condition": condition,
            "fraction": place / 4,
            "ip_fragments": 1000 * place,
            "input_fragments": 900 * place,
            "peaks": peaks,
            "recovered": peaks / counts[-1] if counts[-1] else None,
        }
        for condition in ("resistant", "sensitive")
        for place, peaks in enumerate(counts, start=1)
    ]
    return tables.SATURATION.frame(rows)


def metagene(summits: int = 60) -> pd.DataFrame:
    parts = [(region, part) for region in ("5UTR", "CDS", "3UTR") for part in range(20)]
    rows = [
        {
            "condition": condition,
            "region": region,
            "start": part / 20,
            "end": (part + 1) / 20,
            "summits": summits // 60 + (region == "3UTR" and part == 0),
            "uniform": summits / 60,
        }
        for condition in ("resistant", "sensitive")
        for region, part in parts
    ]
    return tables.METAGENE.frame(rows)


def motif(motifs: int = 20) -> pd.DataFrame:
    rows = []
    for offset in range(-8, 9):
        letters = {"A": motifs if offset == 0 else motifs // 4, "C": motifs // 4}
        letters |= {"G": 0 if offset == 0 else motifs // 2, "U": 0}
        everywhere = {f"all_{letter}": 5 * count for letter, count in letters.items()}
        rows.append({"offset": offset, **letters, "information": 0.5, **everywhere})
    return tables.MOTIF.frame(rows)


def circle_m6a(count: int = 12) -> pd.DataFrame:
    tiers = ["1", "2", "3", "none"]
    rows = [
        {
            "circle": circle,
            "condition": condition,
            "ip_reads": 5 + 3 * place,
            "input_reads": 4 + place,
            "log2_enrichment": 1.5,
            "pvalue": 0.001 * place,
            "padj": 0.002 * place,
            "tier": tiers[place % 4],
            "drach": place % 3,
            "nearest_drach_to_junction": 20,
            "linear_peak": f"chr1:{500 * place}-{500 * place + 150}:+" if place % 4 == 2 else None,
        }
        for place, circle in enumerate(circle_ids(count), start=1)
        for condition in ("resistant", "sensitive", "pooled")
    ]
    return tables.CIRCLE_M6A.frame(rows)


def circle_detection(count: int = 12) -> pd.DataFrame:
    answers = ["methylated", "not_methylated", "not_seen", "cannot_be_seen"]
    table = circle_m6a(count)
    place = table.groupby("circle", sort=False).ngroup() + 1
    return tables.DETECTION.frame(
        table.assign(
            smallest_log2_enrichment=1.5,
            within_reach=0.8,
            verdict=[answers[number % 4] for number in place],
        )
    )


def differential(
    ids: list[str], shape: str = "changed", ratio: bool = False, first_gene: int = 1
) -> pd.DataFrame:
    """Return a differential table: ``changed``, ``unchanged`` or ``exploratory``."""
    rows = []
    for place, name in enumerate(ids, start=first_gene):
        pvalue = {"changed": 10.0**-place, "unchanged": 0.6}.get(shape)
        rows.append(
            {
                "id": name,
                "gene_id": f"G{place:03d}",
                "gene_name": f"GENE{place}",
                "baseMean": 10.0 * place,
                "log2FoldChange": (0.4 * place + 0.2) * (-1 if place % 3 == 0 else 1),
                "lfcSE": 0.3 if pvalue is not None else None,
                "stat": 2.0 if pvalue is not None else None,
                "pvalue": pvalue,
                "padj": None if pvalue is None or place == 2 else min(1.0, 20 * pvalue),
                "ratio_test": 0.4,
                "ratio_reference": 0.2,
            }
        )
    return (tables.CIRCLE_RATIO if ratio else tables.DIFFERENTIAL).frame(rows)


def overlap() -> pd.DataFrame:
    rows = []
    for claim, comparison, symbol, feature, verdict in (
        ("c1", "genes", "GENE4", "G004", "confirmed"),
        ("c1", "circle_ratio", "GENE4", circle_ids()[3], "unchanged"),
        ("c2", "genes", "GENE6", "G006", "contradicted"),
        ("c3", "circles", "GENE7", circle_ids()[6], "confirmed"),
        ("c3", "genes", "GENE7", "G007", "contradicted"),
        ("c4", "genes", "GENE9", "G009", "unchanged"),
        ("c5", "genes", "miR-21", None, "not measurable"),
    ):
        measured = verdict != "not measurable"
        rows.append(
            {
                "claim_id": claim,
                "review": "lin2022",
                "location": "Table 2, row 5",
                "entity": f"{symbol} <entity>",
                "entity_type": "gene",
                "symbol": symbol,
                "comparison": comparison,
                "matched_feature": feature,
                "match": "symbol" if measured else None,
                "log2FoldChange": 1.2 if measured else None,
                "pvalue": 0.001 if measured else None,
                "padj": 0.01 if measured else None,
                "expected_sign": 1,
                "verdict": verdict,
                "reason": "padj below 0.05 and the expected sign" if measured else "not measured",
                "cancer": "lung",
                "therapy": "cisplatin",
                "reference": "12",
            }
        )
    return regulators.OVERLAP.frame(rows)


def enrichment() -> pd.DataFrame:
    row = dict.fromkeys(regulators.ENRICHMENT.columns, 1)
    return regulators.ENRICHMENT.frame([row | {"set": "writers", "odds_ratio": 2.5}])


def axes() -> pd.DataFrame:
    row: dict[str, object] = dict.fromkeys(regulators.AXIS_RESULTS.columns, 1)
    row |= {"axis_id": "a1", "review": "lin2022", "location": "Table 2", "coherent": "yes"}
    row |= {"members": "METTL3 > circA", "measured": "METTL3:+", "cancer": "lung"}
    return regulators.AXIS_RESULTS.frame([row | {"therapy": None, "reference": "12"}])


def write_study(folder: Path, shape: str) -> dict[str, Path]:
    """Write the tables of a study of one shape and return option name to file.

    Shapes: ``full``, ``no_ip``, ``no_replicates``, ``nothing_significant``, ``no_circles``,
    ``no_peaks``.
    """
    with_ip = shape != "no_ip"
    sheet = libraries(with_ip, 1 if shape == "no_replicates" else 2)
    names = sheet["library"].tolist()
    circle_count = 0 if shape == "no_circles" else 12
    peak_count = 0 if shape == "no_peaks" else 20
    kind = {"no_replicates": "exploratory", "nothing_significant": "unchanged"}.get(
        shape, "changed"
    )
    ids, genes = circle_ids(circle_count), [f"G{place:03d}" for place in range(1, 41)]
    called = peaks(peak_count)
    frames = {
        "libraries": sheet,
        "circles": circles(circle_count),
        "genes": differential(genes, kind),
        "circle-differential": differential(ids, kind),
        "ratio": differential(ids, kind, ratio=True),
        "overlap": overlap(),
        "enrichment": enrichment(),
        "axes": axes(),
        "filters": pd.DataFrame(
            {"step": ["circles"], "filter": ["fewer than 2 reads"], "removed": [7], "kept": [12]}
        ),
    }
    if with_ip:
        frames |= {
            "peaks": called,
            "quality": quality(sheet),
            "saturation": saturation() if peak_count else saturation((0, 0, 0, 0)),
            "metagene": metagene() if peak_count else tables.METAGENE.empty(),
            "motif": motif() if peak_count else tables.MOTIF.empty(),
            "circle-m6a": circle_m6a(circle_count),
            "methylation": differential(called["peak"].tolist(), kind),
            "circle-methylation": differential(ids, kind),
        }
    matrices = {
        "bsj-counts": counts(ids, names, "circle", 3, 1),
        "linear-counts": counts(ids, names, "circle", 9, 2),
        "gene-counts": counts(genes, names, "gene_id", 60, 3),
    }
    if with_ip:
        matrices["ip-counts"] = counts(
            called["peak"].tolist(), [n for n in names if n.endswith("ip")], "peak", 20, 4
        )
        matrices["input-counts"] = counts(
            called["peak"].tolist(), [n for n in names if n.endswith("input")], "peak", 20, 5
        )
    paths = {name: folder / f"{name}.tsv" for name in [*frames, *matrices]}
    for name, frame in frames.items():
        tables.write_tsv(frame, paths[name])
    for name, matrix in matrices.items():
        tables.write_matrix(matrix, paths[name], str(matrix.index.name))
    return paths
