r"""Beta-binomial regression of many features at once.

A feature (a bin of a transcript, a peak, a back-splice junction) is observed in several libraries
or pairs of libraries, each time as ``successes`` out of ``totals``. With the log odds
``eta = design @ coefficients + offset``, the probability ``p = 1 / (1 + exp(-eta))`` and the
intra-class correlation ``rho``, successes follow a beta-binomial distribution with parameters

    a = p s,   b = (1 - p) s,   s = (1 - rho) / rho

whose variance is ``n p (1 - p) (1 + (n - 1) rho)``; ``rho = 0`` is the binomial distribution. This
is the model of CircTest for circular against linear reads (Cheng 2016, Bioinformatics 32:1094),
and of immunoprecipitated against input fragments, where the offset carries the ratio expected
of background.

Fitting
    Newton steps on the log odds, all features of a chunk at once. The weight of an observation is
    its observed information where that is safely positive, else the information of the
    quasi-likelihood, ``n p q / (1 + (n - 1) rho)``. A step that lowers the likelihood is halved.
    Where the maximum lies at infinity (no success, or nothing but successes, in a group) the
    fit stops when a log odds reaches `BOUND`; what the likelihood still lacks there is below
    ``totals * exp(-BOUND)``.

Dispersion
    The Cox-Reid adjusted profile likelihood of rho (Cox and Reid 1987; used for counts by McCarthy
    2012, Nucleic Acids Research 40:4288) is evaluated on a grid. The maximum of its mean over
    features is the common dispersion. The spread of the features' dispersions around it is learnt
    from all features (`estimate_prior`), and a feature's dispersion is the one of highest
    posterior under that prior, as DESeq2 does for negative-binomial counts (Love 2014, Genome
    Biology 15:550).

Test
    The likelihood ratio of the model with and without one column, as a signed root. At a given
    dispersion its reference is the normal distribution; at an estimated one it is Student's t,
    see `likelihood_ratio_test`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, gammaln, ndtr, polygamma, stdtr

Array = NDArray[np.float64]

#: Largest absolute log odds of a fit; exp(-16) is 1.1e-7.
BOUND = 16.0
#: Below this intra-class correlation the distribution is binomial to double precision.
BINOMIAL_BELOW = 1e-9
#: Dispersions at which the adjusted profile likelihood is evaluated.
DISPERSION_GRID: Array = np.concatenate([[0.0], np.geomspace(1e-5, 0.7, 17)])
#: Degrees of freedom, as in a scaled inverse chi-square prior, tried for the dispersions' spread.
SPREAD_DEGREES: Array = np.array([2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 25.0, 50.0, np.inf])
#: Common dispersion and spread are estimated on at most this many features, those with most counts.
COMMON_FEATURES = 4000

_CHUNK_ELEMENTS = 60_000
_TOLERANCE = 1e-9
_ITERATIONS = 60
_ADJUSTMENT_PRIOR = 0.01
_NO_SPREAD = 1e-6
# Nodes of the integral over a shared shift, and features whose sums are computed at a time.
_SHIFTS = 9
_SUMS = 2000
# Smallest dispersion of these: the logarithms of beta functions cancel with less of it.
_NO_DISPERSION = 1e-7
_NO_NULL_SPREAD = 1e-4
# Dispersion 0 stands one step of the grid below the smallest above 0.
_LOWEST = float(DISPERSION_GRID[1] ** 2 / DISPERSION_GRID[2])
_LOG_GRID: Array = np.log(np.maximum(DISPERSION_GRID, _LOWEST))

_HALF_LOG_TWO_PI = 0.5 * float(np.log(2 * np.pi))
# Bernoulli numbers of even order, 2 to 10, and the asymptotic series made of them
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66)
_LOG_GAMMA_SERIES = tuple(
    number / (2 * i * (2 * i - 1)) for i, number in enumerate(_BERNOULLI, start=1)
)
_DIGAMMA_SERIES = tuple(number / (2 * i) for i, number in enumerate(_BERNOULLI, start=1))
_TRIGAMMA_SERIES = _BERNOULLI
# From here on they are right to 11 digits.
_SERIES_FROM = 7.0


@dataclass(frozen=True)
class Fit:
    """Maximum-likelihood fit of every feature.

    Attributes
    ----------
    coefficients
        Shape (features, coefficients), natural-log odds; NaN where the feature's observations
        hold no information on the coefficient.
    standard_errors
        Same shape, from the information at the maximum; large where the maximum is at
        infinity.
    log_likelihood
        Shape (features,), binomial coefficients included.
    """

    coefficients: Array
    standard_errors: Array
    log_likelihood: Array


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """Test of one coefficient, every array of shape (features,).

    Attributes
    ----------
    log2FoldChange
        The tested coefficient in log2 odds.
    lfcSE
        Its standard error, log2.
    stat
        Twice the gain in log likelihood.
    pvalue
        NaN where the feature holds no information on the coefficient.
    dispersion
        The intra-class correlation the feature was tested with.
    degrees
        Degrees of freedom of the t distribution that the signed root was referred to; infinite for
        the normal distribution.
    """

    log2FoldChange: Array  # noqa: N815 - the name of the results table, after DESeq2
    lfcSE: Array  # noqa: N815
    stat: Array
    pvalue: Array
    dispersion: Array
    degrees: Array


@dataclass(frozen=True)
class DispersionPrior:
    """What all features together say about the dispersion of one.

    Attributes
    ----------
    common
        The one intra-class correlation that fits all features best.
    center
        Centre of the log-normal distribution of dispersions; equal to `common` without spread.
    spread
        Variance of the natural logarithm of the dispersion between features.
    degrees
        Residual degrees of freedom of all features it was learnt from.
    """

    common: float
    center: float
    spread: float
    degrees: int


@dataclass(frozen=True)
class _Data:
    """Arrays of one call, checked and broadcast; sliced by chunk without a copy."""

    successes: NDArray
    totals: NDArray
    offset: NDArray
    design: Array

    def chunks(self, features: int | None = None) -> Iterator[slice]:
        features = len(self.totals) if features is None else features
        rows = max(1, _CHUNK_ELEMENTS // max(1, self.totals.shape[1]))
        for start in range(0, features, rows):
            yield slice(start, min(start + rows, features))

    def part(self, rows: slice | NDArray) -> tuple[Array, Array, Array]:
        return (
            np.asarray(self.successes[rows], dtype=float),
            np.asarray(self.totals[rows], dtype=float),
            np.asarray(self.offset[rows], dtype=float),
        )


def fit(
    successes: ArrayLike,
    totals: ArrayLike,
    design: ArrayLike,
    offset: ArrayLike | None = None,
    dispersion: ArrayLike = 0.0,
) -> Fit:
    """Fit the regression of every feature at a given dispersion.

    Parameters
    ----------
    successes, totals
        Shape (features, observations); an observation with total 0 carries no information.
    design
        Shape (observations, coefficients); no columns: the log odds are the offset.
    offset
        Log odds (natural), broadcastable to (features, observations).
    dispersion
        Intra-class correlation in [0, 1), scalar or of shape (features,).

    Raises
    ------
    ValueError
        If shapes disagree or successes are not within 0 and totals.
    """
    data = _checked(successes, totals, design, offset)
    rho = _checked_dispersion(dispersion, len(data.totals))
    beta, errors, log_likelihood = _maximise(data, data.design, rho)
    for rows in data.chunks():
        k, n, _ = data.part(rows)
        log_likelihood[rows] += _log_choose(k, n)
    return Fit(beta, errors, log_likelihood)


def log_likelihood_at(
    successes: ArrayLike, totals: ArrayLike, log_odds: ArrayLike, dispersion: ArrayLike
) -> Array:
    """Return the log likelihood of every feature at given log odds, less what counts alone fix.

    Parameters
    ----------
    successes, totals
        As for `fit`.
    log_odds
        Natural, broadcastable to (features, observations).
    dispersion
        Intra-class correlation in [0, 1), scalar or of shape (features,).

    Returns
    -------
    numpy.ndarray
        Shape (features,), without the binomial coefficients.
    """
    counts = np.asarray(totals)
    data = _checked(successes, counts, np.empty((counts.shape[1], 0)), log_odds)
    return _maximise(data, data.design, _checked_dispersion(dispersion, len(counts)))[2]


def estimate_prior(
    successes: ArrayLike,
    totals: ArrayLike,
    design: ArrayLike,
    offset: ArrayLike | None = None,
) -> DispersionPrior | None:
    """Learn the common dispersion and the spread of dispersions between features.

    The logarithm of the dispersion is taken as normal between features. Its variance is
    the mean of the candidates ``trigamma(d / 2)``, the variance of the logarithm of a
    scaled inverse chi-square variable with d degrees of freedom, for d in `SPREAD_DEGREES`,
    each weighted by the marginal likelihood of all features at its best centre. Few
    features leave the variance near the candidates' mean (d about 5), many features with
    one dispersion bring it to 0.

    Returns
    -------
    DispersionPrior or None
        None if no feature has residual degrees of freedom.
    """
    data = _checked(successes, totals, design, offset)
    degrees = residual_degrees(data.totals, data.design)
    usable = np.flatnonzero(degrees > 0)
    if not len(usable):
        return None
    depth = data.totals[usable].sum(axis=1)
    chosen = np.sort(usable[np.argsort(-depth, kind="stable")[:COMMON_FEATURES]])
    curves = np.concatenate(
        [
            _adjusted_profile(*data.part(chosen[rows]), data.design)
            for rows in data.chunks(len(chosen))
        ]
    )
    common = float(_peak_of(curves.mean(axis=0)[None, :])[0])
    center, spread = _center_and_spread(curves)
    return DispersionPrior(common, center, spread, int(degrees[chosen].sum()))


def estimate_dispersion(
    successes: ArrayLike,
    totals: ArrayLike,
    design: ArrayLike,
    offset: ArrayLike | None = None,
    prior: DispersionPrior | None = None,
) -> Array:
    """Return the dispersion of every feature, shrunken towards the common one.

    Parameters
    ----------
    successes, totals, design, offset
        As for `fit`.
    prior
        From `estimate_prior`; None: learnt from these features.

    Returns
    -------
    numpy.ndarray
        Shape (features,), intra-class correlation of highest posterior. A feature without
        residual degrees of freedom gets the centre of the prior; NaN for all if no feature
        has any.
    """
    data = _checked(successes, totals, design, offset)
    prior = prior or estimate_prior(successes, totals, design, offset)
    if prior is None:
        return np.full(len(data.totals), np.nan)
    dispersion = np.full(len(data.totals), prior.center)
    if prior.spread < _NO_SPREAD:
        return dispersion
    belief = _log_normal(_LOG_GRID, np.log(max(prior.center, _LOWEST)), prior.spread)
    for rows in data.chunks():
        k, n, o = data.part(rows)
        own = np.flatnonzero(_residual_degrees(n, data.design) > 0)
        curves = _adjusted_profile(k[own], n[own], o[own], data.design)
        dispersion[rows.start + own] = _peak_of(curves + belief)
    return dispersion


def residual_degrees(totals: ArrayLike, design: ArrayLike) -> NDArray[np.int64]:
    """Return observations with a total above 0 minus coefficients they determine, (features,)."""
    counts, matrix = np.asarray(totals), np.asarray(design, dtype=float)
    data = _Data(counts, counts, counts, matrix)
    parts = [_residual_degrees(np.asarray(counts[rows]), matrix) for rows in data.chunks()]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def reference_degrees(
    totals: ArrayLike, design: ArrayLike, dispersion: ArrayLike, prior: DispersionPrior
) -> Array:
    """Return the degrees of freedom of Student's t that a signed root is referred to.

    The residual degrees of freedom of the feature, plus those the prior lends: were the variance
    factor ``V = 1 + (n - 1) rho`` scaled inverse chi-square between features with d degrees of
    freedom, the variance of log V would be trigamma(d / 2) (Smyth 2004, Statistical Applications in
    Genetics and Molecular Biology 3:3). Here it is taken as ``spread * (n - 1) rho / V``, n being
    the mean total: the spread itself where over-dispersion rules, nothing where counts vary as
    binomial ones do. (To first order the share ``(n - 1) rho / V`` is squared; a log-normal
    dispersion has more weight above its centre than that allows for.) The sum is at most the
    degrees of freedom of all features the prior was learnt from.

    Returns
    -------
    numpy.ndarray
        Shape (features,), infinite where nothing is left to be uncertain about.
    """
    n = np.asarray(totals, dtype=float)
    mean = n.sum(axis=1) / np.maximum((n > 0).sum(axis=1), 1)
    excess = np.maximum(mean - 1, 0.0) * np.asarray(dispersion, dtype=float)
    lent = 2 * _inverse_trigamma(prior.spread * excess / (1 + excess))
    degrees = np.minimum(residual_degrees(totals, design) + lent, prior.degrees)
    return np.where(degrees > 10_000, np.inf, degrees)


def likelihood_ratio_test(
    successes: ArrayLike,
    totals: ArrayLike,
    design: ArrayLike,
    column: int,
    offset: ArrayLike | None = None,
    dispersion: ArrayLike | None = None,
    alternative: str = "two-sided",
    null: tuple[ArrayLike, ArrayLike] = (0.0, 0.0),
    null_spread: ArrayLike = 0.0,
    prior: DispersionPrior | None = None,
) -> LikelihoodRatioTest:
    """Test one coefficient of every feature against 0, or against an interval around it.

    Parameters
    ----------
    successes, totals, design, offset
        As for `fit`. With a design of one intercept column the null is that the odds
        are those of the offset.
    column
        The tested column of the design.
    dispersion
        Known intra-class correlation, scalar or (features,): the signed root of the
        likelihood ratio is then referred to the normal distribution. None: estimated
        by `estimate_dispersion`, and the signed root is referred to Student's t with
        `reference_degrees`.
    alternative
        ``two-sided``, or ``greater``: the coefficient is above 0.
    null
        Lowest and highest coefficient under the null, natural-log odds, scalars or (features,).
        An estimate between them has ``stat`` 0; one beyond is tested against the nearer end, at
        which the likelihood of all the null allows is highest.
    null_spread
        Standard deviation of the coefficient under the null, natural-log odds, scalar or
        (features,): what all observations share and nobody can tell from a change. The null
        is then normal around the end of the interval, and its likelihood is the highest of the
        likelihood times that density over its own maximum; where both are normal the statistic
        is the squared estimate over the sum of both variances.
    prior
        From `estimate_prior`, for dispersions that are not given; None: learnt from these features.

    Notes
    -----
    Share of p-values below 0.05 without any change, 3 observations against 3, totals log-normal
    between features (sd 1) around the median, dispersions log-normal with the given sd,
    3000 features each (standard error 0.004):

    ======  ===========  ====  ============  ==============
    median  dispersion   sd    in 3000       in 60 x 50
    ======  ===========  ====  ============  ==============
    8       0.01         0.5   0.057         0.052
    8       0.05         1     0.059         0.057
    40      0.02         0.5   0.048         0.046
    40      0.02         1     0.048         0.051
    40      0.0005       0     0.053         0.047
    200     0.02         0.7   0.045         0.051
    ======  ===========  ====  ============  ==============

    Data sets of 10 features give 0.050 to 0.070. Worst where every feature has few counts (all
    totals about 5, or 2 expected successes of 20, at dispersion 0.1): up to 0.073, of which
    0.06 to 0.07 remain with the true dispersion, as the likelihood ratio is not chi-square there.

    Returns
    -------
    LikelihoodRatioTest
        p-values are NaN where a feature holds no information on the coefficient or the
        dispersion could not be estimated.
    """
    if alternative not in ("two-sided", "greater"):
        raise ValueError(f"alternative must be 'two-sided' or 'greater', not {alternative!r}")
    data = _checked(successes, totals, design, offset)
    degrees: ArrayLike = np.inf
    if dispersion is None:
        prior = prior or estimate_prior(successes, totals, design, offset)
        if prior is None:
            dispersion = np.nan
        else:
            dispersion = estimate_dispersion(successes, totals, design, offset, prior)
            degrees = reference_degrees(totals, data.design, dispersion, prior)
    rho = _checked_dispersion(dispersion, len(data.totals))
    beta, errors, full = _maximise(data, data.design, np.nan_to_num(rho))
    coefficient = beta[:, column]
    allowed = np.clip(np.nan_to_num(coefficient), *null)
    if allowed.any():
        data = replace(data, offset=data.offset + allowed[:, None] * data.design[:, column])
    restricted = _restricted(data, column, np.nan_to_num(rho), null_spread)
    stat = 2 * np.maximum(full - restricted, 0.0)
    stat[np.isnan(coefficient) | np.isnan(rho)] = np.nan
    root = np.sqrt(stat) * np.sign(np.nan_to_num(coefficient) - allowed)
    return LikelihoodRatioTest(
        coefficient / np.log(2),
        errors[:, column] / np.log(2),
        stat,
        _tail(root, degrees, alternative),
        rho,
        np.broadcast_to(np.asarray(degrees, dtype=float), stat.shape),
    )


def _restricted(data: _Data, column: int, rho: Array, spread: ArrayLike) -> Array:
    """Return the highest log likelihood with a coefficient at 0, or normal around it."""
    spread = np.broadcast_to(np.asarray(spread, dtype=float), len(data.totals))
    if not spread.any():
        return _maximise(data, np.delete(data.design, column, axis=1), rho)[2]
    precision = np.zeros((len(data.totals), data.design.shape[1]))
    precision[:, column] = 1 / np.maximum(spread, _NO_NULL_SPREAD) ** 2
    return _maximise(data, data.design, rho, precision)[2]


def sum_tail(
    successes: ArrayLike,
    totals: ArrayLike,
    log_odds: ArrayLike,
    dispersion: ArrayLike,
    spread: ArrayLike = 0.0,
) -> Array:
    """Return the chance of as many successes in all observations together, or more (mid-p).

    Where counts are few the signed root of the likelihood ratio is far from normal in its tail: of
    five successes in five trials at a chance of .3 it says 0.0003, and .3 to the fifth is 0.0024.
    Here the distribution of the sum is computed, by convolution.

    Parameters
    ----------
    successes, totals
        As for `fit`; the time needed grows with the largest sum of totals.
    log_odds
        Natural, broadcastable to (features, observations).
    dispersion
        Intra-class correlation in [0, 1), scalar or (features,).
    spread
        Standard deviation of a shift of the log odds that all observations of a feature share.

    Returns
    -------
    numpy.ndarray
        Shape (features,): the chance of more successes, and half that of as many. Chances below
        1e-13 are lost in rounding.
    """
    k, n = np.asarray(successes, dtype=np.int64), np.asarray(totals, dtype=np.int64)
    features = len(n)
    rho = np.maximum(_checked_dispersion(dispersion, features), _NO_DISPERSION)
    eta = np.broadcast_to(np.asarray(log_odds, dtype=float), n.shape)
    shifts, weights = np.polynomial.hermite_e.hermegauss(_SHIFTS)
    deviation = np.broadcast_to(np.asarray(spread, dtype=float), features)
    tail = np.zeros(features)
    whole = n.sum(axis=1)
    order = np.argsort(whole, kind="stable")
    for start in range(0, features, _SUMS):
        rows = order[start : start + _SUMS]
        length = int(whole[rows].max()) + 1
        counts = np.arange(length)
        above = (counts > k[rows].sum(axis=1)[:, None]) + 0.5 * (
            counts == k[rows].sum(axis=1)[:, None]
        )
        for shift, weight in zip(shifts, weights / weights.sum(), strict=True):
            moved = eta[rows] + shift * deviation[rows, None]
            chances = _sum_distribution(n[rows], moved, rho[rows], length)
            tail[rows] += weight * (chances * above).sum(axis=1)
    return np.clip(tail, 0.0, 1.0)


def _sum_distribution(n: NDArray[np.int64], eta: Array, rho: Array, length: int) -> Array:
    """Return the chances of 0, 1, ... successes in all observations, (features, length)."""
    s = ((1 - rho) / rho)[:, None]
    counts = np.arange(length, dtype=float)
    size = 1 << int(np.ceil(np.log2(2 * length)))
    product: NDArray[np.complex128] | float = 1.0
    for column in range(n.shape[1]):
        own = n[:, column, None].astype(float)
        p = _logistic(eta[:, column, None])
        a, b = s * p, s * (1 - p)
        inside = counts <= own
        rest = np.where(inside, own - counts, 0.0)
        log_chance = (
            gammaln(own + 1) - gammaln(counts + 1) - gammaln(rest + 1)
            + betaln(counts + a, rest + b) - betaln(a, b)
        )  # fmt: skip
        chance = np.where(inside, np.exp(log_chance), 0.0)
        product = product * np.fft.rfft(chance, size, axis=1)
    found: Array = np.fft.irfft(product, size, axis=1)[:, :length]
    return found


def _tail(root: Array, degrees: ArrayLike, alternative: str) -> Array:
    """Return p-values of signed roots of likelihood ratios."""
    value = root if alternative == "greater" else np.abs(root)
    sides = 1 if alternative == "greater" else 2
    if np.all(np.isinf(degrees)):
        return sides * ndtr(-value)
    return sides * stdtr(degrees, -value)


def _checked(
    successes: ArrayLike, totals: ArrayLike, design: ArrayLike, offset: ArrayLike | None
) -> _Data:
    """Check shapes and values once, without copying."""
    k, n = np.asarray(successes), np.asarray(totals)
    matrix = np.asarray(design, dtype=float)
    if k.ndim != 2 or k.shape != n.shape:
        raise ValueError(f"successes {k.shape} and totals {n.shape} must be one 2-D shape")
    if matrix.ndim != 2 or len(matrix) != k.shape[1]:
        raise ValueError(f"design {matrix.shape} must have a row for each of {k.shape[1]} columns")
    if k.size and ((k < 0).any() or (k > n).any()):
        raise ValueError("successes must lie between 0 and totals")
    shift = np.zeros(1) if offset is None else np.asarray(offset, dtype=float)
    return _Data(k, n, np.broadcast_to(shift, k.shape), matrix)


def _checked_dispersion(dispersion: ArrayLike, features: int) -> Array:
    rho = np.broadcast_to(np.asarray(dispersion, dtype=float), (features,))
    if ((rho < 0) | (rho >= 1)).any():
        raise ValueError("dispersion must be at least 0 and below 1")
    return rho


def _maximise(
    data: _Data, design: Array, rho: Array, precision: Array | None = None
) -> tuple[Array, Array, Array]:
    """Coefficients, standard errors, log likelihood without its binomial coefficients.

    ``precision``, shape (features, coefficients), is that of normal priors around 0, whose
    densities over their maximum are part of the likelihood.
    """
    features, columns = len(data.totals), design.shape[1]
    coefficients = np.empty((features, columns))
    errors = np.empty((features, columns))
    log_likelihood = np.empty(features)
    for rows in data.chunks():
        k, n, o = data.part(rows)
        if not columns:
            log_likelihood[rows] = _log_likelihood(k, n, o, rho[rows])
            continue
        prior = None if precision is None else precision[rows]
        beta, log_likelihood[rows], information = _fit_chunk(
            k, n, o, design, rho[rows], None, prior
        )
        seen = _identifiable(n, design)
        coefficients[rows] = np.where(seen, beta, np.nan)
        errors[rows] = np.where(seen, _standard_errors(information), np.nan)
    return coefficients, errors, log_likelihood


def _fit_chunk(
    k: Array, n: Array, offset: Array, design: Array, rho: Array, start: Array | None,
    precision: Array | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Maximise the likelihood; return coefficients, log likelihood and information matrices."""
    beta = _start(k, n, offset, design) if start is None else start.copy()
    columns = design.shape[1]
    if precision is None:
        precision = np.zeros((len(k), columns))
    log_likelihood, gradient, weight = _pieces(k, n, _eta(beta, design, offset), rho)
    log_likelihood -= _distance(beta, precision)
    information = np.zeros((len(k), columns, columns))
    active = np.arange(len(k)) if columns else np.empty(0, dtype=np.int64)
    if columns:
        information = _information(weight, design, precision)
    for _ in range(_ITERATIONS):
        if not len(active):
            break
        score = gradient[active] @ design - precision[active] * beta[active]
        step = _solve(information[active], score)
        step *= _step_length(beta[active], step, design, offset[active], n[active])[:, None]
        moving = (step * score).sum(axis=1) > _TOLERANCE
        active, step = active[moving], step[moving]
        if not len(active):
            break
        beta[active], found = _line_search(
            k[active], n[active], offset[active], design, rho[active], beta[active], step,
            log_likelihood[active], precision[active],
        )  # fmt: skip
        log_likelihood[active], gradient[active], weight[active] = found
        information[active] = _information(weight[active], design, precision[active])
    return beta, log_likelihood, information


