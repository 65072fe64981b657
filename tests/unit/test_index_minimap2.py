from __future__ import annotations

from pathlib import Path

import pytest
from toy_reads import genome, write_fasta

import index_minimap2


def test_index_is_written_whole(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "genome.fa", genome())
    output = tmp_path / "new" / "genome.mmi"
    assert index_minimap2.main(["--fasta", str(fasta), "--output", str(output)]) == 0
    assert output.read_bytes()[:3] == b"MMI"
    assert [path.name for path in output.parent.iterdir()] == ["genome.mmi"]


@pytest.mark.parametrize("content", ["", ">chr1\n", "not a genome\n"])
def test_a_genome_without_sequence_is_refused(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta = tmp_path / "genome.fa"
    fasta.write_text(content)
    output = tmp_path / "genome.mmi"
    assert index_minimap2.main(["--fasta", str(fasta), "--output", str(output)]) == 1
    assert "genome.fa" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genome.fa"]


@pytest.mark.parametrize("option", [["--kmer", "40"], ["--window", "0"]])
def test_settings_out_of_range_are_refused(tmp_path: Path, option: list[str]) -> None:
    fasta = write_fasta(tmp_path / "genome.fa", genome())
    output = tmp_path / "genome.mmi"
    assert index_minimap2.main(["--fasta", str(fasta), "--output", str(output), *option]) == 1
    assert not output.exists()
