"""What a study says to each reviewed claim: overlap, set tests and chains.

A claim is a statement of a review: an entity, the direction it has in resistant cells, and its
effect on resistance. Three questions are asked of a study whose contrast is resistant over
sensitive:

`overlap`
    For each claim and each comparison that can bear on it: what was measured, and is it what the
    review says?
`enrichment`
    Do the reviewed genes change more often, more strongly, or more often in the reviewed direction
    than other tested genes of the same expression?
`judge_chains`
    Does a reviewed chain hold link by link?

Verdicts of the overlap
    ``confirmed``
        significant (adjusted p below the false discovery rate) with the expected sign;
    ``contradicted``
        significant with the opposite sign;
    ``unchanged``
        tested, not significant; the reason gives the power to see a twofold change, because
        "unchanged" without power says nothing;
    ``not measurable``
        no feature, no table, no test or no expected sign; the reason says which. A fold change is
        still given where there is one, and then it is exploratory.

The expected sign is the claim's direction. Where the review gives only an effect, an entity that
promotes resistance is expected up and one that reverses it down, and the reason says that the sign
is inferred. For m6A the expected sign follows from the chains: the sign of the path from
``m6A(entity)`` to resistance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from ringmark.multiple_testing import adjust
from ringmark.tables import INTEGER, NUMBER, POOLED, STRING, Table

CLAIMS = Table(
    "claims",
    dict.fromkeys(
        (
            "claim_id",
            "review",
            "location",
            "entity",
            "entity_type",
            "symbol",
            "aliases",
            "host_gene",
            "role",
            "direction_in_resistance",
            "effect",
            "partner",
            "partner_relation",
            "downstream",
            "cancer",
            "therapy",
            "therapy_class",
            "mechanism",
            "reference",
            "as_printed",
            "note",
        ),
        STRING,
    ),
)

AXES = Table(
    "chains",
    {
        "axis_id": STRING,
        "review": STRING,
        "claim_id": STRING,
        "step": INTEGER,
        "source": STRING,
        "source_type": STRING,
        "relation": STRING,
        "target": STRING,
        "target_type": STRING,
        "sign": INTEGER,
        "cancer": STRING,
        "therapy": STRING,
    },
)

#: A row a claim, comparison and matched feature; see the module's text for the verdicts.
OVERLAP = Table(
    "overlap",
    {
        "claim_id": STRING,
        "review": STRING,
        "location": STRING,
        "entity": STRING,
        "entity_type": STRING,
        "symbol": STRING,
        "comparison": STRING,
        "matched_feature": STRING,
        "match": STRING,
        "log2FoldChange": NUMBER,
        "pvalue": NUMBER,
        "padj": NUMBER,
        "expected_sign": INTEGER,
        "verdict": STRING,
        "reason": STRING,
        "cancer": STRING,
        "therapy": STRING,
        "reference": STRING,
    },
)

#: A row a set of reviewed genes; see `enrichment`.
ENRICHMENT = Table(
    "enrichment of reviewed sets",
    {
        "set": STRING,
        "size": INTEGER,
        "measured": INTEGER,
        "changed": INTEGER,
        "expected_changed": NUMBER,
        "odds_ratio": NUMBER,
        "pvalue": NUMBER,
        "agree": INTEGER,
        "disagree": INTEGER,
        "sign_pvalue": NUMBER,
        "rank_pvalue": NUMBER,
        "padj": NUMBER,
    },
)

#: A row a chain; see `judge_chains`.
AXIS_RESULTS = Table(
    "reviewed chains",
    {
        "axis_id": STRING,
        "review": STRING,
        "location": STRING,
        "members": STRING,
        "links": INTEGER,
        "links_seen": INTEGER,
        "links_agreeing": INTEGER,
        "links_disagreeing": INTEGER,
        "coherent": STRING,
        "measured": STRING,
        "cancer": STRING,
        "therapy": STRING,
        "reference": STRING,
    },
)

REVIEWS = ("lin2022", "radioresistance2023", "zuo2022")
#: Entity types that are a linear transcript, measured by the gene table.
TRANSCRIPT_TYPES = ("writer", "eraser", "reader", "gene", "lncRNA")
#: Why an entity of a type that no library of a study measures has no verdict.
UNMEASURED_TYPES = {
    "microRNA": "microRNAs are not measured by these libraries",
    "compound": "a compound is not measured by RNA sequencing",
    "complex": "the claim is about a complex, not about the level of its members",
    "family": "the review names a family, not its members",
    "pathway": "the claim is about a pathway's activity, not about one transcript",
    "process": "the claim is about a process, not about one transcript",
    "cells": "the claim is about cells, not about one transcript",
}
ENTITY_TYPES = (*TRANSCRIPT_TYPES, "circRNA", *UNMEASURED_TYPES)
ROLES = ("regulator", "mediator", "effector", "biomarker", "drug", "drug target")
DIRECTIONS = {"up": 1, "down": -1}
EFFECTS = {"promotes": 1, "reverses": -1}
THERAPY_CLASSES = ("chemotherapy", "radiotherapy", "targeted", "immunotherapy")
MECHANISMS = (
    "drug transport",
    "autophagy",
    "DNA repair",
    "cell cycle",
    "apoptosis",
    "EMT and stemness",
    "microenvironment",
    "glycolysis",
    "metabolism",
    "exosomes",
    "ferroptosis",
    "redox",
)
#: Sign of a relation between source and target; ``None`` where the relation alone does not say.
RELATIONS: Mapping[str, int | None] = {
    "methylates": 1,
    "demethylates": -1,
    "stabilises": 1,
    "destabilises": -1,
    "degrades": -1,
    "translates": 1,
    "transcribes": 1,
    "circularises": 1,
    "exports": 1,
    "upregulates": 1,
    "downregulates": -1,
    "activates": 1,
    "inhibits": -1,
    "sponges": -1,
    "represses": -1,
    "recruits": 1,
    "reads": 1,
    "binds": None,
    "regulates": None,
    "promotes": 1,
    "reverses": -1,
}
#: Relations of a claim to its partner: those of the chains and their passive forms.
PARTNER_RELATIONS = (
    *(name for name in RELATIONS if name not in EFFECTS),
    "downstream of",
    "is stabilised by",
)
#: The last node of every chain: the contrast itself, +1 by definition.
RESISTANCE = "resistance"

COMPARISONS = ("expression", "circle", "ratio", "m6A on the entity", "m6A on the circle")
CONFIRMED, CONTRADICTED = "confirmed", "contradicted"
UNCHANGED, NOT_MEASURABLE = "unchanged", "not measurable"

_CLAIM_ID = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9_]+)+")
_LOCATION = re.compile(r"Table \d+, row \d+|Section: \S.*")
_GENE_SYMBOL = re.compile(r"[A-Z][A-Z0-9]*(orf[0-9]+)?[A-Z0-9]*(-[A-Z0-9]+)*")
_CIRCLE_SYMBOL = re.compile(r"hsa_circ_[0-9]{7}|circ[A-Z][A-Z0-9-]*|CDR1-AS")
_MICRORNA_SYMBOL = re.compile(r"hsa-(miR|let)-[0-9]+[a-z]?(-[35]p)?")
_COORDINATES = re.compile(r"([A-Za-z0-9.]+):([^:]+:\d+-\d+:[+-])")


# --- claims ---------------------------------------------------------------------------------------


def split(value: object) -> list[str]:
    """Return the values of a cell that may hold several, separated by ``;``.

    Examples
    --------
    >>> split("cisplatin;pemetrexed")
    ['cisplatin', 'pemetrexed']
    >>> split(pd.NA)
    []
    """
    if value is None or value is pd.NA or value != value:
        return []
    return [part.strip() for part in str(value).split(";") if part.strip()]


def check_claims(claims: pd.DataFrame) -> list[str]:
    """Return what is wrong with a claims table, one line a problem; empty if nothing is.

    Parameters
    ----------
    claims
        Columns of `CLAIMS`.
    """
    problems = [
        f"row {row}: claim_id {value!r} stands twice"
        for row, value, twice in zip(
            range(2, len(claims) + 2),
            claims["claim_id"],
            claims["claim_id"].duplicated(),
            strict=True,
        )
        if twice
    ]
    for number, row in enumerate(claims.to_dict("records"), start=2):
        problems += [f"row {number}: {problem}" for problem in _claim_problems(row)]
    return problems


def _claim_problems(row: Mapping[object, object]) -> list[str]:
    """Return the problems of one claim: column, value and what is allowed."""
    value = {str(key): "" if not split(cell) else str(cell) for key, cell in row.items()}
    allowed: dict[str, Iterable[str]] = {
        "entity_type": ENTITY_TYPES,
        "review": REVIEWS,
        "role": ROLES,
        "direction_in_resistance": ("", *DIRECTIONS),
        "effect": ("", *EFFECTS),
        "partner_relation": ("", *PARTNER_RELATIONS),
    }
    problems = [
        f"{column} {value[column]!r} is none of {', '.join(filter(None, words))}"
        for column, words in allowed.items()
        if value[column] not in words
    ]
    for column, words in (("therapy_class", THERAPY_CLASSES), ("mechanism", MECHANISMS)):
        problems += [
            f"{column} {part!r} is none of {', '.join(words)}"
            for part in split(row[column])
            if part not in words
        ]
    shapes = {"claim_id": _CLAIM_ID, "location": _LOCATION}
    problems += [
        f"{column} {value[column]!r} has not the form of a {column}"
        for column, shape in shapes.items()
        if not shape.fullmatch(value[column])
    ]
    problems += [f"{column} is empty" for column in ("entity", "reference") if not value[column]]
    if bool(value["partner"]) != bool(value["partner_relation"]):
        problems.append("partner and partner_relation stand together or not at all")
    known = value["entity_type"] in ENTITY_TYPES
    if known and not _symbol_fits(value["entity_type"], value["symbol"]):
        problems.append(f"symbol {value['symbol']!r} is not one of a {value['entity_type']}")
    if value["symbol"] == "" and _needs_symbol(value["entity_type"]) and not value["note"]:
        problems.append("no symbol and no note that says why")
    if value["entity_type"] == "circRNA" and not (value["host_gene"] or value["note"]):
        problems.append("no host gene and no note that says why")
    return problems


def _needs_symbol(entity_type: str) -> bool:
    return entity_type in (*TRANSCRIPT_TYPES, "circRNA", "microRNA")


def _symbol_fits(entity_type: str, symbol: str) -> bool:
    if not symbol:
        return True
    if entity_type == "circRNA":
        return bool(_CIRCLE_SYMBOL.fullmatch(symbol))
    if entity_type == "microRNA":
        return bool(_MICRORNA_SYMBOL.fullmatch(symbol))
    return entity_type in TRANSCRIPT_TYPES and bool(_GENE_SYMBOL.fullmatch(symbol))


def check_axes(axes: pd.DataFrame, claims: pd.DataFrame) -> list[str]:
    """Return what is wrong with a table of chains, one line a problem.

    An edge must cite a claim, its sign must be that of its relation, and the sign of the path from
    each node to resistance must be the direction (else the effect) that the claim states.

    Parameters
    ----------
    axes, claims
        Columns of `AXES` and `CLAIMS`.
    """
    problems: list[str] = []
    known = set(claims["claim_id"])
    for number, row in enumerate(axes.itertuples(index=False), start=2):
        if row.claim_id not in known:
            problems.append(f"row {number}: claim_id {row.claim_id!r} is not in the claims")
        if row.relation not in RELATIONS:
            problems.append(f"row {number}: relation {row.relation!r} is unknown")
        elif row.sign not in (1, -1) or RELATIONS[row.relation] not in (None, row.sign):
            problems.append(f"row {number}: sign {row.sign} does not fit {row.relation!r}")
    if problems:
        return problems
    chains = read_chains(axes, claims)
    for chain in chains:
        for node, claim in chain.claims.items():
            stated = direction_sign(claim)[0]
            sign = chain.sign_to_resistance(node)
            if stated is not None and sign != stated:
                problems.append(
                    f"axis {chain.axis_id}: the path from {node} to resistance has the sign"
                    f" {sign}, its claim says {stated}"
                )
    return problems


def filter_claims(
    claims: pd.DataFrame,
    cancer: Sequence[str] = (),
    therapy: Sequence[str] = (),
    therapy_class: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the claims that fit a study; no words for a column means every claim fits it.

    Parameters
    ----------
    claims
        Columns of `CLAIMS`.
    cancer, therapy, therapy_class
        Words of the columns of that name; a claim fits if one of its values is one of the words,
        whatever the case. A claim without a value does not fit.
    """
    keep = np.ones(len(claims), dtype=bool)
    wanted = {"cancer": cancer, "therapy": therapy, "therapy_class": therapy_class}
    for column, words in wanted.items():
        if words:
            lower = {word.casefold() for word in words}
            keep &= [
                any(part.casefold() in lower for part in split(value)) for value in claims[column]
            ]
    return claims[keep].reset_index(drop=True)