def _line_search(
    k: Array, n: Array, offset: Array, design: Array, rho: Array, beta: Array, step: Array,
    log_likelihood: Array, precision: Array,
) -> tuple[Array, tuple[Array, Array, Array]]:  # fmt: skip
    """Take each feature's step, halved until its likelihood does not fall."""
    moved = beta + step
    ll, gradient, weight = _pieces(k, n, _eta(moved, design, offset), rho)
    ll -= _distance(moved, precision)
    for halving in range(1, 12):
        worse = np.flatnonzero(ll < log_likelihood - 1e-9 * (1 + np.abs(log_likelihood)))
        if not len(worse):
            break
        scale = 0.5**halving if halving < 11 else 0.0
        moved[worse] = beta[worse] + scale * step[worse]
        eta = _eta(moved[worse], design, offset[worse])
        ll[worse], gradient[worse], weight[worse] = _pieces(k[worse], n[worse], eta, rho[worse])
        ll[worse] -= _distance(moved[worse], precision[worse])
    return moved, (ll, gradient, weight)


def _distance(beta: Array, precision: Array) -> Array:
    """What normal priors around 0 take off the log likelihood, shape (features,)."""
    return 0.5 * (precision * beta**2).sum(axis=1)


def _eta(beta: Array, design: Array, offset: Array) -> Array:
    return beta @ design.T + offset


