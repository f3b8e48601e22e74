"""Against scikit-learn, SciPy and the papers' formulas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from affetto import ConfigError, calibration, scores
from affetto.report import confidence_figure

RESULTS = Path(__file__).parents[1] / "results" / "emodb-loso10-v1" / "whisper3.csv"
LABELS = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return scores.read(RESULTS)


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(600, 4)) * 1.5


@pytest.fixture(scope="module")
def truth(logits) -> np.ndarray:
    """Drawn as logits of twice the size promise: the right temperature of `logits` is 1/2."""
    probabilities = scipy.special.softmax(2 * logits, axis=1)
    rng = np.random.default_rng(1)
    return np.array([rng.choice(4, p=row) for row in probabilities])


def test_tempered_probabilities_are_those_of_divided_logits(logits):
    own = scipy.special.softmax(logits, axis=1)
    np.testing.assert_allclose(calibration.temper(own, 0.5), scipy.special.softmax(logits / 0.5, axis=1), atol=1e-5)
    np.testing.assert_allclose(calibration.temper(own, 3.0), scipy.special.softmax(logits / 3.0, axis=1), atol=1e-5)


def test_the_temperature_is_that_of_an_optimiser_of_scipys_on_logits(logits, truth):
    def loss(inverse):
        return -scipy.special.log_softmax(inverse[0] * logits, axis=1)[np.arange(len(truth)), truth].mean()

    found = scipy.optimize.minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})
    fitted = calibration.fit_temperature(scipy.special.softmax(logits, axis=1), truth)
    assert fitted == pytest.approx(1 / found.x[0], rel=1e-3)
    assert fitted == pytest.approx(0.5, abs=0.06)


def test_proper_scores_are_scikit_learns(logits, truth):
    own = scipy.special.softmax(logits, axis=1)
    assert calibration.negative_log_likelihood(own, truth) == pytest.approx(log_loss(truth, own))
    witness = brier_score_loss(truth, own, labels=range(4), scale_by_half=False)
    assert calibration.brier(own, truth) == pytest.approx(witness)


def test_bins_are_those_of_scikit_learns_quantiles(logits, truth):
    own = scipy.special.softmax(logits, axis=1)
    confidence, right = own.max(axis=1), own.argmax(axis=1) == truth
    accuracy, mean = calibration_curve(right, confidence, n_bins=10, strategy="quantile")
    bins = calibration.reliability(confidence, right)
    assert [each.clips for each in bins] == [60] * 10
    assert [each.confidence for each in bins] == pytest.approx(mean.tolist())
    assert [each.accuracy for each in bins] == pytest.approx(accuracy.tolist())
    assert calibration.calibration_error(confidence, right) == pytest.approx(np.abs(accuracy - mean).mean())


def test_risk_and_coverage_are_those_of_every_threshold():
    confidence = np.array([0.9, 0.5, 0.9, 0.7, 0.6])
    right = np.array([True, False, False, True, True])
    coverage, risk = calibration.risk_coverage(confidence, right)
    for share, wrong, threshold in zip(coverage, risk, sorted(set(confidence), reverse=True), strict=True):
        kept = confidence >= threshold
        assert (share, wrong) == (pytest.approx(kept.mean()), pytest.approx(1 - right[kept].mean()))
    assert calibration.area_under_risk(confidence, right) == pytest.approx(0.4 / 2 + 0.2 / 3 + 0.2 / 4 + 0.2 * 2 / 5)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_a_threshold_keeps_the_share_that_was_asked_for_and_no_lower_one_is_needed(tenths, coverage):
    confidence = np.array(tenths) / 20
    threshold = calibration.threshold_for_coverage(confidence, coverage)
    assert (confidence >= threshold).mean() >= coverage - 1e-9
    assert (confidence > threshold).mean() < coverage


def test_a_threshold_for_an_error_keeps_it():
    confidence = np.linspace(1, 0, 100, endpoint=False)
    right = np.arange(100) % 10 != 9
    right[50:] = False
    threshold = calibration.threshold_for_error(confidence, right, 0.1)
    assert (~right[confidence >= threshold]).mean() <= 0.1
    assert (confidence >= threshold).sum() == 50
    assert calibration.threshold_for_error(confidence, ~right | True, 0.0) == confidence.min()
    assert calibration.threshold_for_error(np.array([0.5]), np.array([False]), 0.1) == np.inf


@given(st.integers(1, 200), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_conformal_quantile_is_numpys_of_the_corrected_level(clips, level):
    drawn = np.random.default_rng(clips).random(clips)
    corrected = np.ceil((clips + 1) * level - 1e-9) / clips
    witness = 1.0 if corrected > 1 else np.quantile(drawn, corrected - 1e-9, method="inverted_cdf")
    assert calibration.conformal_quantile(drawn, level) == pytest.approx(witness)


def test_label_sets_hold_the_truth_as_often_as_they_promise():
    rng = np.random.default_rng(0)
    probabilities = scipy.special.softmax(2 * rng.normal(size=(20_000, 5)), axis=1)
    truth = np.array([rng.choice(5, p=row) for row in probabilities])
    quantile = calibration.conformal_quantile(calibration.scores_of_truth(probabilities[:500], truth[:500]), 0.95)
    inside = calibration.set_members(probabilities[500:], quantile)
    covered = inside[np.arange(19_500), truth[500:]].mean()
    assert covered == pytest.approx(0.95, abs=0.03)
    assert inside.any(axis=1).all()


def test_folds_are_tempered_by_other_folds_alone(table):
    first = calibration.cross_tempered(table, LABELS)
    own = (table["fold"] == "10").to_numpy()
    lying = table.copy()
    lying.loc[own, "truth"] = "fear"
    np.testing.assert_array_equal(calibration.cross_tempered(lying, LABELS)[own], first[own])
    assert not np.array_equal(calibration.cross_tempered(lying, LABELS)[~own], first[~own])


def test_the_shipped_recipe_keeps_its_marks_on_unseen_speakers(table):
    found = calibration.report(table, LABELS)
    assert found["calibrated"]["ece"] <= 0.04 < found["raw"]["ece"]
    assert found["selective"]["by_other_folds"]["error"] <= found["error"] / 2
    assert found["selective"]["by_other_folds"]["coverage"] == pytest.approx(0.8, abs=0.02)
    assert found["sets"]["coverage"] == pytest.approx(0.95, abs=0.01)
    assert set(found["sets"]["by_speaker"]) == set(table["speaker"])


def test_a_calibration_goes_through_json(table):
    fitted = calibration.fit(table, LABELS, source={"protocol": "p"})
    assert calibration.parse(fitted.config) == fitted
    assert fitted.fitted_on == {"protocol": "p", "clips": len(table), "speakers": 10}
    assert fitted.label_set([0.5, 0.4, 0.05, 0.05, 0, 0, 0], LABELS) == ("anger", "boredom")
    for broken in ({"temperature": 0}, {"level": 2}, {"more": 1}):
        with pytest.raises(ValueError, match="calibration: "):
            calibration.parse({**fitted.config, **broken})


def test_what_cannot_calibrate_is_refused(table, tmp_path):
    with pytest.raises(ConfigError, match="no column calm; are they of this model"):
        calibration.fit(table, (*LABELS, "calm"), source={})
    with pytest.raises(ConfigError, match="the truth sadness, which the model cannot answer"):
        calibration.fit(table, LABELS[:-1], source={})
    with pytest.raises(ConfigError, match="of two folds or more"):
        calibration.fit(table[table["fold"] == "03"], LABELS, source={})
    with pytest.raises(ConfigError, match="is not a results file"):
        calibration.of_results(tmp_path / "gone.csv", LABELS)


def test_a_results_file_calibrates_by_either_of_its_names():
    by_csv = calibration.of_results(RESULTS, LABELS)
    assert by_csv == calibration.of_results(RESULTS.with_suffix(".json"), LABELS)
    # Of its three seeds, one: 535 clips, not three times as many.
    assert by_csv.fitted_on == {
        "protocol": "emodb-loso10-v1",
        "row": "whisper3",
        "seeds": 1,
        "clips": 535,
        "speakers": 10,
    }


def test_confidence_is_drawn(table, tmp_path):
    confidence_figure(table, LABELS, title="whisper3", path=tmp_path / "c.svg")
    text = (tmp_path / "c.svg").read_text()
    assert "error 0.026" in text and "1.6 % wrong at 80 %" in text
