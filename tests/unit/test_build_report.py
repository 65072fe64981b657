from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
import report_study as study

import build_report
from ringmark import report, tables

SHAPES = ["full", "no_ip", "no_replicates", "nothing_significant", "no_circles", "no_peaks"]


class Reader(HTMLParser):
    """What the tests need to know of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.facts: dict[str, int] = {}
        self.headings: list[str] = []
        self.data: dict[str, dict] = {}
        self.text: list[str] = []
        self._script: str | None = None
        self._silent = 0

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        for name in ("src", "srcset", "data", "poster"):
            if values.get(name):
                self.loaded.append(values[name])
        if tag in ("link", "image", "use"):
            self.loaded += [values[n] for n in ("href", "xlink:href") if values.get(n)]
        if tag == "a" and values.get("href", "").startswith("#"):
            self.anchors.append(values["href"][1:])
        if "id" in values:
            self.ids.append(values["id"])
        if "data-fact" in values:
            self.facts[values["data-fact"]] = int(values["data-value"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)
        if tag in ("script", "style"):
            self._silent += 1
            self._script = values.get("id") if tag == "script" else None

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._silent -= 1
            self._script = None

    def handle_data(self, content):
        if self._script and self._script.startswith("data-"):
            self.data[self._script[5:]] = json.loads(content)
        if not self._silent:
            self.text.append(content)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def command(paths, output):
    arguments = ["--title", "A <study>", "--test", "resistant", "--reference", "sensitive"]
    for name, path in paths.items():
        arguments += [f"--{name}", str(path)]
    return [*arguments, "--output", str(output)]


def read(path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


@pytest.fixture(scope="module", params=SHAPES)
def built(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    paths = study.write_study(folder, request.param)
    output = folder / "report" / "index.html"
    assert build_report.main(command(paths, output)) == 0
    return request.param, paths, output, read(output)


def test_nothing_is_loaded_from_elsewhere(built):
    _, _, output, page = built
    assert [a for a in page.loaded if not a.startswith(("data:", "#"))] == []
    text = output.read_text(encoding="utf-8")
    styles = "".join(re.findall(r"<style.*?</style>", text, flags=re.DOTALL))
    assert not re.search(r"@import|url\((?!['\"]?(?:data:|#))", styles)
    assert "default-src 'none'" in text


def test_page_is_small_and_whole(built):
    _, _, output, _ = built
    text = output.read_text(encoding="utf-8")
    assert len(text.encode()) < build_report.PAGE_LIMIT
    assert text.rstrip().endswith("</html>")
    assert [path.name for path in output.parent.iterdir()] == ["index.html"]


def test_identifiers_and_anchors(built):
    *_, page = built
    assert len(page.ids) == len(set(page.ids))
    assert set(page.anchors) <= set(page.ids)


def test_headings_skip_no_level(built):
    *_, page = built
    levels = [int(name[1]) for name in page.headings]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_numbers_of_the_answer_equal_the_tables(built):
    shape, paths, _, page = built
    for option in ("genes", "circle-differential", "ratio", "methylation", "circle-methylation"):
        if option not in paths:
            assert f"{option}-up" not in page.facts
            continue
        table = pd.read_csv(paths[option], sep="\t")
        if table["pvalue"].notna().any():
            changed = table[table["padj"] < 0.05]
            assert page.facts[f"{option}-up"] == (changed["log2FoldChange"] > 0).sum()
            assert page.facts[f"{option}-down"] == (changed["log2FoldChange"] < 0).sum()
        else:
            assert page.facts[f"{option}-compared"] == len(table)
    assert page.facts["claims-confirmed"] == 1
    assert page.facts["claims-contradicted"] == 1
    if shape == "nothing_significant":
        assert page.facts["genes-up"] == page.facts["genes-down"] == 0


def test_every_table_is_present_with_all_its_rows(built):
    _, paths, _, page = built
    for option, path in paths.items():
        key = option.replace("-", "_")
        if key in report.MATRICES:
            continue
        table = pd.read_csv(path, sep="\t")
        if table.empty:
            assert key not in page.data
            continue
        data = page.data[key]
        assert len(data["rows"]) == len(table)
        columns = [column["name"] for column in data["columns"] if not column["added"]]
        assert columns == list(table.columns)


def test_cells_equal_the_table(built):
    _, paths, _, page = built
    table = tables.DIFFERENTIAL.read(paths["genes"])
    table = report.rank(table).reset_index(drop=True)
    rows = page.data["genes"]["rows"]
    for position, name in enumerate(table.columns):
        expected = table[name].astype(object).where(table[name].notna(), None).tolist()
        assert [row[position] for row in rows] == expected


def test_each_shape_says_what_is_missing(built):
    shape, _, _, page = built
    sentences = {
        "full": "The circle that rose most in the resistant samples is GENE11",
        "no_ip": "This study has no immunoprecipitated libraries",
        "no_replicates": "Exploratory fold changes, no p-values",
        "nothing_significant": "No circle changed at an adjusted p-value below 0.05.",
        "no_circles": "No circles were found.",
        "no_peaks": "No peaks were found.",
    }
    assert sentences[shape] in page.words
    for other in ("no_ip", "no_replicates", "no_circles", "no_peaks"):
        if other != shape:
            assert sentences[other] not in page.words


def test_markup_in_titles_and_cells_is_escaped(built):
    *_, output, page = built
    text = output.read_text(encoding="utf-8")
    assert "A &lt;study&gt;" in text
    assert "<entity>" not in text
    assert "GENE6 <entity>" in page.words


def test_the_same_tables_give_the_same_page(tmp_path):
    paths = study.write_study(tmp_path, "full")
    paths = {key: paths[key] for key in ("libraries", "circles", "genes")}
    pages = []
    for name in ("one", "two"):
        output = tmp_path / name / "index.html"
        assert build_report.main(command(paths, output)) == 0
        pages.append(output.read_bytes())
    assert pages[0] == pages[1]


def test_libraries_alone_make_a_report(tmp_path):
    paths = study.write_study(tmp_path, "full")
    output = tmp_path / "index.html"
    assert build_report.main(["--libraries", str(paths["libraries"]), "--output", str(output)]) == 0
    page = read(output)
    assert page.facts == {}
    assert page.words.count(report.NOT_COMPUTED) >= 8
    assert "No conditions were compared in this run." in page.words


def test_a_study_without_libraries_makes_a_report(tmp_path):
    path = tmp_path / "libraries.tsv"
    tables.LIBRARIES.write([], path)
    output = tmp_path / "index.html"
    assert build_report.main(["--libraries", str(path), "--output", str(output)]) == 0
    assert "No libraries" in read(output).words


def test_provenance_and_filters_are_shown(tmp_path):
    paths = study.write_study(tmp_path, "full")
    paths = {key: paths[key] for key in ("libraries", "filters")}
    record = tmp_path / "provenance.json"
    record.write_text(
        json.dumps(
            {
                "commit": "0123abc",
                "platform": "Linux x86_64",
                "versions": {"numpy": "2.4.0"},
                "inputs": [{"path": "reads.fastq.gz", "bytes": 5, "sha256": "0f" * 32}],
                "config": {"m6a": {"alpha": 0.05}},
            }
        )
    )
    output = tmp_path / "index.html"
    extra = ["--provenance", str(record), "--multiqc", "../multiqc/multiqc.html"]
    assert build_report.main([*command(paths, output), *extra]) == 0
    page = read(output)
    for text in ("0123abc", "2.4.0", '"alpha": 0.05', "../multiqc/multiqc.html"):
        assert text in page.words
    assert page.data["inputs"]["rows"] == [["reads.fastq.gz", 5, "0f" * 32]]
    assert page.data["filters"]["rows"] == [["circles", "fewer than 2 reads", 7, 12]]


def fails(capsys, arguments) -> str:
    assert build_report.main(arguments) == 1
    message = capsys.readouterr().err
    assert message.startswith("Error: ")
    assert message.splitlines()[-1].startswith("Hint: ")
    return message


def test_user_mistakes_are_messages(tmp_path, capsys):
    paths = study.write_study(tmp_path, "no_ip")
    output = tmp_path / "index.html"
    base = ["--libraries", str(paths["libraries"]), "--output", str(output)]
    absent = str(tmp_path / "absent.tsv")
    assert "absent.tsv" in fails(capsys, [*base, "--circles", absent])
    wrong = fails(capsys, [*base, "--circles", str(paths["genes"])])
    assert "has no column circle" in wrong
    (tmp_path / "void.tsv").touch()
    assert "empty" in fails(capsys, [*base, "--genes", str(tmp_path / "void.tsv")])
    assert "together" in fails(capsys, [*base, "--test", "resistant"])
    levels = ["--test", "resitant", "--reference", "sensitive"]
    assert "resitant" in fails(capsys, [*base, *levels])
    assert "has no column claim_id" in fails(capsys, [*base, "--overlap", str(paths["genes"])])
    (tmp_path / "bad.json").write_text("{")
    assert "not JSON" in fails(capsys, [*base, "--provenance", str(tmp_path / "bad.json")])
    assert not output.exists()


def test_the_libraries_are_required(capsys):
    with pytest.raises(SystemExit) as stop:
        build_report.main(["--output", "index.html"])
    assert stop.value.code == 2
    assert "--libraries" in capsys.readouterr().err


def test_the_widget_is_embedded_as_one_constant():
    source = 'var a=1;var t="<!-- </script><script>";export{x as Other,a as default};\n/*! end */'
    code = build_report.widget_script(source)
    assert "const widget={DataTable:a};" in code
    assert "export" not in code
    assert not re.search(r"<!--|</?script", code)
    with pytest.raises(ValueError, match="default export"):
        build_report.widget_script("var a=1;")