def _start(k: Array, n: Array, offset: Array, design: Array) -> Array:
    """Weighted least squares on empirical log odds."""
    odds = np.log((k + 0.5) / (n - k + 0.5)) - offset
    weight = n / (n + 10.0)
    return _solve(_information(weight, design), (weight * odds) @ design)


def _information(weight: Array, design: Array, precision: Array | None = None) -> Array:
    """X' W X of every feature, plus the precision of its priors.

    Returns
    -------
    numpy.ndarray
        Shape (features, coefficients, coefficients).
    """
    columns = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    information = (weight @ products).reshape(len(weight), columns, columns)
    if precision is not None:
        information += precision[:, :, None] * np.eye(columns)
    return information


def _solve(information: Array, score: Array) -> Array:
    """Solve for the step; a direction without information gets none of it."""
    columns = score.shape[1]
    if not columns or not len(score):
        return np.zeros_like(score)
    size = information.diagonal(axis1=1, axis2=2).max(axis=1)
    ridge = 1e-12 * size + 1e-100
    if columns == 1:
        return score / (information[:, 0, :] + ridge[:, None])
    matrix = information + ridge[:, None, None] * np.eye(columns)
    if columns == 2:
        a, b, d = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 1]
        determinant = np.maximum(a * d - b * b, 1e-300)
        first = (d * score[:, 0] - b * score[:, 1]) / determinant
        return np.stack([first, (a * score[:, 1] - b * score[:, 0]) / determinant], axis=1)
    return np.linalg.solve(matrix, score[:, :, None])[:, :, 0]


