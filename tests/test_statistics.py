import dataclasses
import itertools
import math
import statistics as standard_library
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto import metrics, statistics
from affetto.metrics import Undefined

CLASSES = ("anger", "fear", "neutral")


def ua(counts):
    return metrics.from_counts(counts)["ua"]


def first(sums):
    return sums[..., 0]


def share(right_and_wrong):
    return right_and_wrong[..., 0] / np.maximum(right_and_wrong.sum(axis=-1), 1)


def leave_one_out(by_speaker):
    """(S, *statistic) to (1, S, S, *statistic), each speaker in a fold of its own."""
    by_speaker = np.asarray(by_speaker, dtype=np.float64)
    sums = np.zeros((1, len(by_speaker), *by_speaker.shape))
    sums[0, np.arange(len(by_speaker)), np.arange(len(by_speaker))] = by_speaker
    return sums


def plain_level(clusters, level=0.95):
    """The level whose expanded interval is the plain percentile interval of the level asked for."""
    quantile = scipy.stats.norm.ppf((1 + level) / 2) * math.sqrt((clusters - 1) / clusters)
    return 2 * scipy.stats.t.cdf(quantile, clusters - 1) - 1


def is_undefined(value, reason):
    return isinstance(value, Undefined) and value.reason == reason


# The bootstrap over speakers


def fold_of(kind, speaker, clip):
    return {"one speaker a fold": speaker, "speakers share folds": speaker % 3, "speakers cross folds": clip % 5}[kind]


KINDS = ["one speaker a fold", "speakers share folds", "speakers cross folds"]


def recordings(kind, *, speakers=7, seeds=2):
    """(seed, fold, speaker, truth, prediction) of made-up clips; the first speaker has few, and never fear."""
    rng = np.random.default_rng(3)
    for seed, speaker in itertools.product(range(seeds), range(speakers)):
        for clip in range(2 if speaker == 0 else 9):
            truth = CLASSES[rng.integers(3)] if speaker else "anger"
            right = rng.random() < 0.4 + 0.08 * speaker
            yield seed, fold_of(kind, speaker, clip), speaker, truth, truth if right else CLASSES[rng.integers(3)]


def confusions(clips, *, seeds=2, folds=7, speakers=7):
    sums = np.zeros((seeds, folds, speakers, 3, 3), dtype=np.int64)
    for seed, fold, speaker, truth, prediction in clips:
        sums[seed, fold, speaker, CLASSES.index(truth), CLASSES.index(prediction)] += 1
    return sums


def recall(clips):
    truth, prediction = zip(*clips, strict=True)
    return sklearn.metrics.recall_score(
        truth, prediction, labels=sorted(set(truth)), average="macro", zero_division=0.0
    )


def drawn_clips(kind, clips, drawn):
    """(fold, truth, prediction) of one draw, clip by clip."""
    for place, who in enumerate(drawn):
        for _, fold, speaker, truth, prediction in clips:
            if speaker == who:
                yield fold if kind == "speakers cross folds" else fold_of(kind, place, 0), truth, prediction


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_are_those_of_scores_of_the_very_clips(kind):
    clips = list(recordings(kind))
    fold_mean, pooled = [], []
    for drawn in np.random.Generator(np.random.PCG64(1)).integers(7, size=(30, 7)):
        of_seeds = [list(drawn_clips(kind, [clip for clip in clips if clip[0] == seed], drawn)) for seed in (0, 1)]
        by_fold = [
            [recall([clip[1:] for clip in here if clip[0] == fold]) for fold in sorted({clip[0] for clip in here})]
            for here in of_seeds
        ]
        fold_mean.append(np.mean([np.mean(scores) for scores in by_fold]))
        pooled.append(np.mean([recall([clip[1:] for clip in here]) for here in of_seeds]))
    tail = scipy.stats.norm.cdf(-math.sqrt(7 / 6) * scipy.stats.t.ppf(0.95, 6))
    found = statistics.speaker_bootstrap(confusions(clips), ua, level=0.9, draws=30, seed=1)
    assert (found.fold_mean.low, found.fold_mean.high) == pytest.approx(np.quantile(fold_mean, [tail, 1 - tail]))
    assert (found.pooled.low, found.pooled.high) == pytest.approx(np.quantile(pooled, [tail, 1 - tail]))


