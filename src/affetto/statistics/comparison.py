"""Two systems compared, over speakers, clips and seeds; and the smallest difference that could be seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from affetto.metrics import Undefined

Array = npt.NDArray[np.float64]
Values = Sequence[float] | npt.NDArray[np.floating[Any]]
Answers = Sequence[bool] | npt.NDArray[np.bool_]

EXACT_SPEAKERS = 16  # 2^16 = 65,536 sign patterns take half a second; above, RANDOM_FLIPS of them
RANDOM_FLIPS = 99_999  # with the observed one, 100,000: two-sided p-values in steps of 2e-5
ROUNDING = 1e-12  # scores that differ by less than this share of the largest are equal


@dataclass(frozen=True)
class Comparison:
    """Two systems compared speaker by speaker.

    Attributes:
        difference: mean over speakers of the first system's score minus the second's.
        p_value: how often a mean at least as far from 0 comes of swapping the systems at random.
        n: speakers compared.
        left_out: speakers without a score in one system or both.
        exact: whether every pattern of swaps was tried, instead of random ones.
        smallest_p: what the p-value would be had one system won with every speaker: below it nothing can be shown.
    """

    difference: float
    p_value: float
    n: int
    left_out: int
    exact: bool
    smallest_p: float


@dataclass(frozen=True)
class Discordance:
    """Where two systems part: clips that only one of them answers rightly.

    Attributes:
        only_a: clips that only the first system answers rightly.
        only_b: clips that only the second does.
        p_value: how often a fair coin divides so many clips at least as unevenly.
    """

    only_a: int
    only_b: int
    p_value: float


@dataclass(frozen=True)
class TTest:
    """Two systems compared over their seeds.

    Attributes:
        difference: mean of the first system's scores minus that of the second's.
        t: the difference in standard errors.
        degrees: degrees of freedom, seeds less two.
        p_value: two-sided.
    """

    difference: float
    t: float
    degrees: int
    p_value: float


@dataclass(frozen=True)
class OverSeeds:
    """A score over seeds.

    Attributes:
        mean: over seeds.
        deviation: sample standard deviation (divided by n - 1).
        n: seeds.
    """

    mean: float
    deviation: float
    n: int


def paired_permutation(a: Values, b: Values) -> Comparison:
    """Two-sided sign-flip permutation test of the mean difference of scores by speaker.

    If the systems are equally good, it is chance which of a speaker's two scores belongs to which. Up to 16 speakers
    every pattern of swaps is tried; for more, 99,999 random ones with a fixed seed, and the observed one.

    Args:
        a: scores of the first system, one a speaker, (n,); for several seeds their mean.
        b: scores of the second, same speakers in the same order.

    Returns:
        The comparison. A speaker with NaN or infinity in either is left out of both and counted; without any speaker
        left, difference and p-values are undefined.

    Raises:
        ValueError: if lengths differ.

    Source: Fisher, "The Design of Experiments", 1935, section 21; random flips with the observed one counted: Phipson
    and Smyth, "Permutation P-values Should Never Be Zero", 2010.

    Example:
        >>> found = paired_permutation([0.8, 0.7, 0.9, 0.6], [0.7, 0.65, 0.7, 0.5])
        >>> round(found.difference, 4), found.p_value, found.smallest_p
        (0.1125, 0.125, 0.125)
    """
    first, second = _pairs(a, b)
    known = np.isfinite(first) & np.isfinite(second)
    differences = first[known] - second[known]
    n, left_out = len(differences), int((~known).sum())
    if n == 0:
        undefined = Undefined("no speakers")
        return Comparison(undefined, undefined, n, left_out, True, undefined)
    exact = n <= EXACT_SPEAKERS
    smallest = 2 / min(2**n, RANDOM_FLIPS + 1)
    p_value = 1.0 if n == 1 else _flip(differences, exact=exact)  # a single swap changes only the sign
    return Comparison(float(differences.mean()), p_value, n, left_out, exact, smallest)


def mcnemar(right_a: Answers, right_b: Answers) -> Discordance:
    """Exact two-sided McNemar test on the clips that only one of two systems answers rightly.

    It takes clips for independent, which those of one speaker are not: its p-value is too small for a claim about other
    speakers, for which there is `paired_permutation`.

    Args:
        right_a: whether the first system is right, one a clip, (n,).
        right_b: the same of the second, same clips in the same order.

    Returns:
        The counts and the p-value; 1 when the systems never part.

    Raises:
        ValueError: if lengths differ, or if something else than booleans is given.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947; exact, by the binomial distribution.

    Example:
        >>> mcnemar([True] * 9 + [False], [False] * 9 + [True])
        Discordance(only_a=9, only_b=1, p_value=0.021484375)
    """
    first, second = np.asarray(right_a), np.asarray(right_b)
    _check_pairs(first, second)
    for answers in (first, second):
        if answers.size and answers.dtype != np.bool_:
            raise ValueError(f"answers of type {answers.dtype}; expected booleans, True where the answer is right")
    only_a, only_b = int((first > second).sum()), int((second > first).sum())
    parted = only_a + only_b
    return Discordance(only_a, only_b, float(stats.binomtest(only_a, parted).pvalue) if parted else 1.0)


def t_test(a: Values, b: Values) -> TTest:
    """Two-sided t-test of independent samples with equal variances, as the second paper compares models over seeds.

    It asks whether other seeds would change the order of two systems on these very test clips, nothing about other
    speakers.

    Args:
        a: scores of the first system, one a seed.
        b: scores of the second, one a seed; not paired with those of the first.

    Returns:
        The test; t and p-value are undefined for fewer than two seeds a side, for NaN or infinity among the scores,
        and when the scores of neither side vary.

    Raises:
        ValueError: if the scores are not one a seed.

    Source: Student, "The Probable Error of a Mean", Biometrika 6, 1908; tables 1 and 2 of the second paper.

    Example:
        >>> found = t_test([0.71, 0.73, 0.72], [0.69, 0.70, 0.71])
        >>> round(found.t, 3), found.degrees, round(found.p_value, 4)
        (2.449, 4, 0.0705)
    """
    sides = over_seeds(a), over_seeds(b)
    difference = sides[0].mean - sides[1].mean
    degrees = sides[0].n + sides[1].n - 2
    if min(side.n for side in sides) < 2:
        undefined = Undefined("fewer than two seeds on a side")
    elif np.isnan(difference):
        undefined = Undefined("NaN or infinity among the scores")
    elif _constant(_flat(a)) and _constant(_flat(b)):
        undefined = Undefined("the scores do not vary over seeds")
    else:
        moments = [number for side in sides for number in (side.mean, side.deviation, side.n)]
        found = stats.ttest_ind_from_stats(*moments, equal_var=True)
        return TTest(difference, float(found.statistic), degrees, float(found.pvalue))
    return TTest(undefined if np.isnan(difference) else difference, undefined, degrees, undefined)


def over_seeds(values: Values) -> OverSeeds:
    """Mean and standard deviation of a score over seeds.

    Args:
        values: one score a seed, (n,).

    Returns:
        Both; the deviation is undefined for one seed, both are for none and for NaN or infinity among the scores.

    Raises:
        ValueError: if the scores are not one a seed.

    Example:
        >>> over_seeds([0.5, 0.75])
        OverSeeds(mean=0.625, deviation=0.1767766952966369, n=2)
        >>> over_seeds([0.5]).deviation
        Undefined('one seed')
    """
    scores = _flat(values)
    if not len(scores) or not np.isfinite(scores).all():
        undefined = Undefined("NaN or infinity among the scores" if len(scores) else "no seeds")
        return OverSeeds(undefined, undefined, len(scores))
    deviation = float(scores.std(ddof=1)) if len(scores) > 1 else Undefined("one seed")
    return OverSeeds(float(scores.mean()), deviation, len(scores))


def smallest_difference(differences: Values, *, level: float = 0.95, power: float = 0.8) -> float:
    """Smallest true mean difference between two systems that so many speakers, differing so much, would likely show.

    That of a paired two-sided t-test over speakers: what is smaller and yet not found says nothing.

    Args:
        differences: of two systems' scores, one a speaker, (n,); NaN and infinity are left out.
        level: 1 minus the share of false alarms, in 0..1.
        power: the share of samples in which the difference is to be found; more than 1 - level, which chance finds.

    Returns:
        The difference, more than 0, in the unit of the scores; undefined for fewer than two speakers and for
        differences that do not vary.

    Raises:
        ValueError: if `level` or `power` is out of range, or the differences are not one a speaker.

    Source: Cohen, "Statistical Power Analysis for the Behavioral Sciences", 2nd edition, 1988, chapter 2, with the
    noncentral t distribution itself instead of tables.

    Example:
        >>> round(smallest_difference([0.02, -0.01, 0.05, 0.03, 0.00, 0.04, -0.02, 0.01, 0.06, 0.02]), 4)
        0.0257
    """
    if not 0 < level < 1 or not 1 - level < power < 1:
        raise ValueError(f"level {level} and power {power}; expected both below 1, and power above 1 - level")
    known = _flat(differences)
    known = known[np.isfinite(known)]
    n = len(known)
    if n < 2:
        return Undefined("fewer than two speakers")
    if _constant(known):
        return Undefined("the differences do not vary over speakers")
    critical = stats.t.ppf((1 + level) / 2, n - 1)

    def lacks(shift: float) -> float:
        """Power still lacking when the true mean is so many standard errors from 0."""
        # The lower tail is asked for as the upper one of the mirrored distribution: scipy's own is NaN in places.
        return power - float(stats.nct.sf(critical, n - 1, shift) + stats.nct.sf(critical, n - 1, -shift))

    enough = 1.0
    while lacks(enough) > 0:
        enough *= 2
    return float(optimize.brentq(lacks, 0.0, enough) * known.std(ddof=1) / np.sqrt(n))


def _flip(differences: Array, *, exact: bool) -> float:
    scale = np.abs(differences).max() or 1.0

    def mean(flipped: Array, axis: int) -> Array:
        # Equal means must count as equal, in whatever order they add up.
        return np.asarray(np.round(flipped.mean(axis=axis), 12))

    found = stats.permutation_test(
        (differences / scale,),
        mean,
        permutation_type="samples",  # of one sample: flips signs
        vectorized=True,
        n_resamples=2**EXACT_SPEAKERS if exact else RANDOM_FLIPS,
        batch=10_000,
        rng=np.random.Generator(np.random.PCG64(0)),
    )
    return float(found.pvalue)


def _pairs(a: Values, b: Values) -> tuple[Array, Array]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    _check_pairs(first, second)
    return first, second


def _check_pairs(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"shapes {first.shape} and {second.shape}; expected pairs: (n,) twice, in the same order")


def _flat(values: Values) -> Array:
    flat = np.asarray(values, dtype=np.float64)
    if flat.ndim != 1:
        raise ValueError(f"values of shape {flat.shape}; expected (n,)")
    return flat


def _constant(values: Array) -> bool:
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())