def _step_length(beta: Array, step: Array, design: Array, offset: Array, n: Array) -> Array:
    """Return the share of each step that keeps all log odds within `BOUND` and moves at most 4."""
    change = step @ design.T
    eta = _eta(beta, design, offset)
    room = np.maximum(BOUND - np.sign(change) * eta, 0.0)
    room = np.minimum(room, 4.0)
    counted = (n > 0) & (np.abs(change) > 1e-12)
    share = np.where(counted, room / np.maximum(np.abs(change), 1e-12), 1.0)
    return np.minimum(share.min(axis=1, initial=1.0), 1.0)


def _pieces(k: Array, n: Array, eta: Array, rho: Array) -> tuple[Array, Array, Array]:
    """Log likelihood (features,), its slope and curvature weight in eta (features, obs)."""
    binomial = rho < BINOMIAL_BELOW
    if binomial.all():
        return _binomial_pieces(k, n, eta)
    if not binomial.any():
        return _beta_binomial_pieces(k, n, eta, rho)
    log_likelihood, gradient, weight = np.empty(len(k)), np.empty_like(eta), np.empty_like(eta)
    for rows, found in (
        (binomial, _binomial_pieces(k[binomial], n[binomial], eta[binomial])),
        (
            ~binomial,
            _beta_binomial_pieces(k[~binomial], n[~binomial], eta[~binomial], rho[~binomial]),
        ),
    ):
        log_likelihood[rows], gradient[rows], weight[rows] = found
    return log_likelihood, gradient, weight


