"""The samples sheet: libraries, pairs and contrast, and everything that can be wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ringmark.errors import InputError
from ringmark.study import Contrast, Run, Study, check_sheet, read_study, sheet_runs

CONTRAST = Contrast("condition", "resistant", "sensitive")
HEADER = ("library", "sample", "condition", "assay", "fastq_1", "fastq_2")
PAIRS = (
    ("r_input", "r", "resistant", "input", "r_input_1.fq", "r_input_2.fq"),
    ("r_ip", "r", "resistant", "ip", "r_ip_1.fq", ""),
    ("s_input", "s", "sensitive", "input", "s_input_1.fq", "s_input_2.fq"),
    ("s_ip", "s", "sensitive", "ip", "s_ip_1.fq", ""),
)


def write(
    folder: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER, end: str = "\n"
) -> Path:
    path = folder / "samples.tsv"
    path.write_bytes("".join("\t".join(row) + end for row in (header, *rows)).encode())
    return path


def changed(line: int, **values: str) -> list[list[str]]:
    """The four rows of `PAIRS` with one row changed; the header is line 1."""
    rows = [list(row) for row in PAIRS]
    for column, value in values.items():
        rows[line - 2][HEADER.index(column)] = value
    return rows


def problems(sheet: Path, contrast: Contrast | None = CONTRAST, **checks) -> list[str]:
    """What is wrong, without the sheet's name, which every problem begins with."""
    with pytest.raises(InputError) as caught:
        check_sheet(sheet, contrast, **checks)
    assert caught.value.hint
    assert all(problem.startswith(str(sheet)) for problem in caught.value.problems)
    return [problem[len(str(sheet)) :].lstrip(", :") for problem in caught.value.problems]


def test_libraries_pairs_and_contrast(tmp_path):
    study = read_study(write(tmp_path, PAIRS), CONTRAST)
    assert [library.name for library in study.libraries] == ["r_input", "r_ip", "s_input", "s_ip"]
    assert [library.name for library in study.inputs] == ["r_input", "s_input"]
    assert [library.name for library in study.ips] == ["r_ip", "s_ip"]
    assert [(pair.ip.name, pair.input.name) for pair in study.pairs] == [
        ("r_ip", "r_input"),
        ("s_ip", "s_input"),
    ]
    assert [(pair.sample, pair.condition) for pair in study.pairs] == [
        ("r", "resistant"),
        ("s", "sensitive"),
    ]
    assert study.contrast == CONTRAST
    first = study.libraries[0]
    assert (first.strandedness, first.input_library, dict(first.covariates)) == ("auto", None, {})
    assert first.runs == (Run(2, tmp_path / "r_input_1.fq", tmp_path / "r_input_2.fq", None),)
    assert study.libraries[1].runs[0].files == (tmp_path / "r_ip_1.fq",)


def test_paths_are_absolute_or_relative_to_the_sheet(tmp_path):
    rows = changed(2, fastq_1="/data/a b.fq", fastq_2="../up.fq")
    run = read_study(write(tmp_path, rows), CONTRAST).libraries[0].runs[0]
    assert run.files == (Path("/data/a b.fq"), tmp_path / "../up.fq")


def test_runs_of_a_library_are_merged_and_may_lie_apart(tmp_path):
    more = ("r_input", "r", "resistant", "input", "lane2_1.fq", "lane2_2.fq")
    library = read_study(write(tmp_path, [*PAIRS, more]), CONTRAST).libraries[0]
    assert [run.row for run in library.runs] == [2, 6]
    assert library.runs[1].fastq_2 == tmp_path / "lane2_2.fq"


def test_a_shared_input_is_named(tmp_path):
    header = (*HEADER, "input_library")
    rows = [(*row, "") for row in PAIRS[:3]] + [(*PAIRS[3], "r_input")]
    study = read_study(write(tmp_path, rows, header), CONTRAST)
    assert [pair.input.name for pair in study.pairs] == ["r_input", "r_input"]


