import copy
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto import metrics
from affetto.metrics import Undefined

CLASSES = ("anger", "fear", "neutral", "sadness")

answers = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40)
ratings = st.integers(4, 28).map(lambda quarter: quarter / 4)  # 1 to 7, as MSP-Podcast's averages of raters look
pairs_of_ratings = st.lists(st.tuples(ratings, ratings), min_size=2, max_size=40)

CATEGORICAL = [metrics.accuracy, metrics.uar, metrics.macro_f1, metrics.weighted_f1]
DIMENSIONAL = [metrics.ccc, metrics.pearson, metrics.mse, metrics.mae]


def assert_undefined(score, reason):
    assert isinstance(score, Undefined) and math.isnan(score)
    assert score.reason == reason


@settings(deadline=None)
@given(answers)
def test_scores_are_those_of_scikit_learn_over_the_classes_that_occur(pairs):
    truth, prediction = zip(*pairs, strict=True)
    present = {"labels": sorted(set(truth)), "average": "macro", "zero_division": 0.0}
    assert metrics.scores(truth, prediction) == pytest.approx(
        {
            "wa": sklearn.metrics.accuracy_score(truth, prediction),
            "ua": sklearn.metrics.recall_score(truth, prediction, **present),
            "macro_f1": sklearn.metrics.f1_score(truth, prediction, **present),
            "weighted_f1": sklearn.metrics.f1_score(truth, prediction, average="weighted", zero_division=0.0),
        }
    )


@settings(deadline=None)
@given(answers)
def test_the_confusion_is_that_of_scikit_learn(pairs):
    truth, prediction = zip(*pairs, strict=True)
    labels = CLASSES[::-1]
    counts = metrics.confusion(truth, prediction, labels)
    assert np.array_equal(counts, sklearn.metrics.confusion_matrix(truth, prediction, labels=labels))
    assert counts.dtype == np.int64


def test_wa_counts_clips_and_ua_counts_classes():
    truth = ["anger"] * 9 + ["fear"]
    prediction = ["anger"] * 10
    assert metrics.accuracy(truth, prediction) == 0.9
    assert metrics.uar(truth, prediction) == 0.5


def test_a_class_without_a_clip_has_no_part_in_ua():
    assert metrics.uar(["anger", "fear"], ["anger", "disgust"]) == 0.5
    assert metrics.uar(["anger", "fear"], ["anger", "fear"]) == 1.0


def test_weighted_f1_counts_a_class_as_often_as_it_is_true():
    truth = ["anger"] * 3 + ["fear"]
    prediction = ["anger"] * 4  # F1: 6/7 for anger, 0 for fear
    assert metrics.weighted_f1(truth, prediction) == pytest.approx(3 / 4 * 6 / 7)
    assert metrics.macro_f1(truth, prediction) == pytest.approx(1 / 2 * 6 / 7)


@pytest.mark.parametrize("score", CATEGORICAL + DIMENSIONAL)
def test_of_no_clips_every_score_is_undefined(score):
    assert_undefined(score([], []), "no clips")


def test_the_confusion_of_no_clips_is_zero():
    assert not metrics.confusion([], [], CLASSES).any()
    assert metrics.confusion([], [], CLASSES).shape == (4, 4)


@pytest.mark.parametrize(
    "score",
    [
        metrics.accuracy,
        metrics.uar,
        metrics.macro_f1,
        metrics.weighted_f1,
        metrics.scores,
        lambda t, p: metrics.confusion(t, p, CLASSES),
    ],
)
def test_answers_must_be_as_many_as_clips(score):
    with pytest.raises(ValueError, match="2 true and 1 predicted categories; expected as many"):
        score(["anger", "fear"], ["anger"])


# Undefined


def test_an_undefined_score_wins_nothing():
    none = Undefined("no clips")
    assert not none > 0.1 and not none < 0.1 and none != none
    assert max([0.1, none]) == 0.1
    assert math.isnan(np.mean([none, 1.0]))


def test_an_undefined_score_says_why_and_passes_for_nan():
    none = Undefined("no clips")
    assert repr(none) == "Undefined('no clips')"
    assert f"{none} {none:.2f} {none!s}" == "nan nan nan"
    assert json.dumps({"ua": none}) == '{"ua": NaN}'
    assert pd.DataFrame([{"ua": none}, {"ua": 0.5}]).ua.isna().tolist() == [True, False]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda score: pickle.loads(pickle.dumps(score))])
def test_an_undefined_score_keeps_its_reason_when_copied(again):
    assert_undefined(again(Undefined("no clips")), "no clips")
    assert_undefined(again({"ua": [Undefined("no clips")]})["ua"][0], "no clips")


# Many confusions at once


