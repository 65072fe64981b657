"""Build the report of a run: one HTML page that opens offline.

The tables are read and checked, `ringmark.report` turns them into a page of sentences, facts,
figures and tables, and a Jinja2 template of ``workflow/report`` turns that into HTML. Style,
scripts and data stand inside the page; nothing is fetched when it opens, and its content security
policy forbids it. The table widget is DataTables, taken from the installed package ``itables``.

Everything but the libraries may be left out: such a part is "not computed" and the page says why.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup

from ringmark import report
from ringmark.errors import InputError, program
from ringmark.files import write_text
from ringmark.study import Contrast
from ringmark.tables import read_matrix

ASSETS = Path(__file__).resolve().parent.parent / "report"
PAGE_LIMIT = 6_000_000
VERDICT_BADGES = frozenset({"confirmed", "contradicted", "good", "weak", "failed"})

#: Key of a table to what the option holds.
OPTIONS = {
    "circles": "circrna/circles.tsv",
    "bsj_counts": "circrna/bsj_counts.tsv",
    "linear_counts": "circrna/linear_counts.tsv",
    "peaks": "m6a/peaks.tsv",
    "quality": "m6a/quality.tsv",
    "saturation": "m6a/saturation.tsv",
    "metagene": "m6a/metagene.tsv",
    "motif": "m6a/motif.tsv",
    "ip_counts": "m6a/ip_counts.tsv",
    "input_counts": "m6a/input_counts.tsv",
    "circle_m6a": "circrna_m6a/circles.tsv",
    "circle_detection": "circrna_m6a/detection.tsv",
    "genes": "differential/genes.tsv",
    "circle_differential": "differential/circles.tsv",
    "ratio": "differential/circle_ratio.tsv",
    "methylation": "differential/methylation.tsv",
    "circle_methylation": "differential/circle_methylation.tsv",
    "shrunken_genes": "differential/shrunken_genes.tsv",
    "shrunken_circles": "differential/shrunken_circles.tsv",
    "circle_changes": "differential/circle_changes.tsv",
    "overlap": "regulators/overlap.tsv",
    "enrichment": "regulators/enrichment.tsv",
    "axes": "regulators/axes.tsv",
    "gene_counts": "expression/gene_counts.tsv",
}


def parser() -> argparse.ArgumentParser:
    """Return the command line of the program."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    add = result.add_argument
    add("--title", default="Ringmark report", help="title of the page")
    add("--libraries", type=Path, required=True, help="study/libraries.tsv")
    for key, content in OPTIONS.items():
        add(f"--{key.replace('_', '-')}", type=Path, metavar="TSV", help=content)
    add("--filters", type=Path, nargs="+", default=[], metavar="TSV", help="filter logs")
    add("--multiqc", help="address of the MultiQC report relative to the page")
    add("--provenance", type=Path, metavar="JSON", help="provenance.json")
    add("--factor", default="condition", help="factor of the contrast")
    add("--test", help="level that is compared")
    add("--reference", help="level it is compared with")
    add("--covariates", nargs="+", default=[], metavar="COLUMN", help="what was adjusted for")
    add("--alpha", type=float, default=0.05, help="threshold on adjusted p-values")
    add("--output", type=Path, required=True, metavar="HTML", help="the page")
    return result