def test_of_two_inputs_the_named_one_is_taken(tmp_path):
    header = (*HEADER, "input_library")
    second = ("r_input2", "r", "resistant", "input", "x_1.fq", "", "")
    rows = [(*PAIRS[0], ""), second, (*PAIRS[1], "r_input2"), *((*row, "") for row in PAIRS[2:])]
    study = read_study(write(tmp_path, rows, header), CONTRAST)
    assert study.pairs[0].input.name == "r_input2"


def test_plain_rna_seq_has_no_pairs(tmp_path):
    study = read_study(write(tmp_path, [PAIRS[0], PAIRS[2]]), CONTRAST)
    assert study.pairs == () == study.ips


def test_accessions(tmp_path):
    header = ("library", "sample", "condition", "assay", "accession")
    rows = [("a", "a", "resistant", "input", "SRR1"), ("b", "b", "sensitive", "input", "SRR2")]
    study = read_study(write(tmp_path, rows, header), CONTRAST)
    assert study.libraries[0].runs == (Run(2, None, None, "SRR1"),)
    assert study.libraries[0].runs[0].files == ()


def test_alignments(tmp_path):
    header = ("library", "sample", "condition", "assay", "bam", "fastq_1")
    rows = [
        ("a", "a", "resistant", "input", "a.bam", ""),
        ("a", "a", "resistant", "input", "/data/more.bam", ""),
        ("b", "b", "sensitive", "input", "", "b.fq"),
    ]
    path = write(tmp_path, rows, header)
    first, second = read_study(path, CONTRAST).libraries
    assert [run.bam for run in first.runs] == [tmp_path / "a.bam", Path("/data/more.bam")]
    assert first.runs[0].files == (tmp_path / "a.bam",)
    assert (first.is_aligned, second.is_aligned) == (True, False)
    assert first.covariates == {}
    assert [run.bam is None for run in sheet_runs(path)] == [False, False, True]
    assert sheet_runs(tmp_path / "gone.tsv") == []


def test_a_sheet_without_fastq_columns_serves_programs_that_start_from_counts(tmp_path):
    path = write(tmp_path, [row[:4] for row in PAIRS], HEADER[:4])
    study = read_study(path, CONTRAST)
    assert len(study.libraries) == 4
    check_sheet(path, CONTRAST)


def test_no_row_check_that_is_not_given_and_each_that_is(tmp_path):
    path = write(tmp_path, PAIRS)
    check_sheet(path, CONTRAST)
    seen: list[Mapping[str, str]] = []
    found = problems(path, row_check=lambda row: seen.append(row) or ["bad", "worse"])
    assert found[:2] == ["row 2: bad", "row 2: worse"]
    assert len(found) == 8
    assert "fastq_2" in seen[0]
    assert "fastq_2" not in seen[1]
    found = problems(path, run_check=lambda run: [str(run.fastq_1)] if run.fastq_2 else [])
    assert found == [f"row {row}: {tmp_path / name}" for row, name in
                     ((2, "r_input_1.fq"), (4, "s_input_1.fq"))]  # fmt: skip


# habits of spreadsheets


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\t\t\t\n", "  \n", " \t \r\n"])
def test_line_ends(tmp_path, end):
    study = read_study(write(tmp_path, PAIRS, end=end), CONTRAST)
    assert [library.name for library in study.libraries] == ["r_input", "r_ip", "s_input", "s_ip"]
    assert study.libraries[3].runs[0].fastq_2 is None


def test_last_line_without_an_end(tmp_path):
    path = write(tmp_path, PAIRS)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert len(read_study(path, CONTRAST).libraries) == 4


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(tmp_path, code):
    path = write(tmp_path, [(*row, "µM é") for row in PAIRS], (*HEADER, "dose"))
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(code, b"")
    path.write_bytes(mark + path.read_text(encoding="utf-8").encode(code))
    assert read_study(path, CONTRAST).libraries[0].covariates == {"dose": "µM é"}


