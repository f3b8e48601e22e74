"""Against scikit-learn's probabilistic PCA."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from affetto import ConfigError, domain
from affetto.domain import Domain


@pytest.fixture(scope="module")
def corpora() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(80, 80)) / 9
    return {name: (rng.normal(size=(300, 80)) @ mix + 0.1 * n).astype(np.float32) for n, name in enumerate("abc")}


def test_distances_are_mahalanobis_by_scikit_learns_precision(corpora):
    known = domain.fit(corpora)
    clips = np.concatenate(list(corpora.values()))
    standard = (clips - clips.mean(axis=0)) / clips.std(axis=0)
    precision = PCA(domain.RANK, svd_solver="full").fit(standard).get_precision()
    witness = np.sqrt(np.einsum("nd,de,ne->n", standard, precision, standard) / clips.shape[1])
    np.testing.assert_allclose(known.distances(clips), witness, rtol=1e-4)
    assert np.sqrt((known.distances(clips) ** 2).mean()) == pytest.approx(1, abs=0.02)


def test_the_threshold_is_that_of_the_corpus_that_is_farthest_from_the_others(corpora):
    known = domain.fit(corpora)
    left_out = [each["distance_left_out"] for each in known.fitted_on.values()]
    assert known.threshold == max(left_out)
    twice = domain.fit({**corpora, "a again": corpora["a"]})
    assert twice.fitted_on["a"]["distance_left_out"] < known.fitted_on["a"]["distance_left_out"]
    assert known.distances(corpora["a"] + 10).min() > known.threshold


def test_a_domain_goes_through_arrays_and_text(corpora):
    known = domain.fit(corpora)
    again = Domain.of(known.config, known.arrays)
    np.testing.assert_allclose(again.distances(corpora["b"]), known.distances(corpora["b"]), rtol=1e-4)
    with pytest.raises(ValueError, match="do not fit one another"):
        Domain.of(known.config, {**known.arrays, "scale": np.ones(3, np.float32)})


def test_too_little_speech_is_refused(corpora):
    with pytest.raises(ConfigError, match="two corpora of speech or more"):
        domain.fit({"a": corpora["a"]})
    with pytest.raises(ConfigError, match="more than 65 clips of more than 64 features, got 20"):
        domain.fit({"a": corpora["a"], "b": corpora["b"][:20]})