def read_table(key: str, path: Path) -> pd.DataFrame:
    """Read one table of the report by what its key stands for.

    Raises
    ------
    InputError
        If the file is absent, empty, or has not the columns it should have.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file", "leave the option out if it was not computed")
    try:
        return read_matrix(path) if key in report.MATRICES else report.SCHEMAS[key].read(path)
    except pd.errors.EmptyDataError as error:
        raise InputError(
            f"{path}: the file is empty", "a table without rows still has its header"
        ) from error


def read_tables(arguments: argparse.Namespace) -> dict[str, pd.DataFrame]:
    """Read every table that was given."""
    paths = given_paths(arguments)
    result = {key: read_table(key, path) for key, path in paths.items()}
    if arguments.filters:
        logs = [read_table("filters", path) for path in arguments.filters]
        filled = [log for log in logs if len(log)]
        result["filters"] = pd.concat(filled, ignore_index=True) if filled else logs[0]
    return result


def given_paths(arguments: argparse.Namespace) -> dict[str, Path]:
    """Return key and path of the tables that were given."""
    options = {key: getattr(arguments, key) for key in ("libraries", *OPTIONS)}
    return {key: path for key, path in options.items() if path is not None}


def links(paths: Mapping[str, Path], output: Path) -> dict[str, str]:
    """Return addresses of the tables relative to the page."""
    folder = output.resolve().parent
    return {
        key: Path(os.path.relpath(path.resolve(), folder)).as_posix() for key, path in paths.items()
    }


def contrast(arguments: argparse.Namespace, conditions: Sequence[str]) -> Contrast | None:
    """Return the contrast that was given, if any.

    Raises
    ------
    InputError
        If one level is given without the other, or is not a condition of the study.
    """
    levels = (arguments.test, arguments.reference)
    if levels == (None, None):
        return None
    if None in levels:
        raise InputError("--test and --reference belong together", "give both or neither")
    unknown = [level for level in levels if level not in conditions]
    if arguments.factor == "condition" and unknown:
        raise InputError(
            f"{arguments.libraries}: no library of condition {', '.join(unknown)}",
            f"the conditions are {', '.join(dict.fromkeys(conditions))}",
        )
    return Contrast(
        arguments.factor, arguments.test, arguments.reference, tuple(arguments.covariates)
    )


def read_provenance(path: Path | None) -> dict[str, Any] | None:
    """Read provenance.json, if given."""
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", "write_provenance.py writes it") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON: {error}", "write_provenance.py writes it") from error
    return dict(content)


def widget_script(source: str) -> str:
    """Turn the module of the table widget into code that may stand inside a page.

    The module's exports become one constant, ``widget``, and sequences that an HTML parser would
    take for markup inside a script are escaped.

    Raises
    ------
    ValueError
        If the module does not export what is needed.
    """
    found = re.search(r"export\s*\{([^}]*)\};?", source)
    default = re.search(r"([\w$]+) as default", found.group(1)) if found else None
    if not found or not default:
        raise ValueError("the table widget of itables has no default export")
    constant = f"const widget={{DataTable:{default.group(1)}}};"
    code = source[: found.start()] + constant + source[found.end() :]
    return re.sub(r"<(?=!--|/?script)", r"\\x3C", code, flags=re.IGNORECASE)


def render(page: report.Page) -> str:
    """Fill the template with a page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    widget = files("itables") / "html"
    return environment.get_template("page.html.j2").render(
        page=page,
        badges=VERDICT_BADGES,
        widget_css=Markup((widget / "dt_bundle.css").read_text(encoding="utf-8")),
        widget_js=Markup(widget_script((widget / "dt_bundle.js").read_text(encoding="utf-8"))),
        page_css=Markup((ASSETS / "page.css").read_text(encoding="utf-8")),
        page_js=Markup((ASSETS / "page.js").read_text(encoding="utf-8")),
    )


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    arguments = parser().parse_args(argv)
    tables = read_tables(arguments)
    evidence = report.Evidence(
        tables=tables,
        columns=yaml.safe_load((ASSETS / "columns.yaml").read_text(encoding="utf-8")),
        captions=yaml.safe_load((ASSETS / "captions.yaml").read_text(encoding="utf-8")),
        links=links(given_paths(arguments), arguments.output),
        contrast=contrast(arguments, tables["libraries"]["condition"].tolist()),
        alpha=arguments.alpha,
        provenance=read_provenance(arguments.provenance),
        multiqc=arguments.multiqc,
    )
    text = render(report.build_page(evidence, arguments.title))
    write_text(text, arguments.output)
    size = len(text.encode())
    if size > PAGE_LIMIT:
        print(f"Note: the report has {size / 1e6:.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