def _log_likelihood(k: Array, n: Array, eta: Array, rho: Array) -> Array:
    """Log likelihood alone, as in `_pieces`, shape (features,)."""
    result = np.empty(len(k))
    binomial = rho < BINOMIAL_BELOW
    result[binomial] = _binomial_pieces(k[binomial], n[binomial], eta[binomial])[0]
    k, n, eta = k[~binomial], n[~binomial], eta[~binomial]
    s = ((1 - rho[~binomial]) / rho[~binomial])[:, None]
    a, b = s * _logistic(eta), s * _logistic(-eta)
    terms = _log_gamma(k + a) - _log_gamma(a) + _log_gamma(n - k + b) - _log_gamma(b)
    result[~binomial] = terms.sum(axis=1) + _log_normaliser(n, s)
    return result


def _log_normaliser(n: Array, s: Array) -> Array:
    return gammaln(s[:, 0]) * n.shape[1] - _log_gamma(n + s).sum(axis=1)


def _binomial_pieces(k: Array, n: Array, eta: Array) -> tuple[Array, Array, Array]:
    p = _logistic(eta)
    log_likelihood = (k * eta - n * np.logaddexp(0.0, eta)).sum(axis=1)
    return log_likelihood, k - n * p, n * p * _logistic(-eta)


