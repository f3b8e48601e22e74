import copy
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.optim.swa_utils import AveragedModel

from affetto import corpora, experiment, models, training
from affetto.batch import Padded
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.dataset import Features
from affetto.errors import ConfigError
from affetto.models import SpeechModel
from affetto.tasks import Categories, CategoriesSettings
from affetto.training import History, TrainingSettings, check_augmentation, fit, predict

CPU = torch.device("cpu")
COMMAND = [sys.executable, "-c", "from affetto.cli import main; main()"]


class Loudness(nn.Module):
    """A stream: mean loudness of each tenth of a second and how it changes, (T, 2)."""

    width = 2
    frame_rate = 10.0
    fingerprint = "loudness"

    def forward(self, waveforms: Padded) -> Padded:
        whole = waveforms.values[:, : waveforms.values.shape[1] // 1600 * 1600]
        loudness = whole.reshape(len(whole), -1, 1600).abs().mean(dim=2)
        change = torch.diff(loudness, dim=1, prepend=loudness[:, :1])
        return Padded(torch.stack([loudness, change], dim=2), waveforms.lengths // 1600)


class Small(SpeechModel):
    """Mean and spread of the loudness, a hidden layer, dropout, classes."""

    def __init__(self, n_classes: int = 3, dropout: float = 0.0) -> None:
        super().__init__({"loudness": Loudness()})
        self.hidden = nn.Linear(4, 16)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(16, n_classes)

    def forward(self, streams):
        mean = streams["loudness"].mean()
        spread = streams["loudness"].with_values(streams["loudness"].values.square()).mean()
        x = torch.cat([mean, spread.sqrt()], dim=1) * 10
        return self.classifier(self.dropout(torch.tanh(self.hidden(x))))


class Normed(Small):
    """The same with a batch norm over its hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16))


class Scripted(Small):
    """Whatever it learns, its answers on dev come from a script: a logit of the right class an evaluation, or NaN."""

    def __init__(self, script: list[float]) -> None:
        super().__init__()
        self.script = iter(script)
        self.seen: list[dict[str, torch.Tensor]] = []

    def forward(self, streams):
        logits = super().forward(streams)
        if self.training:
            return logits
        self.seen.append({name: tensor.clone() for name, tensor in self.trained_state.items()})
        scripted = torch.zeros_like(logits)
        scripted[:, 0] = next(self.script)  # dev below is of class 0 alone
        return scripted


@pytest.fixture(scope="module")
def features(synthetic, tmp_path_factory):
    """Loudness of the two minutes of synthetic emotion: 96 clips, three classes."""
    corpus = corpora.read("table", synthetic)
    cache = FeatureCache(tmp_path_factory.mktemp("cache"))
    return Features(corpus, Small(), Categories(corpus.categories), cache=cache, device=CPU, precision="fp32")


def spoken_by(features: Features, speakers: Sequence[str]) -> list[int]:
    """Rows of some speakers."""
    return [row for row, speaker in enumerate(features.corpus.table["speaker"]) if speaker in speakers]


def train(features, model=None, *, dev=("dia",), seed=0, task=None, folder=None, progress=None, rows=None, **settings):
    """A model trained on two speakers, with its history."""
    torch.manual_seed(seed)
    model = model or Small(dropout=0.3)
    [history] = train_for(
        features, [dev], model, seed=seed, task=task, folder=folder, progress=progress, rows=rows, **settings
    )
    model.load_state_dict(history.weights, strict=False)
    return model, history


def train_for(features, devs, model=None, *, seed=0, task=None, folder=None, progress=None, rows=None, **settings):
    """The histories of one training on two speakers, one a set of dev speakers."""
    torch.manual_seed(seed)
    return fit(
        model or Small(dropout=0.3),
        task or Categories(features.corpus.categories),
        features,
        spoken_by(features, ["ann", "ben"]) if rows is None else rows,
        [spoken_by(features, dev) for dev in devs],
        TrainingSettings(**{"epochs": 4, "learning_rate": 0.01, **settings}),
        seed=seed,
        device=CPU,
        precision="fp32",
        folder=folder,
        **({} if progress is None else {"progress": progress}),
    )


class KilledError(Exception):
    pass


def killing_after(last: int):
    """A listener to progress that ends the run after an epoch."""

    def kill(what, done, total):
        if done == last:
            raise KilledError

    return kill


def same(first, second) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


# Learning


def test_the_loss_falls_and_an_unheard_speaker_is_understood(features):
    model, history = train(features, epochs=40, batch_size=16)
    losses = [epoch.loss for epoch in history.epochs]
    assert len(losses) == 40
    assert losses[-1] < 0.5 * losses[0]
    assert history.best.dev["ua"] > 0.8
    rows = spoken_by(features, ["cem"])
    task = Categories(features.corpus.categories)
    answers = predict(model, task, features, rows, device=CPU, precision="fp32").argmax(dim=1)
    assert (answers == features.targets[rows]).float().mean() > 0.6


def test_one_batch_is_memorised_even_with_wrong_labels(features, monkeypatch):
    rows = spoken_by(features, ["ann"])[::4]
    wrong = features.targets.clone()
    wrong[rows] = torch.tensor([0, 1, 2, 2, 0, 1])
    monkeypatch.setattr(features, "targets", wrong)
    model, history = train(features, Small(), rows=rows, dev=(), epochs=700, batch_size=None, learning_rate=0.2)
    assert history.epochs[-1].loss < 0.05
    answers = predict(model, Categories(features.corpus.categories), features, rows, device=CPU).argmax(dim=1)
    assert answers.tolist() == wrong[rows].tolist()


@pytest.fixture(scope="module")
def bench(synthetic, tiny_probe, tmp_path_factory):
    """Makes a bench on the synthetic emotions for a model of the package."""

    def make(model, **settings):
        content = {"name": "x", "corpus": "table", "protocol": "speaker-4fold", "model": model, "training": settings}
        path = tmp_path_factory.mktemp("experiment") / "x.yaml"
        path.write_text(yaml.safe_dump(content))
        return Bench.prepare(
            experiment.read_one(path),
            corpora.read("table", synthetic),
            cache=FeatureCache(path.parent),
            device=CPU,
            precision="fp32",
        )

    return make


def test_a_linear_probe_learns_the_synthetic_emotions(bench, tiny_probe):
    tried = bench(tiny_probe, epochs=30, batch_size=None, optimizer="adam", learning_rate=0.03)
    [(model, history)] = tried.train(tried.experiment, spoken_by(tried.features, ["ann", "ben", "cem"]), [], seed=0)
    assert history.epochs[-1].loss < 0.5 * history.epochs[0].loss
    rows = spoken_by(tried.features, ["dia"])
    answers = tried.categories.answers(tried.test(model, rows))
    truth = tried.corpus.table["emotion"].iloc[rows]
    assert sum(a == b for a, b in zip(answers, truth, strict=True)) >= 0.7 * len(rows)


@pytest.mark.slow
def test_the_cnn_learns_the_synthetic_emotions_and_memorises_a_batch(bench):
    tried = bench("cnn", epochs=4, batch_size=8)
    train_rows = spoken_by(tried.features, ["ann", "ben"])
    [(_, history)] = tried.train(tried.experiment, train_rows, spoken_by(tried.features, ["cem"]), seed=0)
    assert history.epochs[-1].loss < 0.5 * history.epochs[0].loss
    assert history.best.dev["ua"] > 0.8
    memorise = tried.experiment.with_settings({"training.epochs": 25, "training.batch_size": None})
    [(_, history)] = tried.train(memorise, train_rows[::6], [], seed=0)
    assert history.epochs[-1].loss < 0.02


@pytest.mark.slow
def test_cnn14_learns_the_synthetic_emotions_by_sgd_and_memorises_a_batch(bench):
    sgd = {"optimizer": "sgd", "schedule": "constant", "warmup": 0.0, "learning_rate": 0.01, "clip": None}
    tried = bench({"name": "cnn14", "encoder": {"width": 8}}, epochs=10, batch_size=8, **sgd)
    train_rows = spoken_by(tried.features, ["ann", "ben"])
    [(_, history)] = tried.train(tried.experiment, train_rows, spoken_by(tried.features, ["cem"]), seed=0)
    assert history.epochs[-1].loss < 0.5 * history.epochs[0].loss
    assert history.best.dev["ua"] > 0.8
    settings = {"training.epochs": 60, "training.batch_size": None, "training.learning_rate": 0.03}
    memorise = tried.experiment.with_settings({**settings, "model.encoder.dropout": 0.0})
    [(_, history)] = tried.train(memorise, train_rows[::6], [], seed=0)
    assert history.epochs[-1].loss < 0.05


def test_normalisation_comes_from_the_training_rows_alone(bench, tiny_probe, monkeypatch):
    tried = bench(tiny_probe, epochs=1, batch_size=None)
    rows = spoken_by(tried.features, ["ann", "ben"])
    [(before, _)] = tried.train(tried.experiment, rows, spoken_by(tried.features, ["dia"]), seed=0)
    get = tried.features.get
    monkeypatch.setattr(tried.features, "get", lambda row, stream: get(row, stream) * (1 if row in rows else 1e3))
    [(after, _)] = tried.train(tried.experiment, rows, spoken_by(tried.features, ["dia"]), seed=0)
    assert same(before, after)


# Which epoch is kept, and when training ends


@pytest.fixture
def easy_dev(features, monkeypatch):
    """The dev speaker's clips are all of class 0, so that a scripted model can be right or wrong about all of them."""
    targets = features.targets.clone()
    targets[spoken_by(features, ["dia"])] = 0
    monkeypatch.setattr(features, "targets", targets)
    return features


@pytest.mark.parametrize(
    ("script", "best"),
    [
        ([-1.0, 2.0, -1.0], 2),  # by score
        ([1.0, 3.0, 2.0], 2),  # equal scores: by loss
        ([math.nan, 1.0, math.nan], 2),  # a NaN is not the best, even though it comes first
        ([1.0, math.nan, 1.0], 1),  # nor does it take the place of an equal
        ([-1.0, math.nan, -2.0], 1),
        ([math.nan, -1.0, math.nan], 2),  # a wrong answer is better than none
    ],
)
def test_the_best_epoch_on_dev_is_kept_and_a_nan_never_wins(script, best, easy_dev):
    model, history = train(easy_dev, Scripted(script), epochs=3)
    assert history.best.epoch == best
    kept = model.seen[best - 1]
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.trained_state.items())
    assert not all(torch.equal(tensor, kept[name]) for name, tensor in model.seen[best % 3].items())


def test_without_dev_the_last_epoch_is_kept(features):
    model, history = train(features, dev=(), epochs=3)
    assert history.best.epoch == 3
    assert history.best.dev == {}
    assert history.best.dev_loss is None


@pytest.mark.parametrize(
    ("script", "patience", "epochs"),
    [
        ([1.0] * 9, 2, 3),
        ([1.0, 2.0, 2.0, 2.0, 2.0, 9.0], 3, 5),
        ([1.0, 2.0, 3.0, 2.0, 4.0, 1.0, 1.0], 2, 7),
        ([math.nan] * 9, 2, 3),
        ([1.0] * 9, None, 9),
    ],
)
def test_training_ends_when_patience_does(script, patience, epochs, easy_dev):
    _, history = train(easy_dev, Scripted(script), epochs=len(script), patience=patience)
    assert len(history.epochs) == epochs


def logit(loss: float) -> float:
    """The logit of the right one of three classes, beside zeros, that has this cross-entropy."""
    return -math.log((math.exp(loss) - 1) / 2)


@pytest.mark.parametrize(
    ("losses", "epochs"),
    [
        ([1.0, 0.9, 0.89, 0.85, 0.1, 0.1], 4),  # 0.85 is not a tenth below 0.9
        ([1.0, 0.9, 0.89, 0.8, 0.805, 0.79, 0.1, 0.1], 6),
        ([1.0, 1.0, 0.8, 1.0, 0.7, 1.0, 0.6, 0.6, 0.6], 9),  # every second epoch is enough, and the rest do no harm
        ([1.0, 2.0, 0.95, 0.1, 0.1], 3),  # lower, and a better score, but not by a tenth
        ([1.0, 0.1], 2),
    ],
)
def test_training_ends_when_the_dev_loss_falls_by_less_than_a_share(losses, epochs, easy_dev):
    script = [logit(loss) for loss in losses]
    _, history = train(easy_dev, Scripted(script), epochs=len(script), patience=2, least_gain=0.1)
    assert [epoch.dev_loss for epoch in history.epochs] == pytest.approx(losses[:epochs], rel=1e-4)


def test_without_dev_or_patience_no_gain_is_asked_for(features):
    for dev, patience in (((), 2), (("dia",), None)):
        _, history = train(features, dev=dev, epochs=4, patience=patience, least_gain=0.9)
        assert len(history.epochs) == 4


# Several dev sets, one training


DEVS = (("dia",), ("cem",), ("cem", "dia"))
ENDS = {
    "all epochs": {"epochs": 5},
    "patience": {"epochs": 8, "patience": 2, "learning_rate": 0.05},
    "least gain": {"epochs": 8, "patience": 2, "least_gain": 0.05, "learning_rate": 0.05},
}


@pytest.fixture
def unlike(features, monkeypatch):
    """One dev speaker's emotions are others than they sound, so that more training is worse for it."""
    targets = features.targets.clone()
    rows = spoken_by(features, ["cem"])
    targets[rows] = (targets[rows] + 1) % 3
    monkeypatch.setattr(features, "targets", targets)
    return features


@pytest.mark.parametrize("settings", ENDS.values(), ids=ENDS)
def test_a_training_for_several_dev_sets_is_that_for_each_alone(settings, unlike):
    together = train_for(unlike, (*DEVS, ()), **settings)
    for dev, history in zip(DEVS, together, strict=False):
        [alone] = train_for(unlike, [dev], **settings)
        assert history == alone
        assert history.weights.keys() == alone.weights.keys() == Small().trained_state.keys() - {"dropout"}
        assert all(torch.equal(tensor, alone.weights[name]) for name, tensor in history.weights.items())
        assert history.heard == alone.heard == set(spoken_by(unlike, ("ann", "ben", *dev)))
    assert together[-1].heard == set(spoken_by(unlike, ("ann", "ben")))
    assert len(together[-1].epochs) == settings["epochs"]
    best = {(len(history.epochs), history.best.epoch) for history in together}
    assert len(best) > 1
    if "patience" in settings:
        assert len(together[1].epochs) < len(together[0].epochs)  # each ended when its own patience did


@pytest.mark.parametrize("settings", ENDS.values(), ids=ENDS)
def test_an_interrupted_training_for_several_dev_sets_ends_as_if_it_had_not_been(settings, unlike, tmp_path):
    whole = train_for(unlike, DEVS, **settings)
    longest = max(len(history.epochs) for history in whole)
    for last in (1, longest - 1):
        folder = tmp_path / str(last)
        with pytest.raises(KilledError):
            train_for(unlike, DEVS, folder=folder, progress=killing_after(last), **settings)
        torn = train_for(unlike, DEVS, folder=folder, **settings)
        assert torn == whole
        for history, uninterrupted in zip(torn, whole, strict=True):
            weights = uninterrupted.weights.items()
            assert all(torch.equal(tensor, history.weights[name]) for name, tensor in weights)


def test_what_was_heard_before_and_by_whom_stays_known(features):
    features.heard.clear()
    features.batch([95])
    train_for(features, [("cem",)], rows=[0, 1])
    assert features.heard == {0, 1, 95, *spoken_by(features, ["cem"])}


# How long an epoch is, and of what


@pytest.fixture
def dealt(features, monkeypatch):
    """Rows of each batch that was asked for."""
    batches: list[list[int]] = []
    honest = features.batch

    def batch(rows):
        batches.append(list(rows))
        return honest(rows)

    monkeypatch.setattr(features, "batch", batch)
    return batches


@pytest.mark.parametrize(("steps", "sizes"), [(2, [16, 16]), (None, [16, 16, 16]), (7, [16] * 7)])
def test_an_epoch_has_as_many_steps_as_it_is_told(steps, sizes, features, dealt):
    rows = spoken_by(features, ["ann", "ben"])
    train(features, dev=(), epochs=2, batch_size=16, steps_per_epoch=steps)
    assert [len(batch) for batch in dealt] == sizes * 2
    epochs = [[row for batch in part for row in batch] for part in (dealt[: len(sizes)], dealt[len(sizes) :])]
    assert epochs[0] != epochs[1]
    passes = len(sizes) / 3
    for epoch in epochs:
        counts = [epoch.count(row) for row in rows]
        assert sum(counts) == 16 * len(sizes)  # of these rows and no others
        assert {math.floor(passes), math.ceil(passes)} == set(counts)  # each once before any comes again


def test_with_all_clips_at_once_a_step_is_a_pass(features, tmp_path):
    found = rates(tmp_path, features, epochs=2, steps_per_epoch=3, warmup=0.0, learning_rate=0.6)
    assert found == pytest.approx([0.3, 0.0])  # six steps


class Lengths(Small):
    """Writes down how long the clips are that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[bool, set[int]] = {True: set(), False: set()}

    def forward(self, streams):
        self.found[self.training].update(streams["loudness"].lengths.tolist())
        return super().forward(streams)


def test_long_clips_are_cropped_in_training_alone(features):
    whole, cropped, short = Lengths(), Lengths(), Lengths()
    train(features, whole, epochs=1)
    train(features, cropped, epochs=1, crop=0.5)
    train(features, short, epochs=1, crop=1.2)
    assert min(whole.found[True]) == 11
    assert max(whole.found[True]) > 12
    assert cropped.found[True] == {5}  # frames, of a tenth of a second
    assert short.found[True] == {11, 12}
    assert cropped.found[False] == short.found[False] == whole.found[False]


# Curves


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of all scalars, as TensorBoard reads them."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def drawn(history: History) -> dict[str, list[tuple[int, float]]]:
    """What its curves should be."""
    values = {"loss/train": lambda epoch: epoch.loss, "loss/dev": lambda epoch: epoch.dev_loss}
    scores = {f"dev/{name}": lambda epoch, name=name: epoch.dev[name] for name in history.best.dev}
    return {
        name: [(epoch.epoch, pytest.approx(value(epoch), rel=1e-5)) for epoch in history.epochs]
        for name, value in {**values, **scores}.items()
    }


@pytest.mark.parametrize(
    ("model", "settings", "refused"),
    [
        ({"name": "linear_probe"}, {"crop": 3.2}, "training.crop would do nothing: the model hears no frames"),
        ({"name": "linear_probe"}, {"warp": {}}, "training.warp would do nothing: the model hears no log-mel frames"),
        ({"name": "functionals"}, {"spec_augment": {}}, "training.spec_augment would do nothing"),
        ({"name": "conditioned_whisper"}, {"spec_augment": {}}, "training.spec_augment"),
        ({"name": "cnn"}, {"crop": 3.2, "warp": {}, "spec_augment": {}}, None),
        ({"name": "linear_probe"}, {"crop": None}, None),
    ],
)
def test_what_would_do_nothing_to_a_models_features_is_refused(model, settings, refused):
    with torch.device("meta"):
        built = models.get(model["name"]).create(models.parse_settings(model, source="test"), 7)
    with pytest.raises(ConfigError, match=refused) if refused else nullcontext():
        check_augmentation(built, TrainingSettings(**settings))


def test_tensorboard_reads_the_curves(features, tmp_path):
    _, history = train(features, folder=tmp_path)
    assert len(history.epochs) == 4
    assert {"loss/train", "loss/dev", "dev/ua", "dev/wa"} <= curves(tmp_path).keys()
    assert curves(tmp_path) == drawn(history)


def test_curves_of_an_interrupted_run_have_each_epoch_once(features, tmp_path, monkeypatch):
    _, whole = train(features)
    with pytest.raises(KilledError):
        train(features, folder=tmp_path, progress=killing_after(2))

    def die(*_):
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(training, "write_whole", die)  # the third epoch is drawn, and then not kept
        train(features, folder=tmp_path)
    assert len(curves(tmp_path)["loss/train"]) == 3
    train(features, folder=tmp_path)
    assert curves(tmp_path) == drawn(whole)


# What a run depends on


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(features):
    first, history = train(features, seed=1)
    torch.rand(7)
    again, history_again = train(features, seed=1)
    other, _ = train(features, seed=2)
    assert same(first, again)
    assert history == history_again
    assert not same(first, other)


def test_the_seed_rules_order_and_dropout_too(features):
    start = Small(dropout=0.3).state_dict()

    def trained(seed):
        model = Small(dropout=0.3)
        model.load_state_dict(start)
        return train(features, model, seed=seed)[0]

    assert same(trained(1), trained(1))
    assert not same(trained(1), trained(2))


def test_dev_has_no_influence_on_what_is_learned(features):
    _, with_dev = train(features, epochs=3)
    _, without = train(features, dev=(), epochs=3)
    assert [epoch.loss for epoch in with_dev.epochs] == [epoch.loss for epoch in without.epochs]


def rates(folder: Path, features, **settings) -> list[float]:
    """The learning rate after each step, one step an epoch."""
    found = []

    def look(what, done, total):
        if not done:
            return
        state = torch.load(folder / "state.pt", weights_only=True)
        found.append(state["optimizer"]["param_groups"][0]["lr"])

    train(features, batch_size=None, folder=folder, progress=look, dev=(), **settings)
    return found


def test_the_learning_rate_rises_and_falls_in_straight_lines(features, tmp_path):
    found = rates(tmp_path, features, epochs=20, warmup=0.2, learning_rate=0.5)
    assert found == pytest.approx([0.2, 0.3, 0.4] + [0.5 * (20 - step) / 16 for step in range(4, 21)])
    assert max(found) == 0.5
    assert found[-1] == 0.0


def test_without_warm_up_the_learning_rate_only_falls(features, tmp_path):
    assert rates(tmp_path, features, epochs=4, warmup=0.0, learning_rate=0.4) == pytest.approx([0.3, 0.2, 0.1, 0.0])


def test_a_constant_learning_rate_stays_after_its_rise(features, tmp_path):
    constant = {"epochs": 5, "schedule": "constant", "learning_rate": 0.4}
    assert rates(tmp_path / "at once", features, warmup=0.0, **constant) == [0.4] * 5
    found = rates(tmp_path / "risen", features, warmup=0.6, **constant)
    assert found == pytest.approx([0.2, 0.3, 0.4, 0.4, 0.4])


@pytest.mark.parametrize("momentum", [0.9, 0.5])
def test_sgd_steps_as_nesterov_and_sutskever_have_it(momentum, features):
    """Sutskever et al. (2013), in the form that looks ahead from the gradient at the weights: written out here."""
    rows, rate, decay = spoken_by(features, ["ann"]), 0.3, 0.01
    sgd = {"optimizer": "sgd", "schedule": "constant", "warmup": 0.0, "learning_rate": rate, "clip": None}
    whole = {"rows": rows, "dev": (), "batch_size": None}
    witness = Small()
    model = copy.deepcopy(witness)
    train(features, model, epochs=3, momentum=momentum, weight_decay=decay, **sgd, **whole)

    batch = features.batch(rows)
    speed = {name: torch.zeros_like(parameter) for name, parameter in witness.named_parameters()}
    for _ in range(3):
        loss = nn.functional.cross_entropy(witness(batch.streams), batch.targets)
        slopes = torch.autograd.grad(loss, list(witness.parameters()))
        with torch.no_grad():
            for (name, parameter), slope in zip(witness.named_parameters(), slopes, strict=True):
                slope = slope + decay * parameter if parameter.dim() > 1 else slope
                speed[name] = momentum * speed[name] + slope
                parameter -= rate * (slope + momentum * speed[name])
    for name, tensor in witness.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor)


class Indifferent(Small):
    """Its logits depend on no weight, so that only the weight decay moves them."""

    def forward(self, streams):
        return super().forward(streams) * 0.0


def test_weight_decay_shrinks_matrices_and_leaves_biases_alone(features):
    model = Indifferent()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(features, model, epochs=2, weight_decay=0.1, dev=())
    for name, tensor in model.state_dict().items():
        if name.endswith("weight"):
            assert tensor.norm() < before[name].norm()
        else:
            assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("balanced", [False, True])
def test_class_weights_make_up_for_unequal_numbers_in_train(balanced, features, monkeypatch):
    """To a model that cannot hear, the likeliest class is the most frequent one, unless the classes are balanced."""

    class Deaf(Small):
        def forward(self, streams):
            return self.classifier(torch.zeros(len(streams["loudness"]), 16))

    rows, dev = spoken_by(features, ["ann"])[:12], spoken_by(features, ["dia"])
    targets = features.targets.clone()
    targets[rows] = torch.tensor([0] * 8 + [1] * 3 + [2])
    targets[dev] = 2  # who looks at dev, too, gets other weights
    monkeypatch.setattr(features, "targets", targets)
    task = Categories(features.corpus.categories, CategoriesSettings(class_weights="balanced" if balanced else "none"))
    model, _ = train(features, Deaf(), rows=rows, dev=(), task=task, batch_size=None, epochs=300, learning_rate=0.1)
    got = predict(model, task, features, dev[:1], device=CPU, precision="fp32")[0]
    expected = torch.full((3,), 1 / 3) if balanced else torch.tensor([8, 3, 1]) / 12
    torch.testing.assert_close(got, expected, atol=0.01, rtol=0)


def test_a_large_gradient_is_clipped(features):
    def first_step(clip):
        model, _ = train(features, Small(), epochs=1, batch_size=None, optimizer="adam", clip=clip, dev=(), warmup=0)
        return model

    # Adam's first step does not depend on the gradient's size unless it vanishes beside Adam's epsilon.
    assert not same(first_step(1e-9), first_step(None))


@pytest.mark.parametrize(("optimizer", "step"), [("adamw", 1.0), ("adamw_uncorrected", 0.1 / 0.001**0.5)])
def test_without_bias_correction_the_first_step_is_three_times_as_large(optimizer, step, features):
    settings = {"epochs": 1, "batch_size": None, "dev": (), "warmup": 0, "clip": None, "learning_rate": 0.01}
    fresh = Small()
    before = fresh.classifier.weight.detach().clone()
    model, _ = train(features, fresh, optimizer=optimizer, **settings)
    moved = (model.classifier.weight.detach() - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.01 * step), rtol=5e-2, atol=0)


def test_predictions_come_in_the_order_of_the_rows(features):
    model, _ = train(features)
    task = Categories(features.corpus.categories)
    rows = [70, 3, 41, 4, 90]
    together = predict(model, task, features, rows, device=CPU, precision="fp32", size=2)
    for row, probabilities in zip(rows, together, strict=True):
        alone = predict(model, task, features, [row], device=CPU, precision="fp32")[0]
        torch.testing.assert_close(probabilities, alone)
    torch.testing.assert_close(together.sum(dim=1), torch.ones(5))


@pytest.mark.parametrize("model", [Small, Normed])
def test_the_average_of_weights_and_statistics_is_judged_and_kept(model, features, monkeypatch):
    steps = []
    update = AveragedModel.update_parameters

    def watched(self, model):
        update(self, model)
        steps.append({name: tensor.clone() for name, tensor in model.trained_state.items()})

    monkeypatch.setattr(AveragedModel, "update_parameters", watched)
    [history] = train_for(features, [("cem",)], model(), epochs=3, average=0.8, learning_rate=0.01)
    assert len(steps) == 6
    average, kept = steps[0], []
    for number, weights in enumerate(steps, start=1):
        if number > 1:
            average = {name: torch.lerp(tensor.float(), average[name].float(), 0.8) for name, tensor in weights.items()}
        if number % (len(steps) // 3) == 0:
            kept.append(average)
    best = kept[history.best.epoch - 1]
    for name, tensor in history.weights.items():
        if tensor.is_floating_point():  # the count of batches is of no use
            torch.testing.assert_close(tensor, best[name])
            assert not torch.equal(tensor, steps[-1][name])


def test_progress_is_told_from_the_start_and_of_every_epoch(features):
    told = []
    train(features, epochs=3, progress=lambda *news: told.append(news))
    assert told == [("epochs", 0, 3), ("epochs", 1, 3), ("epochs", 2, 3), ("epochs", 3, 3)]


# Interrupted and taken up again


TORN = {
    "all epochs": {},
    "patience": {"patience": 2, "learning_rate": 0.0},
    "averaged": {"average": 0.9, "warp": {}},
    "sgd": {"optimizer": "sgd", "schedule": "constant", "warmup": 0.0, "learning_rate": 0.1, "batch_size": 16},
}


@pytest.mark.parametrize("settings", TORN.values(), ids=TORN)
def test_a_run_that_is_interrupted_ends_as_if_it_had_not_been(settings, features, tmp_path):
    whole, history = train(features, epochs=8, folder=tmp_path, **settings)
    (tmp_path / "state.pt").unlink()
    with pytest.raises(KilledError):
        train(features, epochs=8, folder=tmp_path, progress=killing_after(2), **settings)
    told = []
    torn, history_torn = train(
        features, epochs=8, folder=tmp_path, progress=lambda *news: told.append(news[1]), **settings
    )
    assert same(whole, torn)
    assert history == history_torn
    assert told == [2, *(epoch.epoch for epoch in history.epochs[2:])]


def test_a_finished_run_is_not_trained_further(features, tmp_path):
    first, history = train(features, folder=tmp_path)
    told = []
    again, history_again = train(features, folder=tmp_path, progress=lambda *news: told.append(news))
    assert told == [("epochs", 4, 4)]
    assert same(first, again)
    assert history == history_again


def test_metrics_are_written_a_line_an_epoch(features, tmp_path):
    _, history = train(features, folder=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [training.Epoch(**line) for line in lines] == list(history.epochs)


@pytest.mark.slow
def test_a_killed_process_is_taken_up_again_and_ends_with_the_same_weights(toy_tree, tmp_path):
    settings = {
        "name": "killed",
        "corpus": "table",
        "protocol": "speaker-3fold",
        "model": {"name": "cnn", "dropout": 0.2},
        "training": {"epochs": 12, "batch_size": 2, "spec_augment": {}},
    }
    (tmp_path / "killed.yaml").write_text(yaml.safe_dump(settings))
    table = toy_tree("table")

    def start(folder: str) -> "subprocess.Popen[bytes]":
        arguments = ["train", "killed.yaml", "--corpus", str(table), "--out", folder, "--cache", "cache"]
        return subprocess.Popen([*COMMAND, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, env=os.environ)

    def finish(folder: str) -> None:
        process = start(folder)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()

    finish("whole")
    process = start("torn")
    log = tmp_path / "torn" / "metrics.jsonl"
    until = time.monotonic() + 120
    while not (log.exists() and len(log.read_text().splitlines()) >= 3):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < until, "no epoch ended within two minutes"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "torn" / "checkpoint").exists()
    done = len(log.read_text().splitlines())
    assert 3 <= done < 12
    finish("torn")
    for file in ("metrics.jsonl", "checkpoint/model.safetensors", "checkpoint/golden.safetensors"):
        assert (tmp_path / "torn" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert not (tmp_path / "torn" / "state.pt").exists()