def test_the_interval_of_a_mean_is_scipys_bootstrap_with_hesterbergs_tail():
    scores = np.random.default_rng(5).normal(size=12)
    expected = scipy.stats.bootstrap(
        (scores,), np.mean, method="percentile", n_resamples=40_000, rng=np.random.default_rng(0)
    ).confidence_interval
    found = statistics.speaker_bootstrap(leave_one_out(scores[:, None]), first, level=plain_level(12), draws=40_000)
    assert (found.fold_mean.low, found.fold_mean.high) == pytest.approx((expected.low, expected.high), abs=0.02)


@pytest.mark.parametrize("clusters", [3, 10, 100])
def test_the_expanded_tail_makes_a_normal_quantile_students(clusters):
    tail = statistics.expanded_tail(0.95, clusters)
    narrow = -scipy.stats.norm.ppf(tail) * math.sqrt((clusters - 1) / clusters)
    assert narrow == pytest.approx(scipy.stats.t.ppf(0.975, clusters - 1))


def test_the_expanded_tail_of_ten_and_of_very_many():
    assert statistics.expanded_tail(0.95, 10) == pytest.approx(0.00855, abs=5e-6)  # Phi(-1.0541 * 2.2622)
    assert statistics.expanded_tail(0.95, 1_000_000) == pytest.approx(0.025, abs=1e-5)


def test_95_percent_intervals_over_ten_speakers_hold_the_truth_in_95_percent():
    rng = np.random.default_rng(0)
    hits = np.zeros(2)
    for trial in range(1000):
        right = rng.binomial(50, np.clip(rng.normal(0.7, 0.1, size=10), 0, 1))
        sums = leave_one_out(np.stack([right, 50 - right], axis=1))
        for i, level in enumerate((0.95, plain_level(10))):
            found = statistics.speaker_bootstrap(sums, share, level=level, draws=2000, seed=trial).fold_mean
            hits[i] += found.low <= 0.7 <= found.high
    expanded, plain = hits / 1000
    assert expanded == pytest.approx(0.95, abs=0.02)  # three standard errors
    assert plain < 0.925


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_do_not_depend_on_how_the_draws_are_cut(kind, monkeypatch):
    sums = confusions(recordings(kind))
    whole = statistics.speaker_bootstrap(sums, ua, draws=300)
    monkeypatch.setattr(statistics.bootstrap, "_CHUNK_BYTES", 7 * 8 * (9 + 14) * 11)  # eleven draws
    assert statistics.speaker_bootstrap(sums, ua, draws=300) == whole
    monkeypatch.setattr(statistics.bootstrap, "_CHUNK_BYTES", 1)
    assert statistics.speaker_bootstrap(sums, ua, draws=300) == whole


def test_intervals_depend_on_the_seed_alone():
    sums = confusions(recordings("speakers cross folds"))
    once, again, other = (statistics.speaker_bootstrap(sums, ua, draws=300, seed=seed) for seed in (0, 0, 1))
    assert once == again != other


def test_sixty_speakers_and_eight_classes_fit_into_memory():
    sums = np.random.default_rng(0).integers(0, 5, size=(1, 30, 60, 8, 8))
    sums *= (np.arange(60) % 30 == np.arange(30)[:, None])[None, :, :, None, None]
    tracemalloc.start()
    statistics.speaker_bootstrap(sums, ua, draws=1500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


def test_equally_many_clips_of_all_make_both_aggregates_the_same():
    right = np.array([9, 7, 8, 4, 6])
    found = statistics.speaker_bootstrap(leave_one_out(np.stack([right, 10 - right], axis=1)), share)
    assert dataclasses.astuple(found.fold_mean) == pytest.approx(dataclasses.astuple(found.pooled))


def test_one_fold_makes_both_aggregates_the_same():
    sums = confusions(recordings("speakers share folds")).sum(axis=1, keepdims=True)
    found = statistics.speaker_bootstrap(sums, ua, draws=300)
    assert found.fold_mean == found.pooled


def test_repeating_a_seed_changes_nothing():
    sums = confusions(recordings("one speaker a fold"))[:1]
    once, thrice = (statistics.speaker_bootstrap(np.repeat(sums, n, axis=0), ua, draws=300) for n in (1, 3))
    assert dataclasses.astuple(thrice.fold_mean) == pytest.approx(dataclasses.astuple(once.fold_mean), nan_ok=True)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.1, 1), min_size=3, max_size=12), st.floats(0.5, 0.99))