def _beta_binomial_pieces(k: Array, n: Array, eta: Array, rho: Array) -> tuple[Array, Array, Array]:
    p, q = _logistic(eta), _logistic(-eta)
    s = ((1 - rho) / rho)[:, None]
    a, b = s * p, s * q
    upper, lower = _gamma_family(k + a), _gamma_family(a)
    other_upper, other_lower = _gamma_family(n - k + b), _gamma_family(b)
    terms = upper[0] - lower[0] + other_upper[0] - other_lower[0]
    log_likelihood = terms.sum(axis=1) + _log_normaliser(n, s)
    slope = s * (upper[1] - lower[1] - other_upper[1] + other_lower[1])
    bend = s**2 * (upper[2] - lower[2] + other_upper[2] - other_lower[2])
    pq = p * q
    observed = -(bend * pq**2 + slope * pq * (q - p))
    quasi = n * pq / (1 + (n - 1).clip(min=0) * rho[:, None])
    return log_likelihood, slope * pq, np.where(observed > 0.2 * quasi, observed, quasi)


def _gamma_family(x: Array) -> tuple[Array, Array, Array]:
    """Log gamma, digamma and trigamma of positive numbers, to 11 digits.

    All three by recurrence to where the asymptotic series hold, and these from there: several
    times faster than three special functions, which are the cost of a fit.
    """
    y = x
    product: Array | float = 1.0
    first: Array | float = 0.0
    second: Array | float = 0.0
    while (y < _SERIES_FROM).any():
        inverse = 1 / y
        product, first, second = product * y, first + inverse, second + inverse * inverse
        y = y + 1
    inverse = 1 / y
    square = inverse * inverse
    log_y = np.log(y)
    log_gamma = (y - 0.5) * log_y - y + _HALF_LOG_TWO_PI - np.log(product)
    log_gamma += inverse * _series(square, _LOG_GAMMA_SERIES)
    digamma = log_y - 0.5 * inverse - square * _series(square, _DIGAMMA_SERIES) - first
    trigamma = inverse + 0.5 * square + square * inverse * _series(square, _TRIGAMMA_SERIES)
    return log_gamma, digamma, trigamma + second


