import numpy as np
import pytest
import scipy.special
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from affetto.errors import CorpusError
from affetto.tasks import Categories, CategoriesSettings

LABELS = ("anger", "fear", "neutral", "sadness")
TASK = Categories(LABELS)
BALANCED = Categories(LABELS, CategoriesSettings(class_weights="balanced"))


def logits(n_clips: int, *, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(n_clips, len(LABELS), generator=torch.Generator().manual_seed(seed))


def test_targets_are_places_in_the_list_of_classes():
    targets = TASK.targets(["sadness", "anger", "anger"])
    assert targets.tolist() == [3, 0, 0]
    assert targets.dtype == torch.int64
    assert TASK.targets([]).shape == (0,)


def test_emotions_that_are_not_classes_are_all_named():
    words = "the corpus has boredom, irony; this model's classes are anger, fear, neutral, sadness"
    with pytest.raises(CorpusError, match=words):
        TASK.targets(["anger", "irony", "boredom", "irony"])


def test_answers_are_the_likeliest_classes():
    probabilities = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    assert TASK.answers(probabilities) == ["sadness", "anger"]
    assert TASK.answers(TASK.decode(logits(0))) == []


def test_probabilities_are_scipys_softmax_in_float32():
    for x in (logits(5), logits(5).bfloat16()):
        probabilities = TASK.decode(x)
        assert probabilities.dtype == torch.float32
        witness = scipy.special.softmax(x.double().numpy(), axis=1)
        np.testing.assert_allclose(probabilities.numpy(), witness, atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_balanced_weights_are_scikit_learns_and_zero_for_classes_without_a_clip(targets):
    present = np.unique(targets)
    witness = np.zeros(4)
    witness[present] = compute_class_weight("balanced", classes=present, y=np.array(targets))
    weights = BALANCED.weights(torch.tensor(targets))
    np.testing.assert_allclose(weights.numpy(), witness, rtol=1e-6)
    assert weights[targets].mean().item() == pytest.approx(1)


def test_without_class_weights_there_are_none():
    assert TASK.weights(torch.tensor([0, 0, 1])) is None


def test_the_loss_is_scikit_learns_log_loss():
    targets = torch.tensor([0, 0, 0, 1, 3, 2])
    x = logits(6)
    probabilities = scipy.special.softmax(x.double().numpy(), axis=1)
    plain = sklearn.metrics.log_loss(targets, probabilities, labels=range(4))
    assert TASK.loss(x, targets).item() == pytest.approx(plain, rel=1e-5)
    weights = BALANCED.weights(targets)
    weighted = sklearn.metrics.log_loss(targets, probabilities, labels=range(4), sample_weight=weights[targets])
    assert BALANCED.loss(x, targets, weights).item() == pytest.approx(weighted, rel=1e-5)
    assert weighted != pytest.approx(plain, rel=1e-2)


def test_label_smoothing_shares_some_of_the_target_among_all_classes():
    smooth = Categories(LABELS, CategoriesSettings(label_smoothing=0.1))
    x, targets = logits(6), torch.tensor([0, 0, 0, 1, 3, 2])
    soft = 0.9 * np.eye(4)[targets] + 0.1 / 4
    witness = -(soft * scipy.special.log_softmax(x.double().numpy(), axis=1)).sum(axis=1).mean()
    assert smooth.loss(x, targets).item() == pytest.approx(witness, rel=1e-5)