def direction_sign(claim: Mapping[str, object]) -> tuple[int | None, bool]:
    """Return the sign a claim states for resistant cells, and whether it is inferred.

    Returns
    -------
    tuple
        +1, -1 or ``None``; ``True`` if only the effect is given and the sign follows from it.
    """
    direction, effect = claim["direction_in_resistance"], claim["effect"]
    if isinstance(direction, str) and direction in DIRECTIONS:
        return DIRECTIONS[direction], False
    if isinstance(effect, str) and effect in EFFECTS:
        return EFFECTS[effect], True
    return None, False


# --- chains ---------------------------------------------------------------------------------------


@dataclass
class Chain:
    """One reviewed chain: signed edges from its regulators to resistance.

    Attributes
    ----------
    axis_id
        Name of the chain.
    edges
        (source, target, sign) in the order of the table.
    claims
        Node to the claim about it, for the nodes that are an entity of a claim.
    """

    axis_id: str
    edges: list[tuple[str, str, int]] = field(default_factory=list)
    claims: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def nodes(self) -> list[str]:
        """Nodes in the order of their first edge, resistance last."""
        ordered = dict.fromkeys(node for edge in self.edges for node in edge[:2])
        return [*(node for node in ordered if node != RESISTANCE), RESISTANCE]

    def targets(self, node: str) -> list[tuple[str, int]]:
        """Return (target, sign) of the edges that leave a node."""
        return [(target, sign) for source, target, sign in self.edges if source == node]

    def sign_to_resistance(self, node: str) -> int | None:
        """Return the sign of the paths from a node to resistance.

        Returns
        -------
        int or None
            ``None`` if there is no path or the paths differ in sign.
        """
        signs = self._signs(node, frozenset())
        return signs.pop() if len(signs) == 1 else None

    def _signs(self, node: str, seen: frozenset[str]) -> set[int]:
        if node == RESISTANCE:
            return {1}
        return {
            sign * rest
            for target, sign in self.targets(node)
            if target not in seen
            for rest in self._signs(target, seen | {node})
        }

    def visible_links(self, visible: set[str]) -> list[tuple[str, str, int]]:
        """Return the links between visible nodes, passing through the others.

        A sponge is seen by what it relieves: with the microRNA invisible, circle -| microRNA -|
        gene becomes circle -> gene.
        """
        links = {
            (node, target, sign): None
            for node in self.nodes
            if node in visible
            for target, sign in self._reach(node, 1, visible, frozenset([node]))
        }
        return list(links)

    def _reach(
        self, node: str, sign: int, visible: set[str], seen: frozenset[str]
    ) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        for target, edge_sign in self.targets(node):
            if target in seen:
                continue
            if target in visible:
                found.append((target, sign * edge_sign))
            else:
                found += self._reach(target, sign * edge_sign, visible, seen | {target})
        return found