def test_blank_and_comment_lines_are_skipped_and_rows_keep_their_number(tmp_path):
    path = write(tmp_path, PAIRS)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(
        "".join(["# my study\n", "\n", lines[0], "\t\t\n", "#old\tr\n", *lines[1:], "\n"])
    )
    study = read_study(path, CONTRAST)
    assert [library.runs[0].row for library in study.libraries] == [6, 7, 8, 9]
    path.write_text(path.read_text() + "late\tr\tresistant\tinput\tlate.fq\t\tmore\n")
    assert problems(path) == ["row 11: 7 fields under 6 columns, the last being 'more'"]


def test_spaces_and_quotes_around_fields(tmp_path):
    path = tmp_path / "samples.tsv"
    path.write_text(
        'library \t sample\xa0\t"condition"\tassay\tfastq_1\tnote\n'
        'a\t a \tresistant\t"input"\t"my ""a"".fq"\t"one, two"\n'
        "b\tb\tsensitive\tinput \tb.fq\tin the 5' end\n",
        encoding="utf-8",
    )
    first, second = read_study(path, CONTRAST).libraries
    assert (first.sample, first.assay, second.assay) == ("a", "input", "input")
    assert first.runs[0].fastq_1 == tmp_path / 'my "a".fq'
    assert (first.covariates, second.covariates) == (
        {"note": "one, two"},
        {"note": "in the 5' end"},
    )


@pytest.mark.parametrize("value", ['"r', '"r"x'])
def test_a_stray_quotation_mark_does_not_swallow_the_rest(tmp_path, value):
    found = problems(write(tmp_path, changed(3, sample=value)))
    assert len(found) == 1
    assert found[0].startswith("row 3: ")


def test_na_is_no_value(tmp_path):
    study = read_study(write(tmp_path, changed(2, fastq_2="NA")), CONTRAST)
    assert study.libraries[0].runs[0].fastq_2 is None


# what is wrong with the file


def test_a_sheet_that_is_not_there_or_a_folder(tmp_path):
    assert problems(tmp_path / "gone.tsv")[0].startswith("no such samples sheet")
    assert problems(tmp_path)[0].startswith("cannot be read")


@pytest.mark.parametrize(
    "content", ["", "\n\n", "# only this\n", "library\tsample\tcondition\tassay\n"]
)
def test_no_rows(tmp_path, content):
    path = tmp_path / "samples.tsv"
    path.write_text(content)
    assert problems(path) == ["no rows"]


@pytest.mark.parametrize("separator", [",", ";", " ", "|"])
def test_other_separators(tmp_path, separator):
    path = tmp_path / "samples.tsv"
    path.write_text(separator.join(HEADER) + "\n")
    assert "is not separated by tabs" in problems(path)[0]


def test_a_byte_that_is_not_utf8_has_its_row(tmp_path):
    path = write(tmp_path, changed(4, sample="Zoë"))
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    assert problems(path) == ["row 4: b'\\xeb' is not UTF-8 text"]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (("library", "sample", "assay"), ["row 1: no column condition (found: library, sample, a"]),
        (("library", "", "sample", "condition", "assay"), ["row 1: column 2 has no name"]),
        ((*HEADER, "assay", "assay"), ["row 1: column assay stands twice"]),
        (
            ("Library", "sample", "condition", "assay"),
            ["row 1: no column library", "row 1: the column 'Library' is not known; did you mean"],
        ),
        ((*HEADER, "strandness"), ["row 1: the column 'strandness' is not known; did you mean 's"]),
        ((*HEADER, "Input library"), ["row 1: the column 'Input library' is not known; did you"]),
    ],
)
def test_headers_that_are_wrong(tmp_path, header, found):
    answer = problems(write(tmp_path, PAIRS, header))
    assert len(answer) == len(found)
    for problem, beginning in zip(answer, found, strict=True):
        assert problem.startswith(beginning)


@pytest.mark.parametrize("name", ["batch", "sample_id", "condition2", "gsm_accession", "strand"])
def test_covariates_may_resemble_columns_that_are_there(tmp_path, name):
    check_sheet(write(tmp_path, [(*row, "x") for row in PAIRS], (*HEADER, name)), CONTRAST)


# what is wrong between rows