def test_an_interval_lies_within_the_scores_of_the_speakers_and_widens_with_its_level(scores, level):
    sums = leave_one_out(np.array(scores)[:, None])
    found, wider = (
        statistics.speaker_bootstrap(sums, first, level=each, draws=200).fold_mean for each in (level, (1 + level) / 2)
    )
    assert min(scores) - 1e-12 <= wider.low <= found.low <= found.high <= wider.high <= max(scores) + 1e-12


def test_moments_serve_as_well_as_counts():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 7, size=(6, 30))
    prediction = 4 + 0.6 * (truth - 4) + rng.normal(size=truth.shape)
    sums = np.stack([metrics.moments(*clips, centre=4) for clips in zip(truth, prediction, strict=True)])
    found = statistics.speaker_bootstrap(leave_one_out(sums), lambda sums: metrics.from_moments(sums)["ccc"])
    assert found.pooled.low < metrics.ccc(truth.ravel(), prediction.ravel()) < found.pooled.high
    assert found.pooled.clusters == 6


def test_a_speaker_without_clips_is_not_drawn():
    by_speaker = np.array([[9, 1], [7, 3], [8, 2], [4, 6]])
    found = statistics.speaker_bootstrap(leave_one_out(by_speaker), share, draws=300)
    padded = np.zeros((1, 6, 5, 2))
    padded[:, :4, :4] = leave_one_out(by_speaker)
    assert found.fold_mean.clusters == 4
    assert statistics.speaker_bootstrap(padded, share, draws=300) == found


def test_two_speakers_have_no_interval():
    found = statistics.speaker_bootstrap(leave_one_out([[9, 1], [7, 3]]), share)
    for interval in (found.fold_mean, found.pooled):
        assert math.isnan(interval.low) and math.isnan(interval.high)
        assert (interval.reason, interval.clusters) == ("fewer than 3 speakers", 2)


def test_a_speaker_without_a_score_leaves_the_fold_mean_without_an_interval_but_not_the_pooled_score():
    found = statistics.speaker_bootstrap(
        leave_one_out([metrics.moments(*clips) for clips in (([1, 2], [1, 3]), ([2, 2], [1, 2]), ([4, 3], [3, 1]))]),
        lambda sums: metrics.from_moments(sums)["pearson"],
    )
    assert math.isnan(found.fold_mean.low) and found.fold_mean.reason == "the score is undefined"
    assert found.pooled.reason == "the score is undefined in 4 % of the draws"  # the second speaker three times: 1/27


def test_few_draws_without_a_score_are_left_out():
    sums = np.ones((1, 1, 10, 1))
    sums[..., 5:, 0] = -1  # score where one of the first five was drawn: all but 1 in 1,024 draws

    def share_of_first(sums):
        positive = (sums[..., 0] + 10) / 20
        return np.where(positive > 0, positive, np.nan)

    found = statistics.speaker_bootstrap(sums, share_of_first)
    assert found.pooled.reason is None and 0 < found.pooled.low < 0.5 < found.pooled.high < 1


def test_nan_in_a_sum_leaves_no_interval():
    found = statistics.speaker_bootstrap(leave_one_out([[0.5], [math.nan], [0.7], [0.8]]), first)
    assert found.fold_mean.reason == found.pooled.reason == "the score is undefined"


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 4), {}, r"sums of shape \(4, 4\); expected \(seeds, folds, speakers, \*statistic\)"),
        ((1, 4, 4), {"level": 95}, "level is 95; expected a share between 0 and 1"),
        ((1, 4, 4), {"draws": 0}, "draws is 0; expected at least 1"),
    ],
)
def test_what_the_bootstrap_refuses(shape, options, message):
    with pytest.raises(ValueError, match=message):
        statistics.speaker_bootstrap(np.ones(shape), first, **options)