def read_chains(axes: pd.DataFrame, claims: pd.DataFrame) -> list[Chain]:
    """Return the chains whose claims are all in ``claims``, in the order of the table.

    Parameters
    ----------
    axes, claims
        Columns of `AXES` and `CLAIMS`.
    """
    by_id = {str(row["claim_id"]): row for row in claims.to_dict("records")}
    places: dict[tuple[object, object], list[dict]] = {}
    for row in by_id.values():
        places.setdefault((row["review"], row["location"]), []).append(row)
    chains = []
    for axis_id, rows in axes.groupby("axis_id", sort=False):
        cited = [by_id.get(str(claim_id)) for claim_id in rows["claim_id"]]
        if any(claim is None for claim in cited):
            continue
        edges = list(zip(rows["source"], rows["target"], rows["sign"].astype(int), strict=True))
        chain = Chain(str(axis_id), edges)
        nodes = set(chain.nodes)
        for claim in cited:
            assert claim is not None
            for other in places[claim["review"], claim["location"]]:
                if other["entity"] in nodes:
                    chain.claims[str(other["entity"])] = other
        chains.append(chain)
    return chains


def m6a_signs(chains: Iterable[Chain]) -> dict[str, int]:
    """Return claim id to the expected sign of m6A on the claim's entity in resistant cells."""
    signs = {}
    for chain in chains:
        for node, claim in chain.claims.items():
            marked = f"m6A({node})"
            sign = chain.sign_to_resistance(marked) if marked in chain.nodes else None
            if sign is not None:
                signs[str(claim["claim_id"])] = sign
    return signs