@pytest.mark.parametrize(
    ("column", "value"), [("sample", "other"), ("condition", "sensitive"), ("assay", "ip")]
)
def test_runs_of_a_library_agree(tmp_path, column, value):
    more = dict(zip(HEADER, PAIRS[0], strict=True)) | {"fastq_1": "x", "fastq_2": "y"}
    rows = [*PAIRS, tuple((more | {column: value}).values())]
    found = problems(write(tmp_path, rows))
    assert found == [
        f"row 6: library 'r_input' has {column} {value!r} here and {more[column]!r} in row 2; runs "
        "of one library agree in all but their files"
    ]


def test_a_covariate_need_only_agree_where_it_is_used(tmp_path):
    header = (*HEADER, "strandedness", "lane")
    rows = [
        ("r", "r", "resistant", "input", "r_lane1.fq", "", "auto", "1"),
        ("r", "r", "resistant", "input", "r_lane2.fq", "", "", "2"),
        ("s", "s", "sensitive", "input", "s.fq", "", "", "1"),
    ]
    path = write(tmp_path, rows, header)
    check_sheet(path, CONTRAST)
    (found,) = problems(path, Contrast("condition", "resistant", "sensitive", ("lane",)))
    assert found.startswith("row 3: library 'r' has lane '2' here and '1' in row 2")


def test_layouts_of_a_library(tmp_path):
    header = (*HEADER, "accession")
    base = [(*row, "") for row in PAIRS]
    for files, has in (
        (("x", "", ""), "single-end files here and paired-end files in row 2"),
        (("", "", "SRR12345"), "an accession here and paired-end files in row 2"),
    ):
        more = ("r_input", "r", "resistant", "input", *files)
        found = problems(write(tmp_path, [*base, more], header))
        assert found == [f"row 6: library 'r_input' has {has}; give them two library names"]


def test_a_sample_has_one_condition(tmp_path):
    found = problems(write(tmp_path, changed(4, sample="r")))
    assert found[0].startswith(
        "row 4: sample 'r' has condition 'sensitive' here and 'resistant' in row 2"
    )


@pytest.mark.parametrize("again", ["r_input_1.fq", "./r_input_1.fq", "a/../r_input_1.fq"])
def test_a_file_stands_once_however_its_path_is_written(tmp_path, again):
    found = problems(write(tmp_path, changed(4, fastq_1=again)))
    assert found == [
        f"row 4: fastq_1 {again!r} is already used in row 2 (library 'r_input'); every file "
        "belongs to one row"
    ]


def test_both_mates_in_one_file_and_accessions_twice(tmp_path):
    found = problems(write(tmp_path, changed(2, fastq_2="r_input_1.fq")))
    assert found[0].startswith("row 2: fastq_2 'r_input_1.fq' is already used in row 2")
    header = ("library", "sample", "condition", "assay", "accession")
    rows = [("a", "a", "resistant", "input", "SRR1"), ("b", "b", "sensitive", "input", "SRR1")]
    found = problems(write(tmp_path, rows, header))
    assert found[0].startswith("row 3: accession 'SRR1' is already used in row 2 (library 'a')")


@pytest.mark.parametrize(
    ("rows", "named", "found"),
    [
        (PAIRS[1:], "", "row 2: library 'r_ip' is an IP of sample 'r', which has no input; add"),
        (
            (*PAIRS, ("two", "r", "resistant", "input", "z", "")),
            "",
            "row 3: library 'r_ip' is an IP of sample 'r', which has the inputs r_input, two; name",
        ),
        (PAIRS, "nobody", "row 3: library 'r_ip': input_library 'nobody' is not in the sheet; na"),
        (
            PAIRS,
            "s_ip",
            "row 3: library 'r_ip': input_library 's_ip' is not an input; name a libra",
        ),
        (
            PAIRS,
            "r_ip",
            "row 3: library 'r_ip': input_library 'r_ip' is not an input; name a libra",
        ),
    ],
)
def test_pairs_that_cannot_be_made(tmp_path, rows, named, found):
    rows = [(*row, named if row[0] == "r_ip" else "") for row in rows]
    answer = problems(write(tmp_path, rows, (*HEADER, "input_library")), None)
    assert len(answer) == 1
    assert answer[0].startswith(found)


