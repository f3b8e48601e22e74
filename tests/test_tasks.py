import math

import audmetric
import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_class_weight

from affetto.batch import Padded, pad
from affetto.config import parse
from affetto.errors import ConfigError, CorpusError
from affetto.tasks import (
    Categories,
    CategoriesSettings,
    Dimensions,
    DimensionsSettings,
    MaskedFrames,
    MaskedFramesSettings,
    parse_settings,
)

LABELS = ("anger", "fear", "neutral", "sadness")
TASK = Categories(LABELS)
BALANCED = Categories(LABELS, CategoriesSettings(class_weights="balanced"))


def logits(n_clips: int, *, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(n_clips, len(LABELS), generator=torch.Generator().manual_seed(seed))


def test_targets_are_places_in_the_list_of_classes():
    targets = TASK.targets(pd.DataFrame({"emotion": ["sadness", "anger", "anger"]}))
    assert targets.tolist() == [3, 0, 0]
    assert targets.dtype == torch.int64
    assert TASK.places([]).shape == (0,)


def test_emotions_that_are_not_classes_are_all_named():
    words = "the corpus has boredom, irony; this model's classes are anger, fear, neutral, sadness"
    with pytest.raises(CorpusError, match=words):
        TASK.places(["anger", "irony", "boredom", "irony"])


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


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_with_the_hinge_loss_a_linear_model_becomes_scikit_learns_linear_svm(class_weights):
    task = Categories(LABELS, CategoriesSettings(loss="hinge", class_weights=class_weights))
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(40) % 7 % 4  # 12, 12, 11 and 5 of each class
    features = torch.randn(40, 6, generator=generator) + torch.eye(4, 6)[targets]
    weight, bias = torch.zeros(4, 6, requires_grad=True), torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-8)
    decay = 0.2

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        loss = task.loss(features @ weight.T + bias, targets, task.weights(targets)) + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(objective)
    witness = LinearSVC(
        C=1 / (decay * len(targets)),
        class_weight=None if class_weights == "none" else "balanced",
        dual=False,
        tol=1e-10,
        intercept_scaling=1e3,  # which all but frees the bias from the penalty
    ).fit(features.numpy(), targets.numpy())
    np.testing.assert_allclose(weight.detach().numpy(), witness.coef_, atol=2e-3)
    np.testing.assert_allclose(bias.detach().numpy(), witness.intercept_, atol=2e-3)


def test_the_hinge_loss_is_refused_with_label_smoothing():
    assert CategoriesSettings().loss == "cross_entropy"
    with pytest.raises(ConfigError, match="label_smoothing goes with cross_entropy, got 0.1 with hinge"):
        parse(CategoriesSettings, {"loss": "hinge", "label_smoothing": 0.1}, source="x.yaml")


def test_label_smoothing_shares_some_of_the_target_among_all_classes():
    smooth = Categories(LABELS, CategoriesSettings(label_smoothing=0.1))
    x, targets = logits(6), torch.tensor([0, 0, 0, 1, 3, 2])
    soft = 0.9 * np.eye(4)[targets] + 0.1 / 4
    witness = -(soft * scipy.special.log_softmax(x.double().numpy(), axis=1)).sum(axis=1).mean()
    assert smooth.loss(x, targets).item() == pytest.approx(witness, rel=1e-5)


def test_missing_emotions_are_counted():
    with pytest.raises(CorpusError, match="2 of 3 utterances have no emotion; categories need one in each"):
        TASK.targets(pd.DataFrame({"emotion": ["anger", math.nan, None]}))


# What training asks of categories


def test_categories_are_asked_about_the_batch_as_it_is():
    streams, targets = {"log_mel": clips(5, 3)}, torch.tensor([1, 2])
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    posed, answers = TASK.pose(streams, targets, generator)
    assert posed["log_mel"] is streams["log_mel"]
    assert torch.equal(answers, targets)
    assert torch.equal(generator.get_state(), before)