# --- matching -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudyTables:
    """The results of a study that bear on claims; ``None`` for what the study does not have.

    Attributes
    ----------
    genes, circles, ratio, methylation, circle_methylation
        Differential tables (`ringmark.tables.DIFFERENTIAL`, ``CIRCLE_RATIO``).
    catalogue
        All circles of the study (``CIRCLES``): tells "no such circle" from "not tested".
    peaks
        m6A peaks (``PEAKS``).
    circle_m6a
        m6A on circles (``CIRCLE_M6A``).
    assembly
        Name of the genome assembly, such as ``hg38``; without it no circle is matched by place.
    """

    genes: pd.DataFrame
    circles: pd.DataFrame | None = None
    ratio: pd.DataFrame | None = None
    methylation: pd.DataFrame | None = None
    circle_methylation: pd.DataFrame | None = None
    catalogue: pd.DataFrame | None = None
    peaks: pd.DataFrame | None = None
    circle_m6a: pd.DataFrame | None = None
    assembly: str | None = None

    def comparison(self, name: str) -> pd.DataFrame | None:
        """Return the table of a comparison of `COMPARISONS`."""
        return {
            "expression": self.genes,
            "circle": self.circles,
            "ratio": self.ratio,
            "m6A on the entity": self.methylation,
            "m6A on the circle": self.circle_methylation,
        }[name]