def test_an_input_names_no_input(tmp_path):
    rows = [(*row, "s_input" if row[0] == "r_input" else "") for row in PAIRS]
    found = problems(write(tmp_path, rows, (*HEADER, "input_library")))
    assert found[0].startswith("row 2: library 'r_input' is an input but names the input_library")


def test_mistakes_of_every_kind_are_told_together(tmp_path):
    rows = [
        *changed(3, fastq_1="s_input_1.fq"),
        ("lone", "lone", "resistant", "ip", "x.fq", ""),
    ]
    contrast = Contrast("condition", "resistant", "naive", ("batch",))
    found = problems(write(tmp_path, rows), contrast, row_check=lambda row: ["row"],
                     run_check=lambda run: ["run"])  # fmt: skip
    for text in ("no input", "'batch'", "already used", "row 2: row", "row 6: run"):
        assert any(text in problem for problem in found), text
    assert len(found) == 13


def test_a_mistyped_assay_is_not_told_as_a_missing_input(tmp_path):
    rows = changed(2, assay="Input")
    assert problems(write(tmp_path, rows), row_check=lambda row: [row["assay"]][:1] if
                    row["assay"] == "Input" else []) == ["row 2: Input"]  # fmt: skip


# the contrast


def with_batch(*levels: str) -> list[tuple[str, ...]]:
    """Four inputs, two a condition, with a batch each."""
    return [
        (f"l{n}", f"l{n}", ("resistant", "sensitive")[n // 2], "input", f"{n}.fq", "", level)
        for n, level in enumerate(levels)
    ]


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        (("a", "b", "a", "b"), None),
        (
            ("1", "2", "1", "3"),
            "column batch: covariate 'batch' with its 3 levels leaves no residual",
        ),
        (("a", "a", "b", "b"), "column batch: covariate 'batch' is aliased with 'condition'"),
        (("a", "b", "c", "d"), "column batch: covariate 'batch' is aliased with 'condition'"),
        (("a", "a", "a", "a"), "column batch: covariate 'batch' is 'a' in every library"),
        (("a", "", "a", "b"), "row 3: covariate 'batch' has no value; fill it"),
    ],
)
def test_covariates(tmp_path, levels, found):
    path = write(tmp_path, with_batch(*levels), (*HEADER, "batch"))
    contrast = Contrast("condition", "resistant", "sensitive", ("batch",))
    if found is None:
        check_sheet(path, contrast)
        design = read_study(path, contrast).design(read_study(path, contrast).libraries)
        assert design.columns.tolist() == ["condition", "batch"]
        assert design["batch"].tolist() == list(levels)
    else:
        (answer,) = problems(path, contrast)
        assert answer.startswith(found)


def test_covariates_without_replicates(tmp_path):
    """One library a level is exploratory anyway; a covariate is aliased there, whatever it is."""
    rows = [with_batch("a", "b", "a", "b")[n] for n in (0, 3)]
    path = write(tmp_path, rows, (*HEADER, "batch"))
    (answer,) = problems(path, Contrast("condition", "resistant", "sensitive", ("batch",)))
    assert "aliased" in answer


def paired_sheet(tmp_path, *levels):
    """Six samples with input and IP, whose batches are given: three a condition."""
    rows = []
    for number, level in enumerate(levels):
        condition = ("resistant", "sensitive")[number // 3]
        for assay in ("input", "ip"):
            name = f"s{number}_{assay}"
            rows.append(
                (name, f"s{number}", condition, assay, f"{name}.fq", "", level[assay == "ip"])
            )
    return write(tmp_path, rows, (*HEADER, "batch"))


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        (("aa", "bb", "aa", "bb", "aa", "bb"), None),
        (("aa", "ba", "aa", "bb", "ab", "bb"),
         "aliased with 'condition' or an earlier covariate among the IP"),
        (("aa", "ba", "aa", "ba", "aa", "ba"), "'a' in every library of the contrast (IP)"),
        # no residual degrees of freedom: the methylation is exploratory
        (("aa", "bb", "ac", "ba", "ad", "be"), None),
        (("aa", "aa", "aa", "aa", "aa", "aa"), "'a' in every library of the contrast (input)"),
    ],
)  # fmt: skip
def test_covariates_of_ips(tmp_path, levels, found):
    """What the IPs cannot tell apart is said before the run, and once."""
    path = paired_sheet(tmp_path, *levels)
    contrast = Contrast("condition", "resistant", "sensitive", ("batch",))
    if found is None:
        check_sheet(path, contrast)
    else:
        (answer,) = problems(path, contrast)
        assert found in answer


