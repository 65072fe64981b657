r"""Whether an IP and its input are libraries of one sample, told from the background of genes.

Where nothing is methylated an antibody pulls RNA down in proportion to its amount. Of gene ``g``,
IP ``i`` of sample ``s`` and input ``j`` of sample ``t`` have on background bins the log ratio

    y[i, j, g] = c[i, j] + k[i] d[g] + (e[s, g] - e[t, g]) + counting error

``d`` is what the antibody does to each RNA in all pairs alike (in a pair that pulled nothing down
``k`` is 0, in one with IP and input swapped it is -1), ``e`` the expression of a sample. In a true
pair ``e`` cancels. With an input of another sample the genes scatter as those of two samples do.

Scatter
-------
The scatter ``V[i, j]`` is the variance over genes of ``y`` less ``c`` and ``k d``. The background
bins of each gene are cut in two parts, a fragment's length apart, and ``V`` is the covariance of
the two parts: counting error, duplicates and what else is not the same along the gene drop out
without being modelled. ``d`` is the median over the pairs of the study (of two pairs: the mean,
with ``k`` = 1), ``k`` the regression on it. Every IP is held against every input of the study. The
difference of two scatters has the standard error that its terms, a gene each, show.

Judgement
---------
An input other than the IP's own is *clearly closer* if its scatter is lower by `CLEAR` standard
errors, by `LEAST_SCATTER`, and at most a third. That alone shows no mistake: an input with a bias
of its own lies further from its IP than all other inputs do. The own input is called foreign if
another one is clearly closer and

* so much so that bias is no explanation: the own scatter is `FOREIGN_SCATTER` and more, and four
  times that of the other pairs' median; or
* the closest one is closer than each further input too, which a bias of the own input does not
  bring about; or the study is two pairs with an input each, in which this takes the exchange of
  two libraries: a bias in one of them moves both inputs away from both IPs alike.

A pair is strange if no input is clearly closer and the own one is not confirmed, but the own
scatter is as large as just said, and as other IPs show against inputs that are not theirs. The IP
may then be the library that is foreign; a library of poorer quality than all others looks the same.

An input is confirmed if each other input is further by `LIKELY` standard errors and by a quarter of
`LEAST_SCATTER`. Else it is not known whose input it is: where samples differ less than their
libraries do, where the study has one input, and where, of two pairs, one has a foreign library
(both pairs then look alike). An input that serves several IPs is that of another sample on purpose
in all but one of them; for these the second sign does not count.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringmark.bins import BinLayout
from ringmark.intervals import IntArray
from ringmark.peaks import Condition
from ringmark.summits import fragment_length

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Standard errors by which an input has to be closer than another to count, and to be named.
LIKELY, CLEAR = 3.0, 5.0
#: Variances of natural logs: what libraries of one sample may differ by, and what they may not.
LEAST_SCATTER, FOREIGN_SCATTER = 0.02, 0.1
#: Genes and fragments of a library that are enough to judge from.
ENOUGH_GENES, ENOUGH_FRAGMENTS = 50, 1000

#: Fragments in each part of a gene, on average over the libraries, from which it is used.
_GENE_FRAGMENTS = 3.0
#: Variance of a gene in a study of any depth, for its weight.
_GENE_VARIANCE = 0.05
_MUCH = 4.0
_FURTHEST = 3.0


@dataclass(frozen=True)
class InputMatch:
    """Which input of the study an IP belongs to.

    Attributes
    ----------
    closest
        The own input where it is confirmed, the closest other one where that is clearly closer;
        ``None`` where it is not known.
    foreign
        Whether the own input is of another sample than the IP: there is a closer one.
    strange
        Whether it looks so, although no other input is closer.
    scatter
        Standard deviation over genes of the log ratio of the IP to its own input; NaN if unknown.
    usual
        The median of the other pairs' scatter; NaN without any.
    """

    closest: str | None = None
    foreign: bool = False
    strange: bool = False
    scatter: float = float("nan")
    usual: float = float("nan")


@dataclass(frozen=True)
class Profiles:
    """Log background of genes in two parts of each, arrays of shape (2, libraries, genes).

    Attributes
    ----------
    ip
        Of the IP of each pair.
    inputs
        Of each input, in the order of ``names``.
    names
        Input libraries.
    own
        Number of the input of each pair.
    weights
        Of each gene, shape (genes,).
    """

    ip: Array
    inputs: Array
    names: tuple[str, ...]
    own: tuple[int, ...]
    weights: Array

    def ratio(self, ip: int, control: int) -> Array:
        """Return the log ratios of an IP to an input less their mean, shape (2, genes)."""
        values = self.ip[:, ip] - self.inputs[:, control]
        middle = np.average(values, axis=1, weights=self.weights)
        return np.clip(values - middle[:, None], -_FURTHEST, _FURTHEST)


def match_inputs(
    conditions: Sequence[Condition], layout: BinLayout, left_out: Collection[str] = ()
) -> dict[str, InputMatch]:
    """Return for each IP library which input of the study it belongs to.

    Parameters
    ----------
    left_out
        IP libraries of pairs that are known to be no IP over input; nothing is learnt from them.
    """
    found = {pair.ip_library: InputMatch() for item in conditions for pair in item.pairs}
    places = [
        (item, index)
        for item in conditions
        for index, pair in enumerate(item.pairs)
        if pair.ip_library not in left_out
        and min(pair.ip.counted, pair.input.counted) >= ENOUGH_FRAGMENTS
    ]
    if len({item.pairs[index].input_library for item, index in places}) < 2:
        return found
    profiles = make_profiles(places, conditions, layout)
    if len(profiles.weights) < ENOUGH_GENES:
        return found
    pairs = [item.pairs[index] for item, index in places]
    terms = scatter_terms(profiles)
    for number, pair in enumerate(pairs):
        found[pair.ip_library] = judge(number, terms, profiles)
    return found


def make_profiles(
    places: Sequence[tuple[Condition, int]], conditions: Sequence[Condition], layout: BinLayout
) -> Profiles:
    """Sum the background of each gene, in two parts, in the libraries of pairs.

    Parameters
    ----------
    places
        Condition and number of each pair to use.
    conditions
        All conditions: a bin has to be background in each.
    """
    pairs = [item.pairs[index] for item, index in places]
    length = fragment_length([pair.ip for pair in pairs])
    overlap = length / layout.width + 1
    background = np.all([item.background.is_background for item in conditions], axis=0)
    parts = gene_parts(background, layout, int(np.ceil(length / layout.width)))
    names = tuple(dict.fromkeys(pair.input_library for pair in pairs))
    counts = {
        pair.input_library: item.input[:, index]
        for pair, (item, index) in zip(pairs, places, strict=True)
    }
    ip = np.stack([_sums(item.ip[:, index], parts, layout) for item, index in places], axis=1)
    inputs = np.stack([_sums(counts[name], parts, layout) for name in names], axis=1)
    ip, inputs = ip / overlap, inputs / overlap
    mean = np.concatenate([ip, inputs], axis=1).mean(axis=1).min(axis=0)
    used = mean >= _GENE_FRAGMENTS
    weights = 1 / (2 / mean[used] + _GENE_VARIANCE) ** 2
    own = tuple(names.index(pair.input_library) for pair in pairs)
    return Profiles(
        np.log(ip[:, :, used] + 0.5), np.log(inputs[:, :, used] + 0.5), names, own, weights
    )


def gene_parts(background: Mask, layout: BinLayout, reach: int) -> tuple[Mask, Mask]:
    """Return the first and the second part of each gene's background bins, ``reach`` apart."""
    rank = np.concatenate([[0], np.cumsum(background)])
    start = rank[layout.bin_offsets[:-1]][layout.gene_of_bin]
    size = rank[layout.bin_offsets[1:]][layout.gene_of_bin] - start
    place = rank[:-1] - start
    return background & (2 * place < size - reach), background & (2 * place >= size + reach)