@settings(deadline=None)
@given(st.lists(answers, min_size=1, max_size=5))
def test_scores_from_counts_are_those_of_the_clips(confusions):
    clips = [tuple(zip(*pairs, strict=True)) for pairs in confusions]
    found = metrics.from_counts([metrics.confusion(*each, CLASSES) for each in clips])
    assert {name: scores.tolist() for name, scores in found.items()} == {
        name: pytest.approx([metrics.scores(*each)[name] for each in clips]) for name in found
    }


@settings(deadline=None)
@given(answers)
def test_scores_from_the_sum_of_counts_are_those_of_all_clips(pairs):
    truth, prediction = zip(*pairs, strict=True)
    parts = [metrics.confusion(truth[i::3], prediction[i::3], CLASSES) for i in range(3)]
    assert metrics.from_counts(sum(parts)) == pytest.approx(metrics.scores(truth, prediction))


def test_scores_from_counts_have_the_shape_of_what_leads():
    found = metrics.from_counts(np.ones((2, 3, 4, 4), dtype=np.int64))
    assert list(found) == list(metrics.scores(["fear"], ["fear"]))
    assert all(scores.shape == (2, 3) for scores in found.values())
    assert found["ua"] == pytest.approx(np.full((2, 3), 0.25))


def test_scores_from_counts_of_no_clips_are_nan():
    assert all(math.isnan(score) for score in metrics.from_counts(np.zeros((4, 4))).values())


@pytest.mark.parametrize("shape", [(4,), (2, 3), (4, 4, 3)])
def test_counts_must_be_square(shape):
    with pytest.raises(ValueError, match=r"expected \(\.\.\., K, K\), rows truth, columns prediction"):
        metrics.from_counts(np.zeros(shape))


# Dimensions


@settings(deadline=None)
@given(pairs_of_ratings)
def test_errors_are_those_of_scikit_learn(pairs):
    truth, prediction = zip(*pairs, strict=True)
    assert metrics.mse(truth, prediction) == pytest.approx(sklearn.metrics.mean_squared_error(truth, prediction))
    assert metrics.mae(truth, prediction) == pytest.approx(sklearn.metrics.mean_absolute_error(truth, prediction))


@settings(deadline=None)
@given(pairs_of_ratings)
def test_pearson_is_that_of_scipy(pairs):
    truth, prediction = zip(*pairs, strict=True)
    if len(set(truth)) == 1 or len(set(prediction)) == 1:
        side = "truth" if len(set(truth)) == 1 else "prediction"
        assert_undefined(metrics.pearson(truth, prediction), f"the {side} is constant")
    else:
        expected = scipy.stats.pearsonr(truth, prediction).statistic
        assert metrics.pearson(truth, prediction) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(pairs_of_ratings)
def test_ccc_is_lins_formula_with_numpys_population_moments(pairs):
    truth, prediction = (np.array(side) for side in zip(*pairs, strict=True))
    spread = np.var(truth) + np.var(prediction) + (np.mean(truth) - np.mean(prediction)) ** 2
    if spread == 0:
        assert_undefined(metrics.ccc(truth, prediction), "truth and prediction are the same constant")
    else:
        expected = 2 * np.cov(truth, prediction, ddof=0)[0, 1] / spread
        assert metrics.ccc(truth, prediction) == pytest.approx(expected, abs=1e-12)


def test_ccc_of_the_made_up_example_by_hand():
    # Means 2.5 and 3.5, population variances and covariance 1.25: 2 * 1.25 / (1.25 + 1.25 + 1).
    assert metrics.ccc([1, 2, 3, 4], [2, 3, 4, 5]) == pytest.approx(2.5 / 3.5)


finite = st.floats(-1e6, 1e6)


@settings(deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=20))
def test_ccc_is_symmetric_bounded_and_no_larger_than_pearson(pairs):
    truth, prediction = zip(*pairs, strict=True)
    ccc, pearson = metrics.ccc(truth, prediction), metrics.pearson(truth, prediction)
    if math.isnan(ccc):
        assert ccc.reason
    else:
        assert -1 <= ccc <= 1
        assert ccc == metrics.ccc(prediction, truth)
        assert math.isnan(pearson) or abs(ccc) <= abs(pearson) + 1e-6


def test_perfect_predictions_have_a_ccc_of_one_and_reversed_ones_of_minus_one():
    assert metrics.ccc([1, 2, 3], [1, 2, 3]) == 1
    assert metrics.ccc([1, 2, 3], [3, 2, 1]) == -1


@pytest.mark.parametrize("score", [metrics.ccc, metrics.pearson])
def test_agreement_over_one_clip_is_undefined(score):
    assert_undefined(score([3.0], [3.0]), "fewer than two values")


def test_errors_of_one_clip_are_defined():
    assert metrics.mse([3.0], [5.0]) == 4.0
    assert metrics.mae([3.0], [5.0]) == 2.0