def test_categories_are_judged_by_scikit_learn_from_tallies():
    targets, x = torch.tensor([0, 0, 3, 1, 2, 2, 1]), logits(7, seed=1)
    tallies = torch.cat([TASK.tally(part, target) for part, target in zip(x.split(3), targets.split(3), strict=True)])
    assert tallies.shape == (7, TASK.width)
    loss, scores = TASK.judge(tallies, targets)
    probabilities = scipy.special.softmax(x.double().numpy(), axis=1)
    assert loss == pytest.approx(sklearn.metrics.log_loss(targets, probabilities, labels=range(4)), rel=1e-5)
    witness = sklearn.metrics.balanced_accuracy_score(targets, probabilities.argmax(axis=1))
    assert scores["ua"] == pytest.approx(witness)
    assert 0 < witness < 1
    _, balanced = BALANCED.judge(tallies, targets)
    assert balanced == scores  # class weights are for training alone


def test_the_rank_of_categories_is_by_recall_then_by_loss_and_a_nan_is_last():
    ranked = [(0.5, 0.9), (0.1, 0.8), (0.2, 0.8), (0.0, 0.1), (9.0, 0.0)]
    ranks = [TASK.rank(loss, {"ua": ua}) for loss, ua in ranked]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == len(ranks)
    for loss, ua in ((math.nan, 0.9), (0.1, math.nan)):
        assert TASK.rank(loss, {"ua": ua}) < ranks[-1]


# Masked frames


MASKED = MaskedFrames()


def clips(*lengths: int, width: int = 3, seed: int = 0) -> Padded:
    """Frames none of which is zero or equals another."""
    generator = torch.Generator().manual_seed(seed)
    return pad([1 + torch.rand(length, width, generator=generator) for length in lengths])


def pose(frames: Padded, task: MaskedFrames = MASKED, *, seed: int = 0) -> tuple[Padded, torch.Tensor]:
    """The frames struck out, and the answers."""
    generator = torch.Generator().manual_seed(seed)
    posed, answers = task.pose({"log_mel": frames}, torch.empty(len(frames), 0), generator)
    assert torch.equal(posed["log_mel"].lengths, frames.lengths)
    return posed["log_mel"], answers


def chosen(answers: torch.Tensor) -> torch.Tensor:
    """Which frames were chosen, (B, T); all features of a frame or none."""
    missing = answers.isnan()
    assert torch.equal(missing.all(dim=2), missing.any(dim=2))
    return ~missing.all(dim=2)