def _sums(counts: IntArray, parts: tuple[Mask, Mask], layout: BinLayout) -> Array:
    """Return the counts of each part of each gene, shape (2, genes)."""
    genes = len(layout.genes)
    return np.stack(
        [np.bincount(layout.gene_of_bin, weights=counts * part, minlength=genes) for part in parts]
    )


def scatter_terms(profiles: Profiles) -> Array:
    """Return each gene's term of the scatter of every IP against every input.

    Returns
    -------
    numpy.ndarray
        Shape (pairs, inputs, genes); the scatter is the weighted mean over genes.
    """
    weights = profiles.weights
    ratios = np.array([profiles.ratio(number, own) for number, own in enumerate(profiles.own)])
    shared = np.median(ratios, axis=0)
    power = float((weights * shared[0] * shared[1]).sum())
    terms = np.empty((len(profiles.own), len(profiles.names), len(weights)))
    for ip, control in np.ndindex(terms.shape[:2]):
        ratio = profiles.ratio(ip, control)
        factor = 1.0
        if len(profiles.own) > 2:
            common = (weights * (ratio[0] * shared[1] + ratio[1] * shared[0])).sum() / 2
            factor = float(np.clip(common / power, -1.5, 1.5)) if power > 0 else 0.0
        rest = ratio - factor * shared
        terms[ip, control] = rest[0] * rest[1]
    return terms


