import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto import metrics

CLASSES = ("anger", "fear", "neutral", "sadness")

answers = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40)


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


@pytest.mark.parametrize("score", [metrics.accuracy, metrics.uar, metrics.macro_f1])
def test_of_no_clips_every_score_is_nan(score):
    assert math.isnan(score([], []))


def test_the_confusion_of_no_clips_is_zero():
    assert not metrics.confusion([], [], CLASSES).any()
    assert metrics.confusion([], [], CLASSES).shape == (4, 4)


@pytest.mark.parametrize(
    "score",
    [metrics.accuracy, metrics.uar, metrics.macro_f1, metrics.scores, lambda t, p: metrics.confusion(t, p, CLASSES)],
)
def test_answers_must_be_as_many_as_clips(score):
    with pytest.raises(ValueError, match="2 true and 1 predicted categories; expected as many"):
        score(["anger", "fear"], ["anger"])