# The mean of three times 0.1 is not 0.1 in floating point: a formula alone finds some spread.
@pytest.mark.parametrize("constant", [3.0, 0.1])
def test_constants(constant):
    same, varied = [constant] * 3, [1.0, 2.0, 3.0]
    assert metrics.ccc(same, varied) == metrics.ccc(varied, same) == 0.0
    assert metrics.ccc(same, [constant + 1] * 3) == 0.0
    assert_undefined(metrics.ccc(same, same), "truth and prediction are the same constant")
    assert_undefined(metrics.pearson(same, varied), "the truth is constant")
    assert_undefined(metrics.pearson(varied, same), "the prediction is constant")


@pytest.mark.parametrize("score", DIMENSIONAL)
@pytest.mark.parametrize(
    ("value", "reason"), [(math.nan, "NaN among the values"), (-math.inf, "infinity among the values")]
)
def test_what_is_no_number_makes_a_score_undefined(score, value, reason):
    assert_undefined(score([1.0, 2.0, value], [1.0, 2.0, 3.0]), reason)
    assert_undefined(score([1.0, 2.0, 3.0], [1.0, value, 3.0]), reason)


def test_values_that_floating_point_cannot_hold_apart_make_a_score_undefined():
    assert_undefined(metrics.pearson([0.0, 1e-200], [0.0, 1e-200]), "too large or too close values")
    assert_undefined(metrics.mse([1e200], [0.0]), "too large or too close values")


@pytest.mark.parametrize("score", [*DIMENSIONAL, metrics.moments])
def test_ratings_must_be_as_many_as_clips_and_one_a_clip(score):
    with pytest.raises(ValueError, match="2 true and 1 predicted values; expected as many"):
        score([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match=r"truth of shape \(2, 3\).*one rating a clip"):
        score(np.ones((2, 3)), np.ones((2, 3)))


# Many sets of ratings at once


@settings(deadline=None)
@given(st.lists(pairs_of_ratings, min_size=1, max_size=5))
def test_scores_from_moments_are_those_of_the_clips(sets):
    clips = [tuple(zip(*pairs, strict=True)) for pairs in sets]
    found = metrics.from_moments([metrics.moments(*each, centre=4) for each in clips])
    for name, scores in found.items():
        expected = [getattr(metrics, name)(*each) for each in clips]
        assert scores.tolist() == pytest.approx(expected, abs=1e-9, nan_ok=True)


@settings(deadline=None)
@given(pairs_of_ratings)
def test_moments_add_up(pairs):
    truth, prediction = zip(*pairs, strict=True)
    parts = [metrics.moments(truth[i::3], prediction[i::3], centre=4) for i in range(3)]
    assert sum(parts) == pytest.approx(metrics.moments(truth, prediction, centre=4))


def test_a_centre_keeps_the_digits_of_ratings_far_from_zero():
    rng = np.random.default_rng(0)
    truth, prediction = 1e7 + rng.normal(size=(2, 1000))
    centred = metrics.from_moments(metrics.moments(truth, prediction, centre=1e7))
    for name, score in centred.items():
        assert score == pytest.approx(getattr(metrics, name)(truth, prediction), rel=1e-6)
    # Without one, a spread of a ten-millionth counts as none: constant, not noise that looks like agreement.
    assert math.isnan(metrics.from_moments(metrics.moments(truth, prediction))["pearson"])


def test_scores_from_moments_have_the_shape_of_what_leads_and_are_nan_where_undefined():
    sums = np.stack([np.zeros(6), metrics.moments([1.0], [2.0]), metrics.moments([0.1] * 3, [0.1] * 3)])
    found = metrics.from_moments(np.stack([sums, sums]))
    assert {name: scores.shape for name, scores in found.items()} == dict.fromkeys(("ccc", "pearson", "mse"), (2, 3))
    assert np.isnan(found["ccc"]).all() and np.isnan(found["pearson"]).all()
    assert found["mse"][0].tolist() == pytest.approx([math.nan, 1.0, 0.0], nan_ok=True)
    assert np.isnan(list(metrics.from_moments(metrics.moments([1.0, math.nan], [1.0, 2.0])).values())).all()


def test_moments_are_six():
    with pytest.raises(ValueError, match=r"moments of shape \(5,\); expected \(\.\.\., 6\)"):
        metrics.from_moments(np.zeros(5))


def test_the_slope_of_residuals_is_scipys():
    rng = np.random.default_rng(4)
    truth, prediction = rng.uniform(1, 7, (2, 30))
    sums = metrics.moments(truth[:10], prediction[:10]) + metrics.moments(truth[10:], prediction[10:])
    expected = scipy.stats.linregress(truth, prediction - truth).slope
    assert metrics.residual_slope(sums) == pytest.approx(expected)
    flat = metrics.moments(np.full(5, 3.0), np.arange(5.0))
    assert np.isnan(metrics.residual_slope([flat, sums])).tolist() == [True, False]