def runs(mark: torch.Tensor) -> list[int]:
    """Lengths of the stretches of true ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mark.int().numpy(), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=4),
    share=st.floats(0.01, 0.99),
    span=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_spans_are_whole_and_as_many_as_the_share_makes(lengths, share, span, seed):
    task = MaskedFrames(MaskedFramesSettings(share=share, span=span))
    frames = clips(*lengths)
    marks = chosen(pose(frames, task, seed=seed)[1])
    assert not marks[~frames.mask].any()
    for mark, length in zip(marks, lengths, strict=True):
        expected = round(length * share / span) if length > span else 0
        stretches = runs(mark[:length])
        assert sum(stretches) <= expected * span
        assert all(stretch >= span for stretch in stretches)
        # Spans that begin at different frames cover at least so many.
        assert sum(stretches) >= (expected + span - 1 if expected else 0)
        if span == 1:
            assert sum(stretches) == expected


def test_spans_begin_anywhere_in_a_clip_with_equal_chance_and_each_elsewhere():
    task = MaskedFrames(MaskedFramesSettings(share=0.3, span=7))
    marks = torch.cat([chosen(pose(clips(*[20] * 50), task, seed=seed)[1]) for seed in range(40)])
    # round(20 * 0.3 / 7) = 1 span of 14 places: a frame at the edge is in one of them, one in the middle in seven.
    assert marks.sum(dim=1).tolist() == [7] * 2000
    places = np.minimum(np.minimum(np.arange(1, 21), 7), np.arange(20, 0, -1))
    np.testing.assert_allclose(marks.float().mean(dim=0).numpy(), places / 14, atol=0.04)
    one = MaskedFrames(MaskedFramesSettings(share=0.9, span=1))
    assert chosen(pose(clips(10), one)[1]).sum() == 9  # drawn with replacement, they would hardly be nine frames


def test_one_throw_of_the_die_a_clip_zeroes_eight_of_ten_replaces_one_and_leaves_one():
    counts = {"zeroed": 0, "replaced": 0, "left": 0}
    for seed in range(40):
        frames = clips(*[100] * 50, seed=seed)
        struck, answers = pose(frames, seed=seed)
        for clip, original, mark in zip(struck.values, frames.values, chosen(answers), strict=True):
            assert torch.equal(clip[~mark], original[~mark])
            if not clip[mark].any():
                counts["zeroed"] += 1
            elif torch.equal(clip, original):
                counts["left"] += 1
            else:
                counts["replaced"] += 1
                assert set(clip[mark, 0].tolist()) <= set(original[:, 0].tolist())
    shares = {kind: count / 2000 for kind, count in counts.items()}
    assert shares == {
        "zeroed": pytest.approx(0.8, abs=0.03),
        **dict.fromkeys(("replaced", "left"), pytest.approx(0.1, abs=0.025)),
    }


def test_shares_of_clips_that_are_more_than_all_are_refused():
    with pytest.raises(ValueError, match=r"zeroed and replaced are shares of all clips, got 0\.9 and 0\.2"):
        MaskedFramesSettings(zeroed=0.9, replaced=0.2)
    assert MaskedFramesSettings(zeroed=0.7, replaced=0.3).replaced == 0.3


def test_replacements_are_whole_spans_of_the_same_clip():
    task = MaskedFrames(MaskedFramesSettings(zeroed=0.0, replaced=1.0))
    for seed in range(20):
        frames = clips(47, 60, seed=seed)  # one span each
        struck, answers = pose(frames, task, seed=seed)
        for clip, original, mark in zip(struck.values, frames.values, chosen(answers), strict=True):
            assert mark.sum() == 7
            places = [original[:, 0].tolist().index(value) for value in clip[mark, 0].tolist()]
            assert places == list(range(places[0], places[0] + 7))
            assert torch.equal(clip[mark], original[places])


def test_answers_are_the_original_frames_and_the_frames_themselves_are_left_alone():
    frames = clips(100, 60)
    before = frames.values.clone()
    _, answers = pose(frames)
    mark = chosen(answers)
    assert torch.equal(answers[mark], before[mark])
    assert torch.equal(frames.values, before)


def test_frames_are_drawn_anew_each_time_and_by_the_generator_alone():
    frames = clips(200, 150)
    generator, before = torch.Generator().manual_seed(0), torch.get_rng_state()
    streams, nothing = {"log_mel": frames, "other": clips(3, 2)}, torch.empty(2, 0)
    (first, answers), (_, later) = (MASKED.pose(streams, nothing, generator) for _ in range(2))
    assert first["other"] is streams["other"]
    assert not torch.equal(chosen(answers), chosen(later))
    again, answers_again = MASKED.pose(streams, nothing, torch.Generator().manual_seed(0))
    assert torch.equal(first["log_mel"].values, again["log_mel"].values)
    assert torch.equal(answers.nan_to_num(), answers_again.nan_to_num())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_loss_is_numpys_mean_absolute_error_of_the_chosen_frames():
    frames = clips(100, 60, 2)  # the last is too short for a span and adds nothing
    _, answers = pose(frames)
    mark = chosen(answers)
    assert mark.any(dim=1).tolist() == [True, True, False]
    predicted = clips(100, 60, 2, seed=1)
    witness = np.abs(predicted.values[mark].double().numpy() - frames.values[mark].double().numpy()).mean()
    assert MASKED.loss(predicted, answers).item() == pytest.approx(witness, rel=1e-5)
    assert MASKED.loss(frames, answers).item() == 0
    elsewhere = Padded(predicted.values.masked_fill(~mark[:, :, None], 1e6), predicted.lengths)
    assert MASKED.loss(elsewhere, answers).item() == pytest.approx(witness, rel=1e-5)
    assert MASKED.weights(answers) is None


def test_a_batch_of_clips_too_short_for_a_span_has_no_loss_and_no_slope():
    frames = clips(7, 3)
    struck, answers = pose(frames)
    assert torch.equal(struck.values, frames.values)
    assert answers.isnan().all()
    outputs = frames.values.clone().requires_grad_()
    loss = MASKED.loss(Padded(outputs, frames.lengths), answers)
    loss.backward()
    assert loss.item() == 0
    assert outputs.grad is not None
    assert not outputs.grad.any()


def test_the_tallies_of_batches_are_judged_as_all_clips_at_once():
    frames = clips(*[100, 60, 300, 2, 90, 47])
    _, answers = pose(frames)
    predicted = clips(*[100, 60, 300, 2, 90, 47], seed=1)
    parts = zip(predicted.values.split(2), predicted.lengths.split(2), answers.split(2), strict=True)
    tallies = torch.cat([MASKED.tally(Padded(values, lengths), target) for values, lengths, target in parts])
    assert tallies.shape == (6, MASKED.width)
    loss, scores = MASKED.judge(tallies, torch.empty(6, 0))
    assert loss == pytest.approx(MASKED.loss(predicted, answers).item(), rel=1e-5)
    assert scores == {"l1": loss}


def test_without_a_chosen_frame_there_is_no_score_and_a_nan_is_not_passed_over():
    frames = clips(100, 3)
    _, answers = pose(frames)
    nothing, _ = MASKED.judge(MASKED.tally(frames, answers)[1:], torch.empty(1, 0))
    assert math.isnan(nothing)
    values = frames.values.clone()
    values[0, chosen(answers)[0].nonzero()[0]] = math.nan  # one frame of what the model predicts
    loss, _ = MASKED.judge(MASKED.tally(Padded(values, frames.lengths), answers), torch.empty(2, 0))
    assert math.isnan(loss)


def test_the_rank_of_masked_frames_is_by_loss_and_a_nan_is_last():
    ranks = [MASKED.rank(loss, {"l1": loss}) for loss in (0.0, 0.3, 0.8, 1e9, math.nan)]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == 5


def test_frames_may_be_left_as_they_are_and_still_be_asked_for():
    frames = clips(100)
    struck, answers = pose(frames, MaskedFrames(MaskedFramesSettings(zeroed=0.0, replaced=0.0)))
    assert torch.equal(struck.values, frames.values)
    assert chosen(answers).sum() >= 8  # two spans, which may overlap


NAMES = ("valence", "arousal", "dominance")
SCALES = {"valence": (1.0, 7.0), "arousal": (1.0, 7.0), "dominance": (-1.0, 1.0)}


def rated(*names: str, **settings) -> Dimensions:
    return DimensionsSettings(names=names or NAMES, **settings).of((), SCALES)


def ratings(n_clips: int, *, seed: int = 0) -> torch.Tensor:
    """Ratings on the three scales, (n, 3)."""
    low, high = torch.tensor(list(SCALES.values())).T
    return low + (high - low) * torch.rand(n_clips, 3, generator=torch.Generator().manual_seed(seed))


def outputs(task: Dimensions, answers: torch.Tensor) -> torch.Tensor:
    """What a network must give for these answers."""
    low, high = torch.tensor(task.ends).T
    return (answers - (low + high) / 2) / ((high - low) / 2)


def test_a_network_answers_in_halves_of_the_scale_from_its_middle():
    task = rated()
    assert task.decode(torch.zeros(2, 3)).tolist() == [[4, 4, 0]] * 2
    assert task.decode(torch.tensor([[-1.0, 1.0, 1.0]])).tolist() == [[1, 7, 1]]
    assert task.decode(torch.full((1, 3), 2.0)).tolist() == [[10, 10, 2]]  # nothing is cut off
    assert task.decode(torch.zeros(1, 3).bfloat16()).dtype == torch.float32
    torch.testing.assert_close(task.decode(outputs(task, ratings(9))), ratings(9))


@pytest.mark.parametrize("names", [NAMES, ("valence",), ("arousal", "dominance")])
def test_losses_are_those_of_scikit_learn_and_audmetric_by_column(names):
    places = [NAMES.index(name) for name in names]
    truth, answers = ratings(40)[:, places], (ratings(40) + 0.3 * ratings(40, seed=1))[:, places]
    mean = np.mean([audmetric.concordance_cc(truth[:, i].numpy(), answers[:, i].numpy()) for i in range(len(names))])
    task = rated(*names, loss="mse")
    squared = sklearn.metrics.mean_squared_error(outputs(task, truth), outputs(task, answers))  # in halves of the scale
    for loss, expected in (("mse", squared), ("ccc", 1 - mean)):
        task = rated(*names, loss=loss)
        assert task.loss(outputs(task, answers), truth).item() == pytest.approx(expected, abs=1e-5)
    usual = rated(*names)
    by_default = rated(*names, loss="mse" if len(names) == 1 else "ccc")
    given = (outputs(usual, answers), truth)
    assert usual.loss(*given) == by_default.loss(*given)


def test_the_concordance_of_columns_is_not_that_of_all_values_together():
    truth = ratings(40)
    answers = truth * torch.tensor([1.0, -1.0, 1.0]) + torch.tensor([0.0, 8.0, 0.0])
    task = rated(loss="ccc")
    together = 1 - audmetric.concordance_cc(truth.flatten().numpy(), answers.flatten().numpy())
    loss = task.loss(outputs(task, answers), truth).item()
    assert loss == pytest.approx((0 + 2 + 0) / 3, abs=0.05)
    assert abs(loss - together) > 0.1


@pytest.mark.parametrize("n_clips", [1, 5])
def test_equal_answers_and_single_clips_move_nothing_by_concordance(n_clips):
    given = torch.zeros(n_clips, 3, requires_grad=True)
    task = rated(loss="ccc")
    loss = task.loss(given, ratings(1).expand(n_clips, 3))
    loss.backward()
    assert loss.item() == pytest.approx(1)
    assert given.grad is not None and given.grad.isfinite().all()
    assert given.grad.abs().max() == pytest.approx(0, abs=1e-5)


def test_ratings_are_judged_as_scipy_and_scikit_learn_do():
    truth, answers = ratings(50), 0.5 * ratings(50) + 0.5 * ratings(50, seed=1)
    loss, scores = rated().judge(answers, truth)
    for place, name in enumerate(NAMES):
        x, y = truth[:, place].numpy(), answers[:, place].numpy()
        assert scores[f"ccc_{name}"] == pytest.approx(audmetric.concordance_cc(x, y), abs=1e-6)
        assert scores[f"pearson_{name}"] == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-6)
        assert scores[f"mse_{name}"] == pytest.approx(sklearn.metrics.mean_squared_error(x, y), abs=1e-6)
        assert scores[f"mae_{name}"] == pytest.approx(sklearn.metrics.mean_absolute_error(x, y), abs=1e-6)
    assert scores["ccc"] == pytest.approx(np.mean([scores[f"ccc_{name}"] for name in NAMES]))
    assert loss == pytest.approx(1 - scores["ccc"], abs=1e-6)
    loss, scores = rated("arousal").judge(answers[:, 1:2], truth[:, 1:2])
    assert loss == pytest.approx(scores["mse_arousal"] / 9)  # half of a scale from 1 to 7 is 3 points


def test_the_highest_ccc_wins_then_the_lowest_loss_and_nan_never():
    task = rated()
    best = task.rank(0.5, {"ccc": 0.5})
    assert best > task.rank(0.1, {"ccc": 0.4})
    assert best > task.rank(0.6, {"ccc": 0.5})
    loss, scores = task.judge(torch.full((4, 3), 2.0), torch.full((4, 3), 2.0))
    assert math.isnan(scores["ccc"]) and type(scores["ccc"]) is float
    assert task.rank(loss, scores) < task.rank(9.0, {"ccc": -1.0})


def test_ratings_are_read_kept_and_answered_by_name():
    table = pd.DataFrame({"arousal": [1.5, 6.123456789], "valence": [2.0, 3.0], "emotion": [None, None]})
    task = rated("arousal", "valence")
    assert task.labels == ("valence", "arousal")
    assert task.targets(table).tolist() == [[2.0, 1.5], [3.0, pytest.approx(6.123457)]]
    assert task.truth(table)[1] == {"valence_truth": 3.0, "arousal_truth": 6.123456789}
    assert task.answer(torch.tensor([[1.000001, 2.123456]])) == [{"valence": 1.0, "arousal": 2.12346}]
    assert task.known(table.assign(valence=[math.nan, 3.0])).tolist() == [False, True]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"valence": [2.0, math.nan]}, "1 of 2 utterances have no valence; dimensions need it in each"),
        ({"dominance": [2.0, 5.2]}, "1 of 2 utterances have a dominance beyond 1 to 5"),
    ],
)
def test_ratings_that_are_missing_or_off_the_scale_are_refused(change, words):
    table = pd.DataFrame({"valence": [2.0, 3.0], "arousal": [2.0, 3.0], "dominance": [1.0, 2.0]})
    stated = DimensionsSettings(scale=(1, 5)).of((), {})
    assert stated.targets(table).shape == (2, 3)
    with pytest.raises(CorpusError, match=words):
        stated.targets(table.assign(**change))
    with pytest.raises(CorpusError, match="the corpus has no column 'arousal'"):
        stated.targets(table.drop(columns="arousal"))


def test_a_corpus_may_leave_its_own_scale():
    task = DimensionsSettings(names=("valence",)).of((), {"valence": (1, 5)})
    assert task.targets(pd.DataFrame({"valence": [1.0, 5.5]})).tolist() == [[1.0], [5.5]]


def test_the_scale_is_the_corpuss_own_or_stated():
    stated = DimensionsSettings(names=("valence",), scale=(1, 5))
    assert stated.of((), {}).scales == {"valence": (1, 5)}
    assert stated.of((), {"valence": (1, 5)}).scales == {"valence": (1, 5)}
    with pytest.raises(CorpusError, match="the corpus rates valence from 1 to 7; leave task.scale to it"):
        stated.of((), SCALES)
    with pytest.raises(CorpusError, match="the corpus states no scale of valence; task.scale="):
        DimensionsSettings(names=("valence",)).of((), {})
    with pytest.raises(CorpusError, match="the corpus states no scale of arousal; its dimensions are valence"):
        DimensionsSettings().of((), {"valence": (1, 7)})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"name": "dimensions", "names": ["valence", "valence"]}, "names: expected each once, and of valence, arousal"),
        ({"name": "dimensions", "names": ["joy"]}, "names: expected each once"),
        ({"name": "dimensions", "names": []}, "names: "),
        ({"name": "dimensions", "scale": [5, 1]}, "scale: expected the lowest rating, then the highest"),
        ({"name": "dimensions", "class_weights": "balanced"}, "unknown setting 'class_weights'; known here are loss"),
        ({"name": "dimension"}, "no task is called 'dimension'; the tasks are categories, dimensions"),
    ],
)
def test_settings_of_tasks_that_cannot_be_meant_are_refused(content, words):
    with pytest.raises(ConfigError, match=words):
        parse_settings(content, source="toy.yaml: task")


def test_a_task_without_a_name_is_categories():
    assert parse_settings({"class_weights": "balanced"}, source="toy") == CategoriesSettings(class_weights="balanced")
    assert parse_settings({"name": "dimensions", "names": ["arousal", "valence"]}, source="toy") == DimensionsSettings(
        names=("valence", "arousal")
    )
