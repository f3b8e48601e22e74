"""How much a difference between scores means: intervals over speakers, tests over speakers, clips and seeds.

Clips of one speaker resemble each other, so the speaker is the unit: intervals draw speakers, and the paired test swaps
the two systems speaker by speaker. What cannot be computed is NaN with a reason, as in `affetto.metrics`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from affetto.metrics import Undefined

Array = npt.NDArray[np.float64]
Values = Sequence[float] | npt.NDArray[np.floating[Any]]
Answers = Sequence[bool] | npt.NDArray[np.bool_]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

FEWEST_SPEAKERS = 3  # two make three different draws, of which no percentile means anything
UNDEFINED_DRAWS = 0.01  # of the bootstrap; leaving out more would move the ends, which few draws decide
EXACT_SPEAKERS = 16  # 2^16 = 65,536 sign patterns take half a second; above, RANDOM_FLIPS of them
RANDOM_FLIPS = 99_999  # with the observed one, 100,000: two-sided p-values in steps of 2e-5
ROUNDING = 1e-12  # scores that differ by less than this share of the largest are equal

_CHUNK_BYTES = 64 * 2**20  # of sums over drawn speakers; a score needs about as much again


@dataclass(frozen=True)
class Interval:
    """Where a score lies, as far as other speakers would have changed it.

    Attributes:
        low: the lower end; NaN when undefined.
        high: the upper end; NaN when undefined.
        level: the share of such intervals meant to hold the true score.
        clusters: speakers that were drawn from.
        reason: why there is no interval; None when there is one.
    """

    low: float
    high: float
    level: float
    clusters: int
    reason: str | None = None


@dataclass(frozen=True)
class Intervals:
    """The intervals of a score's two aggregates, as results files hold them.

    Attributes:
        fold_mean: of the score of each fold, mean over folds, mean over seeds.
        pooled: of the score of all folds' clips together, mean over seeds.
    """

    fold_mean: Interval
    pooled: Interval


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


def speaker_bootstrap(
    sums: npt.ArrayLike,
    score: Callable[[Array], npt.ArrayLike],
    *,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Intervals:
    """Intervals of a score by drawing speakers with replacement (expanded percentile intervals, Hesterberg, 2015).

    Speakers are drawn, never clips: a drawn speaker brings all clips, in all seeds. What a seed changes is averaged as
    it is in the score itself, not drawn.

    Where all speakers are in equally many folds (leave-one-speaker-out, by session, random splits, the leakage bill),
    the drawn speakers take the places of the original ones, and each place keeps its folds: the clips of the drawn
    speaker's first fold come into the place's first, and so on. With one speaker a fold, the fold mean is the mean over
    drawn speakers. Where some speakers are in more folds than others, a drawn speaker brings the clips of every fold to
    that fold, as often as drawn, and folds that are left without clips are not in that draw's mean.

    The trained systems stay as they are: the interval speaks of other test speakers, not of other training sets. With
    very few speakers it can reach no further than the draws do, and is too narrow: in simulations, intervals of level
    0.95 held the true accuracy in 74 % of samples of three speakers, 90 % of four, 92 % of five and 95 % of ten (plain
    percentile intervals: 74, 81, 84 and 91 %).

    Args:
        sums: what the score is computed from, added up over a speaker's clips: (seeds, folds, speakers, *statistic),
            e.g. confusion counts, (R, F, S, K, K), or `metrics.moments`, (R, F, S, 6). All zeros: not in that fold.
        score: from (..., *statistic) to (...), NaN without a warning where undefined, e.g. for no clips.
        level: of the interval, in 0..1.
        draws: how often as many speakers are drawn as there are.
        seed: of the draws; the same seed draws the same speakers for another system on the same corpus.

    Returns:
        Both intervals. Undefined for fewer than three speakers, when the score itself is undefined, and when it is in
        more than 1 % of the draws; what is undefined in fewer draws is left out.

    Raises:
        ValueError: if `sums` lacks the three leading axes, or `level` or `draws` is out of range.

    Source: Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015; drawing
    whole clusters is the cluster bootstrap (Davison and Hinkley, "Bootstrap Methods and Their Application", 1997,
    section 3.8).

    Example:
        >>> right = np.array([[8, 2], [7, 3], [9, 1], [5, 5], [6, 4]])  # right and wrong answers by speaker
        >>> sums = np.eye(5)[None, :, :, None] * right  # each speaker in a fold of its own: (1, 5, 5, 2)
        >>> found = speaker_bootstrap(sums, lambda counts: counts[..., 0] / np.maximum(counts.sum(-1), 1))
        >>> round(found.fold_mean.low, 2), round(found.fold_mean.high, 2), found.fold_mean.clusters
        (0.52, 0.88, 5)
    """
    sums = np.asarray(sums, dtype=np.float64)
    if sums.ndim < 3:
        raise ValueError(f"sums of shape {sums.shape}; expected (seeds, folds, speakers, *statistic)")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a share between 0 and 1, such as 0.95")
    if draws < 1:
        raise ValueError(f"draws is {draws}; expected at least 1")
    has_clips = (sums != 0).any(axis=tuple(range(3, sums.ndim)))  # (R, F, S)
    heard = has_clips.any(axis=(0, 1))
    sums, has_clips = sums[:, :, heard], has_clips[:, :, heard]
    speakers = sums.shape[2]
    if speakers < FEWEST_SPEAKERS:
        none = Interval(np.nan, np.nan, level, speakers, f"fewer than {FEWEST_SPEAKERS} speakers")
        return Intervals(none, none)
    random = np.random.Generator(np.random.PCG64(seed)).integers(speakers, size=(draws, speakers))
    drawn = np.concatenate([np.arange(speakers)[None], random])  # the first is the score itself
    fold_mean, pooled = np.zeros((2, len(drawn)))
    folds, statistic = sums.shape[1], int(np.prod(sums.shape[3:]))
    step = max(1, _CHUNK_BYTES // (8 * folds * (statistic + 2 * speakers)))
    for start in range(0, len(drawn), step):
        chunk = slice(start, start + step)
        for of_seed, in_fold in zip(sums, has_clips, strict=True):
            by_fold, together = _aggregates(of_seed, in_fold, score, drawn[chunk])
            fold_mean[chunk] += by_fold / len(sums)
            pooled[chunk] += together / len(sums)
    return Intervals(_interval(fold_mean, level, speakers), _interval(pooled, level, speakers))


def expanded_tail(level: float, clusters: int) -> float:
    """Share of the draws outside each end of an expanded percentile interval.

    A percentile interval of a mean is about as wide as one with a normal quantile and a deviation divided by n. This
    share makes it as wide as one with Student's quantile and a deviation divided by n - 1; for ten speakers and 95 %,
    that is 0.86 % instead of 2.5 %.

    Args:
        level: of the interval, in 0..1.
        clusters: n, at least 2.

    Returns:
        Phi(-sqrt(n / (n - 1)) t), t the (1 + level) / 2 quantile of Student's distribution with n - 1 degrees of
        freedom.

    Source: Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015.

    Example:
        >>> round(expanded_tail(0.95, 10), 4)
        0.0086
    """
    quantile = stats.t.ppf((1 + level) / 2, clusters - 1)
    return float(stats.norm.cdf(-np.sqrt(clusters / (clusters - 1)) * quantile))


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


def _aggregates(
    sums: Array, has_clips: Flags, score: Callable[[Array], npt.ArrayLike], drawn: Indices
) -> tuple[Array, Array]:
    """Fold mean and pooled score of one seed for each draw, (B,), from sums (F, S, *statistic) and drawn (B, S)."""
    folds, speakers = has_clips.shape
    total = sums.sum(axis=0)  # (S, *statistic)
    times = _times(drawn, np.zeros(speakers, dtype=np.int64), 1)[:, 0]  # (B, S)
    pooled = np.asarray(score(np.tensordot(times, total, 1)))
    number = has_clips.sum(axis=0)  # of folds of each speaker, (S,)
    if (number != number[0]).any():  # no place is like another: a speaker brings clips to the folds that they are in
        scores = np.asarray(score(np.tensordot(times, sums.swapaxes(0, 1), 1)))  # (B, F)
        return _mean(scores, times @ has_clips.T > 0), pooled
    places = np.argsort(~has_clips, axis=0, kind="stable")[: number[0]]  # the folds of each speaker in order, (k, S)
    if number[0] == 1 and len(np.unique(places)) == speakers:  # a fold's score is that of the speaker drawn into it
        return np.asarray(score(total))[drawn].mean(axis=1), pooled
    in_fold = np.zeros((len(drawn), folds, *sums.shape[2:]))
    filled = np.zeros((len(drawn), folds), dtype=bool)
    for place in places:
        times = _times(drawn, place, folds)  # (B, F, S)
        in_fold += np.tensordot(times, sums[place, np.arange(speakers)], 1)
        filled |= times.any(axis=2)
    return _mean(np.asarray(score(in_fold)), filled), pooled


def _times(drawn: Indices, places: Indices, folds: int) -> Array:
    """How often each speaker was drawn into a place of each fold, (B, F, S), from drawn (B, S) and places (S,)."""
    draws, speakers = drawn.shape
    cells = (np.arange(draws)[:, None] * folds + places) * speakers + drawn
    counts = np.bincount(cells.ravel(), minlength=draws * folds * speakers)
    return counts.reshape(draws, folds, speakers).astype(np.float64)


def _mean(scores: Array, filled: Flags) -> Array:
    """Mean over the folds that have clips, (B,) from (B, F); NaN where none has."""
    mean = np.full(len(scores), np.nan)
    np.divide(np.where(filled, scores, 0.0).sum(axis=1), filled.sum(axis=1), out=mean, where=filled.any(axis=1))
    return mean


def _interval(values: Array, level: float, clusters: int) -> Interval:
    """From the score itself, values[0], and the scores of all draws."""
    scores = values[1:]
    missing = float(np.isnan(scores).mean())
    reason = None
    if np.isnan(values[0]):
        reason = "the score is undefined"
    elif missing > UNDEFINED_DRAWS:
        reason = f"the score is undefined in {100 * missing:.0f} % of the draws"
    if reason is not None:
        return Interval(np.nan, np.nan, level, clusters, reason)
    tail = expanded_tail(level, clusters)
    low, high = np.quantile(scores[~np.isnan(scores)], [tail, 1 - tail])
    return Interval(float(low), float(high), level, clusters)


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