def judge(number: int, terms: Array, profiles: Profiles) -> InputMatch:
    """Judge one pair (see the head of this module).

    Parameters
    ----------
    number
        Of the pair.
    terms
        From `scatter_terms`.
    """
    weights, own = profiles.weights, profiles.own[number]
    scatter = np.average(terms, axis=2, weights=weights)
    usual, elsewhere = _other_pairs(number, scatter, profiles.own)
    mine = scatter[number].tolist()

    def closer(first: int, second: int, errors: float, least: float) -> bool:
        return _closer(terms[number, first], terms[number, second], weights, errors, least)

    rest = [control for control in range(len(mine)) if control != own]
    best = min(rest, key=lambda control: mine[control])
    clearly = 3 * mine[best] <= mine[own] and closer(best, own, CLEAR, LEAST_SCATTER)
    confirmed = all(closer(own, control, LIKELY, LEAST_SCATTER / 4) for control in rest)
    much = len(profiles.own) > 2 and mine[own] >= max(FOREIGN_SCATTER, _MUCH * usual)
    further = [control for control in rest if control != best]
    outstanding = len(profiles.own) == len(profiles.names) == 2 or (
        bool(further)
        and profiles.own.count(own) == 1
        and all(closer(best, control, LIKELY, LEAST_SCATTER / 2) for control in further)
    )
    foreign = clearly and (much or outstanding)
    strange = much and not (clearly or confirmed) and mine[own] >= elsewhere
    closest = best if foreign else own if confirmed else None
    return InputMatch(
        None if closest is None else profiles.names[closest],
        foreign,
        strange,
        _root(mine[own]),
        _root(usual),
    )


def _other_pairs(number: int, scatter: Array, own: Sequence[int]) -> tuple[float, float]:
    """Return the median scatter of the other pairs, and that of their IPs to the next input."""
    pairs = [pair for pair in range(len(own)) if pair != number]
    usual = np.median([scatter[pair, own[pair]] for pair in pairs])
    nearest = [
        min(scatter[pair, control] for control in range(scatter.shape[1]) if control != own[pair])
        for pair in pairs
    ]
    return float(usual), float(np.median(nearest))


def _closer(first: Array, second: Array, weights: Array, errors: float, least: float) -> bool:
    """Return whether the first of two scatters is lower by some standard errors, and by some."""
    difference = second - first
    mean = float(np.average(difference, weights=weights))
    error = float(np.sqrt((weights**2 * (difference - mean) ** 2).sum()) / weights.sum())
    return bool(mean >= least and mean >= errors * error)


def _root(variance: float) -> float:
    return float(np.sqrt(max(variance, 0.0)))