def _log_gamma(x: Array) -> Array:
    """Log gamma alone, as in `_gamma_family`."""
    y = x
    product: Array | float = 1.0
    while (y < _SERIES_FROM).any():
        y, product = y + 1, product * y
    inverse = 1 / y
    log_gamma = (y - 0.5) * np.log(y) - y + _HALF_LOG_TWO_PI - np.log(product)
    return log_gamma + inverse * _series(inverse * inverse, _LOG_GAMMA_SERIES)


def _series(square: Array, terms: tuple[float, ...]) -> Array:
    total = np.full_like(square, terms[-1])
    for term in terms[-2::-1]:
        total *= square
        total += term
    return total


def _logistic(eta: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-np.clip(eta, -700, 700)))


def _log_choose(k: Array, n: Array) -> Array:
    return (gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)).sum(axis=1)


def _standard_errors(information: Array) -> Array:
    columns = information.shape[1]
    if not columns or not len(information):
        return np.empty(information.shape[:2])
    size = information.diagonal(axis1=1, axis2=2).max(axis=1)
    matrix = information + (1e-12 * size + 1e-100)[:, None, None] * np.eye(columns)
    return np.sqrt(np.linalg.inv(matrix).diagonal(axis1=1, axis2=2))


def _patterns(n: Array) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Distinct sets of observations with a total above 0, and the set of every feature."""
    seen = n > 0
    partly = np.flatnonzero(~seen.all(axis=1))
    patterns, number = np.unique(seen[partly], axis=0, return_inverse=True)
    which = np.zeros(len(n), dtype=np.int64)
    which[partly] = number.reshape(-1) + 1
    return np.concatenate([np.ones((1, n.shape[1]), dtype=bool), patterns]), which


def _identifiable(n: Array, design: Array) -> NDArray[np.bool_]:
    """Which coefficients the observations with a total above 0 determine, (features, columns)."""
    patterns, which = _patterns(n)
    columns = design.shape[1]
    answer = np.zeros((len(patterns), columns), dtype=bool)
    for row, pattern in enumerate(patterns):
        rank = _rank(design[pattern])
        for column in range(columns):
            answer[row, column] = _rank(np.delete(design[pattern], column, axis=1)) < rank
    return answer[which]


def _residual_degrees(n: Array, design: Array) -> NDArray[np.int64]:
    patterns, which = _patterns(n)
    degrees = [int(pattern.sum()) - _rank(design[pattern]) for pattern in patterns]
    return np.asarray(degrees, dtype=np.int64)[which]


def _rank(matrix: Array) -> int:
    return int(np.linalg.matrix_rank(matrix)) if matrix.size else 0


def _adjusted_profile(k: Array, n: Array, offset: Array, design: Array) -> Array:
    """Cox-Reid adjusted profile log likelihood, shape (features, grid)."""
    curves = np.empty((len(k), len(DISPERSION_GRID)))
    beta: Array | None = None
    prior = _ADJUSTMENT_PRIOR * np.eye(design.shape[1])
    for column, value in enumerate(DISPERSION_GRID):
        rho = np.full(len(k), value)
        beta, log_likelihood, _ = _fit_chunk(k, n, offset, design, rho, beta)
        p = _logistic(_eta(beta, design, offset))
        weight = n * p * (1 - p) / (1 + (n - 1).clip(min=0) * value)
        # The weak prior keeps a group without successes, whose information vanishes whatever
        # the dispersion, from speaking for a large one.
        determinant = np.linalg.slogdet(_information(weight, design) + prior)[1]
        curves[:, column] = log_likelihood - 0.5 * determinant
    return curves


def _center_and_spread(curves: Array) -> tuple[float, float]:
    """Centre and log variance of a log-normal distribution of dispersions, by marginal likelihood.

    The adjusted profile likelihoods, interpolated on a grid fine enough for the narrowest
    candidate, are integrated over the distribution.
    """
    from scipy.interpolate import CubicSpline

    fine = np.linspace(_LOG_GRID[0], _LOG_GRID[-1], 151)
    curves = CubicSpline(_LOG_GRID, curves, axis=1)(fine)
    top = curves.max(axis=1, keepdims=True)
    likelihood = np.exp(curves - top)
    variances = polygamma(1, SPREAD_DEGREES / 2)
    evidence, centers = np.empty(len(variances)), np.empty(len(variances))
    for row, variance in enumerate(variances):
        kernel = np.exp(_log_normal(fine[:, None], fine[None, :], max(variance, _NO_SPREAD)))
        kernel /= kernel.sum(axis=0)
        marginal = np.log(likelihood @ kernel + 1e-300).sum(axis=0)
        evidence[row] = marginal.max()
        centers[row] = fine[marginal.argmax()]
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    center = float(np.exp((weight * centers).sum()))
    return (center if center > 1.01 * _LOWEST else 0.0), float((weight * variances).sum())


def _log_normal(value: Array, center: Array | float, variance: float) -> Array:
    return -((value - center) ** 2) / (2 * variance)


def _inverse_trigamma(value: Array) -> Array:
    """Solve trigamma(x) = value by Newton's method on 1 / trigamma (Smyth 2004, appendix)."""
    target = np.clip(value, 1e-6, None)
    x = 0.5 + 1 / target
    for _ in range(8):
        trigamma = polygamma(1, x)
        x = x + trigamma * (1 - trigamma / target) / polygamma(2, x)
    return np.where(value < 1e-6, np.inf, x)


def _peak_of(curves: Array) -> Array:
    """Return the dispersion at which each curve over the grid is highest.

    Between the grid points the curve is the parabola through the highest point and its
    neighbours, on the index of the grid; the first and last points stand for themselves.
    """
    best = curves.argmax(axis=1)
    inner = np.clip(best, 1, len(DISPERSION_GRID) - 2)
    rows = np.arange(len(curves))
    left, middle, right = (curves[rows, inner + move] for move in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend < -1e-12, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0.0)
    position = np.where(best == inner, inner + np.clip(shift, -1, 1), best)
    return np.interp(position, np.arange(len(DISPERSION_GRID)), DISPERSION_GRID)