class Features:
    """The features of one table, found by name, by gene id or by place.

    Parameters
    ----------
    table
        Columns id, gene_id, gene_name at least.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.ids = table["id"].astype("string").fillna("").tolist()
        names = table["gene_name"].astype("string").fillna("").tolist()
        gene_ids = table["gene_id"].astype("string").fillna("").tolist()
        self.by_name = _positions(names)
        self.by_gene_id = _positions([_unversioned(value) for value in gene_ids])
        self.by_id = _positions(self.ids)

    def gene(self, symbol: str, aliases: Sequence[str]) -> tuple[str, list[int]]:
        """Return how a gene is matched and the rows of its features.

        The approved symbol goes before the aliases, names before ids: an alias may be another
        gene's symbol, and is only asked when the approved one is not in the table.
        """
        if symbol and symbol in self.by_name:
            return "symbol", self.by_name[symbol]
        for alias in aliases:
            if alias in self.by_name:
                return "alias", self.by_name[alias]
        for value in (symbol, *aliases):
            if value and _unversioned(value) in self.by_gene_id:
                return "gene_id", self.by_gene_id[_unversioned(value)]
        return "none", []

    def circle(self, claim: Mapping[str, object], assembly: str | None) -> tuple[str, list[int]]:
        """Return how a circle is matched and the rows of its features.

        By place where the claim has one in the study's assembly (alias
        ``assembly:chrom:start-end:strand``), else by a gene name of its own, else every circle of
        the host gene.
        """
        aliases = split(claim["aliases"])
        for alias in aliases:
            place = _COORDINATES.fullmatch(alias)
            if place and place.group(1) == assembly and place.group(2) in self.by_id:
                return "coordinates", self.by_id[place.group(2)]
        for how, names in (("symbol", split(claim["symbol"])), ("alias", aliases)):
            for name in names:
                if name in self.by_id:
                    return how, self.by_id[name]
        host = split(claim["host_gene"])
        how, rows = self.gene(host[0] if host else "", aliases)
        if rows and host:
            return "host_gene", rows
        how, rows = self.gene(" ".join(split(claim["symbol"])), aliases)
        return (how, rows) if rows else ("none", [])


def _positions(values: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for position, value in enumerate(values):
        if value:
            found.setdefault(value, []).append(position)
    return found


def _unversioned(gene_id: str) -> str:
    """Return an Ensembl id without its version; other ids as they are."""
    return re.sub(r"^(ENS[A-Z]*[GT]\d+)\.\d+$", r"\1", gene_id)


# --- overlap --------------------------------------------------------------------------------------


def overlap(
    claims: pd.DataFrame, axes: pd.DataFrame, study: StudyTables, fdr: float = 0.05
) -> pd.DataFrame:
    """Hold every claim against every comparison that can bear on it.

    Parameters
    ----------
    claims, axes
        Columns of `CLAIMS` and `AXES`.
    study
        The study's results.
    fdr
        Adjusted p-values below it are significant.

    Returns
    -------
    pandas.DataFrame
        Columns of `OVERLAP`: at least one row a claim and comparison, several where several
        features match (``match`` is then ``host_gene`` for circles, and the reason says so).
    """
    marked = m6a_signs(read_chains(axes, claims))
    judges = {name: _Judge(name, study, fdr) for name in COMPARISONS}
    rows: list[dict[str, object]] = []
    for claim in claims.to_dict("records"):
        stated = direction_sign(claim)
        for name in comparisons_of(str(claim["entity_type"])):
            expected = stated
            if name.startswith("m6A"):
                expected = (marked.get(str(claim["claim_id"])), False)
            rows += judges[name].rows(claim, expected)
    return OVERLAP.frame(rows)


def comparisons_of(entity_type: str) -> tuple[str, ...]:
    """Return the comparisons that can bear on a claim about an entity of this type."""
    if entity_type == "circRNA":
        return ("circle", "ratio", "m6A on the circle")
    if entity_type in TRANSCRIPT_TYPES:
        return ("expression", "m6A on the entity")
    return ("expression",)


class _Judge:
    """One comparison of a study: finds the features of a claim and gives the verdicts."""

    def __init__(self, name: str, study: StudyTables, fdr: float) -> None:
        self.name = name
        self.fdr = fdr
        self.study = study
        table = study.comparison(name)
        self.missing = table is None
        self.table = table.reset_index(drop=True) if table is not None else pd.DataFrame()
        self.features = Features(self.table) if table is not None else None
        self.catalogue = _catalogue_features(name, study)
        self.replicated = len(self.table) == 0 or bool(self.table["pvalue"].notna().any())
        self.threshold = _significance_threshold(self.table, fdr)
        self.evidence = _evidence(name, study)

    def rows(
        self, claim: Mapping[str, object], expected: tuple[int | None, bool]
    ) -> list[dict[str, object]]:
        if str(claim["entity_type"]) in UNMEASURED_TYPES:
            return [self._row(claim, None, UNMEASURED_TYPES[str(claim["entity_type"])])]
        how, found = self._match(self.features, claim)
        if not found:
            match, reason = self._absent(claim)
            return [self._row(claim, expected[0], reason, match)]
        several = len(found) if how == "host_gene" else 0
        return [self._measured(claim, expected, how, position, several) for position in found]

    def _match(
        self, features: Features | None, claim: Mapping[str, object]
    ) -> tuple[str, list[int]]:
        if features is None:
            return "none", []
        if claim["entity_type"] == "circRNA":
            return features.circle(claim, self.study.assembly)
        symbol = split(claim["symbol"])
        return features.gene(symbol[0] if symbol else "", split(claim["aliases"]))

    def _absent(self, claim: Mapping[str, object]) -> tuple[tuple[str, str], str]:
        """Return the match in the catalogue, if any, and why there is nothing to test."""
        how, found = self._match(self.catalogue, claim)
        seen = [self.catalogue.ids[position] for position in found] if self.catalogue else []
        if seen:
            evidence = "; ".join(self.evidence[item] for item in seen if item in self.evidence)
            why = f"the study has no {_TABLE_NAMES[self.name]}" if self.missing else "not tested"
            reason = f"found in the study, but {why}" + (f"; {evidence}" if evidence else "")
            return (";".join(seen), how), reason
        if self.missing and self.catalogue is None:
            return ("", "none"), f"the study has no {_TABLE_NAMES[self.name]}"
        return ("", "none"), self._unfound(claim)

    def _unfound(self, claim: Mapping[str, object]) -> str:
        names = [*split(claim["host_gene"]), *split(claim["symbol"]), *split(claim["aliases"])]
        if claim["entity_type"] == "circRNA":
            if not split(claim["host_gene"]):
                return "the review gives neither host gene nor coordinates of this circle"
            return f"no circle of {names[0]} in the study"
        if not names:
            return "the review's name is no one gene"
        wanted = " or ".join(dict.fromkeys(names))
        if self.name.startswith("m6A"):
            return f"no peak on {wanted} in the study"
        return f"no {wanted} in the table of genes"

    def _measured(
        self,
        claim: Mapping[str, object],
        expected: tuple[int | None, bool],
        how: str,
        position: int,
        several: int,
    ) -> dict[str, object]:
        record = self.table.iloc[position]
        feature = self.features.ids[position] if self.features else ""
        verdict, reasons = self._verdict(record, expected[0])
        if expected[1] and verdict != NOT_MEASURABLE:
            reasons.append("expected sign inferred from the effect")
        if how == "host_gene":
            reasons.append(
                f"one of {several} circles of the host gene: which one the review means is unknown"
                if several > 1
                else "the one circle of the host gene: whether the review means it is unknown"
            )
        if feature in self.evidence:
            reasons.append(self.evidence[feature])
        row = self._row(claim, expected[0], "; ".join(reasons), (feature, how))
        for column in ("log2FoldChange", "pvalue", "padj"):
            row[column] = record[column]
        row["verdict"] = verdict
        return row

    def _verdict(self, record: pd.Series, expected: int | None) -> tuple[str, list[str]]:
        change, pvalue, padj = record["log2FoldChange"], record["pvalue"], record["padj"]
        if pd.isna(change):
            return NOT_MEASURABLE, ["no reads"]
        if pd.isna(pvalue):
            if not self.replicated:
                return NOT_MEASURABLE, ["no replicates: exploratory fold change only"]
            return NOT_MEASURABLE, ["no p-value: no reads, or an outlier"]
        if pd.isna(padj):
            return NOT_MEASURABLE, ["too few reads to be tested"]
        if expected is None:
            return NOT_MEASURABLE, ["the review gives no direction for this comparison"]
        if padj >= self.fdr or change == 0:
            return UNCHANGED, [_power_text(record["lfcSE"], self.threshold)]
        agrees = np.sign(change) == expected
        return (CONFIRMED if agrees else CONTRADICTED), []

    def _row(
        self,
        claim: Mapping[str, object],
        expected: int | None,
        reason: str,
        match: tuple[str, str] = ("", "none"),
    ) -> dict[str, object]:
        copied = (
            "claim_id",
            "review",
            "location",
            "entity",
            "entity_type",
            "symbol",
            "cancer",
            "therapy",
            "reference",
        )
        return {
            **{column: claim[column] for column in copied},
            "comparison": self.name,
            "matched_feature": match[0] or pd.NA,
            "match": match[1],
            "log2FoldChange": np.nan,
            "pvalue": np.nan,
            "padj": np.nan,
            "expected_sign": pd.NA if expected is None else expected,
            "verdict": NOT_MEASURABLE,
            "reason": reason or pd.NA,
        }


_TABLE_NAMES = {
    "expression": "differential test of genes",
    "circle": "differential test of circles",
    "ratio": "test of the circular-to-linear ratio",
    "m6A on the entity": "differential test of methylation",
    "m6A on the circle": "differential test of methylation on circles",
}


def _catalogue_features(name: str, study: StudyTables) -> Features | None:
    """Return all features a comparison could have tested: circles, or peaks."""
    if name in ("circle", "ratio", "m6A on the circle") and study.catalogue is not None:
        return Features(study.catalogue.rename(columns={"circle": "id"}))
    if name == "m6A on the entity" and study.peaks is not None:
        return Features(study.peaks.rename(columns={"peak": "id"}))
    return None


def _evidence(name: str, study: StudyTables) -> dict[str, str]:
    """Return feature to what is known of m6A on it whatever the contrast says."""
    if name == "m6A on the entity" and study.peaks is not None:
        return {
            str(peak): f"{peak} called in {conditions}"
            for peak, conditions in zip(
                study.peaks["peak"], study.peaks["conditions"].fillna("no condition"), strict=True
            )
        }
    if name == "m6A on the circle" and study.circle_m6a is not None:
        pooled = study.circle_m6a[study.circle_m6a["condition"] == POOLED]
        return {
            str(circle): "m6A not seen" if tier == "none" else f"m6A seen, tier {tier}"
            for circle, tier in zip(pooled["circle"], pooled["tier"].fillna("none"), strict=True)
        }
    return {}


def _significance_threshold(table: pd.DataFrame, fdr: float) -> float:
    """Return the p-value at which the table calls significance.

    That is the largest p-value with an adjusted one below ``fdr``; where none is, the strictest
    step of the Benjamini-Hochberg procedure, ``fdr`` over the number of tests.
    """
    if len(table) == 0:
        return fdr
    tested = table[table["padj"].notna()]
    significant = tested.loc[tested["padj"] < fdr, "pvalue"]
    if len(significant):
        return float(significant.max())
    return fdr / max(len(tested), 1)


def power_of_twofold(standard_error: float, threshold: float) -> float:
    """Return the probability that a twofold change would have a p-value below ``threshold``.

    Two-sided Wald test on the log2 scale: the estimate is normal around 1 with the standard error.
    """
    critical = stats.norm.isf(threshold / 2)
    shift = 1 / standard_error
    return float(stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift))


def _power_text(standard_error: float, threshold: float) -> str:
    if pd.isna(standard_error) or standard_error <= 0:
        return "not significant; power unknown"
    power = power_of_twofold(float(standard_error), threshold)
    return f"not significant; power to see a twofold change {power:.2f}"


# --- enrichment -----------------------------------------------------------------------------------


def enrichment(claims: pd.DataFrame, genes: pd.DataFrame, fdr: float = 0.05) -> pd.DataFrame:
    """Test sets of reviewed genes against the tested genes of the study.

    The sets are all claims, writers, erasers, readers, each mechanism, each class of therapy and
    each table of a review; their members the transcripts (not the circles) claimed in them, each
    gene once. The background is every gene with an adjusted p-value. Three tests, each one-sided:

    over-representation
        How many members change, against how many would if the members were drawn at random from
        genes of the same expression: the exact conditional (hypergeometric) test, stratified by
        ten classes of ``baseMean``, with the Mantel-Haenszel odds ratio. With one class, for small
        backgrounds, this is Fisher's exact test.
    direction
        Of the changed members with an unambiguous expected sign, how many have a fold change of
        that sign, against the share of that sign among all changed genes. Without replicates
        every member with a fold change is counted, and nothing tested.
    rank
        Are the members' ``|stat|`` larger than those of other genes of the same expression:
        Mann-Whitney on their ranks inside the class of expression. It needs no threshold.

    Parameters
    ----------
    claims
        Columns of `CLAIMS`.
    genes
        Differential genes (`ringmark.tables.DIFFERENTIAL`).
    fdr
        Adjusted p-values below it are a change.

    Returns
    -------
    pandas.DataFrame
        Columns of `ENRICHMENT`: size (distinct genes in the set), measured (of them in the
        background, or with a fold change if there is no test at all), changed, expected_changed,
        odds_ratio, pvalue, agree and disagree, sign_pvalue, rank_pvalue, padj (Benjamini-Hochberg
        of pvalue over the sets). Without replicates every p-value is missing.
    """
    background = _Background(genes, fdr)
    features = Features(background.table)
    rows = [
        {"set": name, **background.test(_members(part, features))}
        for name, part in claim_sets(claims)
    ]
    table = ENRICHMENT.frame(rows)
    table["padj"] = adjust(table["pvalue"].to_numpy(dtype=float))
    return table


def claim_sets(claims: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the named sets of claims about transcripts, in a fixed order, none empty."""
    claims = claims[claims["entity_type"].isin(TRANSCRIPT_TYPES)]
    sets: list[tuple[str, pd.DataFrame]] = [("all claims", claims)]
    for kind in ("writer", "eraser", "reader"):
        sets.append((f"{kind}s", claims[claims["entity_type"] == kind]))
    for column, words in (("mechanism", MECHANISMS), ("therapy_class", THERAPY_CLASSES)):
        for word in words:
            held = [word in split(value) for value in claims[column]]
            sets.append((f"{column.replace('_', ' ')}: {word}", claims[held]))
    places = claims["review"] + " " + claims["location"].str.split(",").str[0]
    sets += [(f"table: {place}", claims[places == place]) for place in sorted(set(places))]
    return [(name, part) for name, part in sets if len(part)]