# The paired test over speakers

twentieths = st.integers(0, 20)


def test_darwins_maize():
    # Heights of 15 pairs of crossed and self-fertilised plants, differences in eighths of an inch: of the 32,768
    # patterns of signs, 863 reach their sum of 314 (Fisher, The Design of Experiments, section 21).
    differences = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])
    found = statistics.paired_permutation(differences / 8, np.zeros(15))
    assert found.difference == pytest.approx(314 / 8 / 15)
    assert found.p_value == pytest.approx(2 * 863 / 32_768, abs=1e-12)
    assert (found.n, found.left_out, found.exact, found.smallest_p) == (15, 0, True, 2 / 32_768)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(twentieths, twentieths), min_size=1, max_size=8))
def test_the_permutation_test_counts_patterns_in_fractions(pairs):
    differences = [Fraction(a - b, 20) for a, b in pairs]
    observed = abs(sum(differences))
    patterns = itertools.product((1, -1), repeat=len(pairs))
    sums = [abs(sum(sign * d for sign, d in zip(signs, differences, strict=True))) for signs in patterns]
    found = statistics.paired_permutation([a / 20 for a, _ in pairs], [b / 20 for _, b in pairs])
    assert found.p_value == pytest.approx(sum(each >= observed for each in sums) / len(sums), abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_the_order_of_the_systems_changes_the_sign_alone(pairs):
    a, b = zip(*pairs, strict=True)
    found, swapped = statistics.paired_permutation(a, b), statistics.paired_permutation(b, a)
    assert swapped == dataclasses.replace(found, difference=-found.difference)
    assert found.smallest_p <= found.p_value <= 1


def test_a_system_that_wins_with_every_speaker_has_the_smallest_p_value():
    rng = np.random.default_rng(0)
    for n in (1, 5, 10, 16):
        found = statistics.paired_permutation(rng.uniform(0.6, 1, size=n), rng.uniform(0, 0.4, size=n))
        assert found.exact and found.p_value == pytest.approx(found.smallest_p) == pytest.approx(2 / 2**n)
    found = statistics.paired_permutation(rng.uniform(0.6, 1, size=60), rng.uniform(0, 0.4, size=60))
    assert not found.exact and found.p_value == found.smallest_p == 2e-5


def test_random_flips_agree_with_the_t_test_where_that_holds():
    differences = np.random.default_rng(1).normal(0.3, 1, size=50)
    found = statistics.paired_permutation(differences, np.zeros(50))
    assert found.p_value == pytest.approx(scipy.stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert found == statistics.paired_permutation(differences, np.zeros(50))


def test_equal_systems_have_a_p_value_of_one():
    assert statistics.paired_permutation([0.1, 0.7, 0.4], [0.1, 0.7, 0.4]).p_value == 1


def test_a_speaker_without_a_score_is_left_out_of_both_and_counted():
    with_gaps = statistics.paired_permutation([0.9, math.nan, 0.8, 0.7, 0.6], [0.5, 0.5, 0.5, math.nan, 0.5])
    without = statistics.paired_permutation([0.9, 0.8, 0.6], [0.5, 0.5, 0.5])
    assert with_gaps == dataclasses.replace(without, left_out=2)


def test_without_speakers_nothing_is_compared():
    found = statistics.paired_permutation([math.nan], [0.5])
    assert (found.n, found.left_out) == (0, 1)
    assert all(is_undefined(each, "no speakers") for each in (found.difference, found.p_value, found.smallest_p))


@pytest.mark.parametrize("test", [statistics.paired_permutation, statistics.mcnemar])
@pytest.mark.parametrize(("a", "b"), [([True, False], [True]), ([[True]], [[False]])])
def test_paired_tests_refuse_what_are_no_pairs(test, a, b):
    with pytest.raises(ValueError, match=r"expected pairs: \(n,\) twice, in the same order"):
        test(a, b)


# The paired test over clips


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_mcnemar_is_the_sum_of_binomial_coefficients(pairs):
    found = statistics.mcnemar([a for a, _ in pairs], [b for _, b in pairs])
    assert found.only_a == sum(a and not b for a, b in pairs)
    assert found.only_b == sum(b and not a for a, b in pairs)
    n, fewer = found.only_a + found.only_b, min(found.only_a, found.only_b)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_sees_only_where_the_systems_part():
    # 1 against 9 of 10: 2 (1 + 10) / 2^10, whatever the 500 clips on which both are right or wrong.
    a = np.array([True] * 1 + [False] * 9 + [True] * 300 + [False] * 200)
    b = np.array([False] * 1 + [True] * 9 + [True] * 300 + [False] * 200)
    assert statistics.mcnemar(a, b) == statistics.Discordance(1, 9, pytest.approx(22 / 1024))


def test_systems_that_never_part_have_a_p_value_of_one():
    assert statistics.mcnemar([True, False], [True, False]) == statistics.Discordance(0, 0, 1.0)
    assert statistics.mcnemar([], []) == statistics.Discordance(0, 0, 1.0)


def test_mcnemar_refuses_scores():
    with pytest.raises(ValueError, match="answers of type float64; expected booleans"):
        statistics.mcnemar([0.5, math.nan], [1.0, 0.0])


# Over seeds

scores = st.lists(st.integers(0, 1000).map(lambda thousandth: thousandth / 1000), min_size=2, max_size=8)


@settings(deadline=None)
@given(scores, scores)
def test_the_t_test_is_the_difference_in_pooled_standard_errors(a, b):
    found = statistics.t_test(a, b)
    assert found.difference == pytest.approx(standard_library.fmean(a) - standard_library.fmean(b), abs=1e-12)
    assert found.degrees == len(a) + len(b) - 2
    if len(set(a)) == len(set(b)) == 1:
        assert is_undefined(found.t, "the scores do not vary over seeds") and math.isnan(found.p_value)
    else:
        within = sum((len(side) - 1) * standard_library.variance(side) for side in (a, b)) / found.degrees
        t = found.difference / math.sqrt(within * (1 / len(a) + 1 / len(b)))
        assert found.t == pytest.approx(t, abs=1e-9)
        p_value = scipy.special.betainc(found.degrees / 2, 0.5, found.degrees / (found.degrees + t**2))
        assert found.p_value == pytest.approx(p_value, abs=1e-6)
        assert statistics.t_test(b, a).t == -found.t


def test_students_sleep():
    # Extra hours of sleep after two drugs, taken for independent samples: t = -1.8608, p = 0.07919 (R's t.test with
    # var.equal = TRUE on its data set sleep).
    first_drug = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second_drug = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = statistics.t_test(first_drug, second_drug)
    assert (found.difference, found.degrees) == (pytest.approx(-1.58), 18)
    assert (found.t, found.p_value) == (pytest.approx(-1.8608, abs=5e-5), pytest.approx(0.07919, abs=5e-6))


@pytest.mark.parametrize(
    ("a", "b", "difference", "reason"),
    [
        ([0.5], [0.25, 0.5], 0.125, "fewer than two seeds on a side"),
        ([], [0.25, 0.5], math.nan, "fewer than two seeds on a side"),
        ([0.5, math.nan], [0.25, 0.5], math.nan, "NaN or infinity among the scores"),
        ([0.75, 0.75], [0.5, 0.5], 0.25, "the scores do not vary over seeds"),
        ([0.1 + 0.2, 0.3], [0.1, 0.1], 0.2, "the scores do not vary over seeds"),
    ],
)
def test_where_seeds_say_nothing_the_t_test_says_why(a, b, difference, reason):
    found = statistics.t_test(a, b)
    assert found.difference == pytest.approx(difference, nan_ok=True)
    assert is_undefined(found.t, reason) and is_undefined(found.p_value, reason)
    assert not math.isnan(difference) or is_undefined(found.difference, reason)


@given(scores)
def test_mean_and_deviation_are_those_of_the_standard_library(values):
    found = statistics.over_seeds(values)
    assert (found.mean, found.n) == (pytest.approx(standard_library.fmean(values)), len(values))
    assert found.deviation == pytest.approx(standard_library.stdev(values), abs=1e-9)


def test_one_seed_has_a_mean_and_no_deviation():
    found = statistics.over_seeds([0.5])
    assert (found.mean, found.n) == (0.5, 1)
    assert is_undefined(found.deviation, "one seed")


@pytest.mark.parametrize(
    ("values", "reason"), [([], "no seeds"), ([0.5, math.nan], "NaN or infinity among the scores")]
)
def test_no_seeds_and_seeds_without_a_score_have_neither(values, reason):
    found = statistics.over_seeds(values)
    assert is_undefined(found.mean, reason) and is_undefined(found.deviation, reason)


def test_a_table_of_scores_is_not_one_score_a_seed():
    for of_seeds in (statistics.over_seeds, lambda v: statistics.t_test(v, v), statistics.smallest_difference):
        with pytest.raises(ValueError, match=r"values of shape \(2, 3\); expected \(n,\)"):
            of_seeds(np.ones((2, 3)))


# What could have been found


def of_unit_spread(n):
    values = np.linspace(-1, 1, n)
    return values / values.std(ddof=1)


def power_of(difference, n, level):
    """Power of the paired t-test without the noncentral t: the normal mean, integrated over the sample deviation."""
    critical = scipy.stats.t.ppf((1 + level) / 2, n - 1)

    def given_deviation(deviation):
        far, mean = critical * deviation, difference * math.sqrt(n)
        found = scipy.stats.norm.sf(far - mean) + scipy.stats.norm.cdf(-far - mean)
        return found * scipy.stats.chi.pdf(deviation * math.sqrt(n - 1), n - 1) * math.sqrt(n - 1)

    return scipy.integrate.quad(given_deviation, 0, 12, limit=200)[0]


@pytest.mark.parametrize(("n", "power"), [(34, 0.8077775), (54, 0.9502120)])
def test_the_smallest_difference_of_gpowers_manual(n, power):
    # G*Power 3.1, difference between two dependent means, dz = 0.5, two tails, alpha 0.05: the power that it gives.
    assert statistics.smallest_difference(of_unit_spread(n), power=power) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("n", [2, 3, 4, 10, 24, 100])
@pytest.mark.parametrize(("level", "power"), [(0.95, 0.8), (0.99, 0.95), (0.9, 0.15)])
def test_the_smallest_difference_is_found_with_the_power_asked_for(n, level, power):
    smallest = statistics.smallest_difference(of_unit_spread(n), level=level, power=power)
    assert power_of(smallest, n, level) == pytest.approx(power, abs=1e-6)


def test_the_smallest_difference_is_in_the_unit_of_the_scores_and_blind_to_their_mean():
    differences = np.array([0.01, 0.03, -0.02, 0.05])
    smallest = statistics.smallest_difference(differences)
    assert statistics.smallest_difference(100 * differences + 7) == pytest.approx(100 * smallest)
    assert statistics.smallest_difference([*differences, math.nan]) == smallest


def test_more_speakers_show_smaller_differences():
    smallest = [statistics.smallest_difference(of_unit_spread(n)) for n in (3, 10, 30, 300)]
    assert smallest == sorted(smallest, reverse=True)


@pytest.mark.parametrize(
    ("differences", "reason"),
    [
        ([], "fewer than two speakers"),
        ([0.1, math.nan], "fewer than two speakers"),
        ([0.1, 0.1, 0.1], "the differences do not vary over speakers"),
        ([0.0, 0.0], "the differences do not vary over speakers"),
    ],
)
def test_without_spread_there_is_no_smallest_difference(differences, reason):
    assert is_undefined(statistics.smallest_difference(differences), reason)


@pytest.mark.parametrize("options", [{"power": 0.04}, {"power": 1.0}, {"level": 95}, {"level": 0.0}])
def test_power_must_lie_between_chance_and_certainty(options):
    with pytest.raises(ValueError, match="expected both below 1, and power above 1 - level"):
        statistics.smallest_difference([0.1, 0.2, 0.3], **options)