def test_a_paired_design_by_patient(tmp_path):
    path = paired_sheet(tmp_path, "aa", "bb", "cc", "aa", "bb", "cc")
    check_sheet(path, Contrast("condition", "resistant", "sensitive", ("batch",)))


def test_two_covariates_aliased_with_each_other(tmp_path):
    rows = [(*row, row[-1] * 2) for row in with_batch("a", "b", "a", "b")]
    path = write(tmp_path, rows, (*HEADER, "batch", "day"))
    (answer,) = problems(path, Contrast("condition", "resistant", "sensitive", ("batch", "day")))
    assert answer.startswith("column day: covariate 'day' is aliased")


def test_covariates_count_libraries_of_the_contrast_alone(tmp_path):
    other = ("x", "x", "naive", "input", "x.fq", "", "b")
    path = write(tmp_path, [*with_batch("a", "a", "a", "a"), other], (*HEADER, "batch"))
    (answer,) = problems(path, Contrast("condition", "resistant", "sensitive", ("batch",)))
    assert "is 'a' in every library" in answer


def test_another_column_may_be_compared(tmp_path):
    path = write(tmp_path, with_batch("a", "b", "a", "b"), (*HEADER, "batch"))
    study = read_study(path, Contrast("batch", "a", "b", ("condition",)))
    design = study.design(study.libraries)
    assert design.loc["l1"].tolist() == ["b", "resistant"]
    assert study.libraries[0].level("sample") == "l0"


@pytest.mark.parametrize("name", ["library", "assay", "fastq_1", "strandedness", "nobody"])
def test_what_cannot_be_compared(tmp_path, name):
    (answer,) = problems(write(tmp_path, PAIRS), Contrast(name, "a", "b"))
    assert answer.startswith(f"row 1: the contrast names {name!r}, which is not a column")
    assert "use one of condition, sample" in answer


def test_a_level_needs_an_input_library(tmp_path):
    ip_only = ("n_ip", "n", "naive", "ip", "n.fq", "", "r_input")
    path = write(tmp_path, [*((*row, "") for row in PAIRS), ip_only], (*HEADER, "input_library"))
    (answer,) = problems(path, Contrast("condition", "naive", "sensitive"))
    assert answer == (
        "column condition: no input library has the contrast's level 'naive'; the sheet has naive, "
        "resistant, sensitive"
    )


def test_a_level_is_not_compared_with_itself(tmp_path):
    (answer,) = problems(write(tmp_path, PAIRS), Contrast("condition", "resistant", "resistant"))
    assert "compares 'resistant' with itself" in answer


def test_the_design_leaves_out_libraries_of_other_levels(tmp_path):
    other = ("x", "x", "naive", "input", "x.fq", "")
    study = read_study(write(tmp_path, [*PAIRS, other]), CONTRAST)
    assert study.design(study.inputs).index.tolist() == ["r_input", "s_input"]
    assert study.design(study.inputs).columns.tolist() == ["condition"]
    assert study.design([]).shape == (0, 1)


def test_one_library_a_condition_is_a_study(tmp_path):
    study = read_study(write(tmp_path, [PAIRS[0], PAIRS[2]]), CONTRAST)
    assert isinstance(study, Study)
    (answer,) = problems(write(tmp_path, [PAIRS[0]]))
    assert (
        "no input library has the contrast's level 'sensitive'; the sheet has resistant" in answer
    )