@dataclass(frozen=True)
class _Members:
    """Genes of a set: how many, rows of those found, and their expected signs (0: ambiguous)."""

    size: int
    rows: npt.NDArray[np.int64]
    signs: npt.NDArray[np.int64]


def _members(claims: pd.DataFrame, features: Features) -> _Members:
    """Return each gene of a set once; contradicting claims leave it without an expected sign."""
    signs: dict[str, set[int]] = {}
    found: dict[str, int] = {}
    for claim in claims.to_dict("records"):
        symbol = " ".join(split(claim["symbol"]))
        name = symbol or str(claim["entity"])
        sign = direction_sign(claim)[0]
        signs.setdefault(name, set()).update([] if sign is None else [sign])
        _, rows = features.gene(symbol, split(claim["aliases"]))
        if len(rows) == 1:
            found[name] = rows[0]
    return _Members(
        len(signs),
        np.array(list(found.values()), dtype=np.int64),
        np.array(
            [next(iter(signs[name])) if len(signs[name]) == 1 else 0 for name in found],
            dtype=np.int64,
        ),
    )


class _Background:
    """The tested genes of a study with their class of expression."""

    #: At most this many classes of expression, each of at least so many genes.
    classes, class_size = 10, 50

    def __init__(self, genes: pd.DataFrame, fdr: float) -> None:
        self.tested = bool(genes["padj"].notna().any())
        column = "padj" if self.tested else "log2FoldChange"
        self.table = genes[genes[column].notna()].reset_index(drop=True)
        self.change = self.table["log2FoldChange"].to_numpy(dtype=float)
        self.changed = self.table["padj"].to_numpy(dtype=float) < fdr
        number = max(1, min(self.classes, len(self.table) // self.class_size))
        order = self.table["baseMean"].rank(method="first").to_numpy(dtype=float) - 1
        self.stratum = (order * number / max(len(self.table), 1)).astype(np.int64)
        strength = self.table["stat"].abs().fillna(0.0)
        self.rank = strength.groupby(self.stratum).rank(pct=True).to_numpy(dtype=float)
        #: Genes whose direction is counted, and the share of them that goes up.
        self.directed = (self.changed if self.tested else True) & (self.change != 0)
        directed = self.change[self.directed]
        self.up_share = float((directed > 0).mean()) if len(directed) else np.nan

    def test(self, members: _Members) -> dict[str, object]:
        """Return the columns of `ENRICHMENT` for a set, but its name."""
        rows = members.rows
        agree, disagree, sign_pvalue = self._direction(members)
        row: dict[str, object] = {
            "size": members.size,
            "measured": len(rows),
            "changed": int(self.changed[rows].sum()) if self.tested else pd.NA,
            "expected_changed": np.nan,
            "odds_ratio": np.nan,
            "pvalue": np.nan,
            "agree": agree,
            "disagree": disagree,
            "sign_pvalue": sign_pvalue if self.tested else np.nan,
            "rank_pvalue": np.nan,
            "padj": np.nan,
        }
        if self.tested and 0 < len(rows) < len(self.table):
            inside = np.zeros(len(self.table), dtype=bool)
            inside[rows] = True
            row |= stratified_test(inside, self.changed, self.stratum)
            row["rank_pvalue"] = float(
                stats.mannwhitneyu(
                    self.rank[inside], self.rank[~inside], alternative="greater"
                ).pvalue
            )
        return row

    def _direction(self, members: _Members) -> tuple[int, int, float]:
        used = (members.signs != 0) & self.directed[members.rows]
        signs, change = members.signs[used], self.change[members.rows][used]
        agree = int((np.sign(change) == signs).sum())
        if not used.any():
            return 0, 0, np.nan
        chances = np.where(signs > 0, self.up_share, 1 - self.up_share)
        return agree, int(used.sum()) - agree, _tail(agree, [[1 - p, p] for p in chances])


def stratified_test(
    inside: npt.NDArray[np.bool_],
    changed: npt.NDArray[np.bool_],
    stratum: npt.NDArray[np.int64],
) -> dict[str, float]:
    """Test whether members of a set change more often than others of the same stratum.

    The number of changed members is a sum of hypergeometric counts, one a stratum; its exact
    distribution is their convolution. With one stratum it is Fisher's exact test.

    Parameters
    ----------
    inside, changed, stratum
        Shape (genes,): member of the set, changed, class of expression.

    Returns
    -------
    dict
        expected_changed, odds_ratio (Mantel-Haenszel; infinite or missing at the edges), pvalue
        (one-sided, greater).
    """
    expected, numerator, denominator = 0.0, 0.0, 0.0
    distributions = []
    for value in np.unique(stratum[inside]):
        here = stratum == value
        total, hits, drawn = int(here.sum()), int(changed[here].sum()), int(inside[here].sum())
        both = int((inside & changed & here).sum())
        expected += drawn * hits / total
        numerator += both * (total - drawn - hits + both) / total
        denominator += (drawn - both) * (hits - both) / total
        distributions.append(stats.hypergeom.pmf(np.arange(drawn + 1), total, hits, drawn))
    with np.errstate(divide="ignore", invalid="ignore"):
        odds_ratio = float(np.divide(numerator, denominator))
    return {
        "expected_changed": expected,
        "odds_ratio": odds_ratio,
        "pvalue": _tail(int((inside & changed).sum()), distributions),
    }


def _tail(observed: int, distributions: Sequence[Sequence[float]]) -> float:
    """Return P(sum >= observed) of independent counts with these probabilities of 0, 1, 2 ..."""
    total = np.ones(1)
    for distribution in distributions:
        total = np.convolve(total, distribution)
    return float(min(1.0, total[observed:].sum()))


# --- chains against the study ---------------------------------------------------------------------


def judge_chains(
    axes: pd.DataFrame, claims: pd.DataFrame, overlaps: pd.DataFrame, fdr: float = 0.05
) -> pd.DataFrame:
    """Hold every chain against the study, link by link.

    A node is visible if the study tested it: a gene by its expression, a circle by its back-splice
    reads, ``m6A(entity)`` by the methylation of that entity, resistance by the contrast itself
    (up). Nodes that nothing measures, such as microRNAs, are passed through. Of several circles or
    peaks the significant ones decide if they agree; if they do not, the node is not visible. A link
    agrees if both its ends change and their signs are those of the link, disagrees if both change
    and they are not.

    Parameters
    ----------
    axes, claims
        Columns of `AXES` and `CLAIMS`.
    overlaps
        Result of `overlap` on the same claims.
    fdr
        Adjusted p-values below it are a change.

    Returns
    -------
    pandas.DataFrame
        Columns of `AXIS_RESULTS`: members (nodes in order), links (edges reviewed), links_seen
        (links whose two ends are visible), links_agreeing, links_disagreeing, measured
        (``node:+``, ``node:-`` or ``node:0`` of the visible ones) and coherent: ``no`` if a seen
        link disagrees, ``yes`` if none does and two members beside resistance are joined by a link
        that agrees, missing otherwise.
    """
    signs = _measured_signs(overlaps, fdr)
    rows = [_axis_row(chain, signs) for chain in read_chains(axes, claims)]
    return AXIS_RESULTS.frame(rows)


def _measured_signs(overlaps: pd.DataFrame, fdr: float) -> dict[tuple[str, bool], int]:
    """Return (claim id, about m6A) to the measured sign: +1, -1 or 0 (tested, not changed)."""
    tested = overlaps["padj"].notna() & overlaps["log2FoldChange"].notna()
    kept = overlaps[tested & (overlaps["match"] != "none")]
    kept = kept[kept["comparison"] != "ratio"]
    sign = np.sign(kept["log2FoldChange"]).where(kept["padj"] < fdr, 0).astype(int)
    is_m6a = kept["comparison"].str.startswith("m6A")
    found: dict[tuple[str, bool], set[int]] = {}
    for key, value in zip(zip(kept["claim_id"], is_m6a, strict=True), sign, strict=True):
        found.setdefault((str(key[0]), bool(key[1])), set()).add(int(value))
    decided = {key: values - {0} or {0} for key, values in found.items()}
    return {key: next(iter(values)) for key, values in decided.items() if len(values) == 1}


def _axis_row(chain: Chain, signs: Mapping[tuple[str, bool], int]) -> dict[str, object]:
    measured = {RESISTANCE: 1}
    for node, claim in chain.claims.items():
        for name, about_m6a in ((node, False), (f"m6A({node})", True)):
            sign = signs.get((str(claim["claim_id"]), about_m6a))
            if sign is not None and name in chain.nodes:
                measured[name] = sign
    links = chain.visible_links(set(measured))
    products = [measured[source] * measured[target] * sign for source, target, sign in links]
    inner = [
        product for product, link in zip(products, links, strict=True) if RESISTANCE not in link[:2]
    ]
    coherent: object = pd.NA
    if -1 in products:
        coherent = "no"
    elif 1 in inner:
        coherent = "yes"
    claim = next(iter(chain.claims.values()))
    shown = {1: "+", -1: "-", 0: "0"}
    visible = [node for node in chain.nodes if node in measured and node != RESISTANCE]
    return {
        "axis_id": chain.axis_id,
        "members": ";".join(chain.nodes),
        "links": len(chain.edges),
        "links_seen": len(links),
        "links_agreeing": products.count(1),
        "links_disagreeing": products.count(-1),
        "coherent": coherent,
        "measured": ";".join(f"{node}:{shown[measured[node]]}" for node in visible) or pd.NA,
        **{
            column: claim[column]
            for column in ("review", "location", "cancer", "therapy", "reference")
        },
    }
