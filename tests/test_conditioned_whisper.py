"""Conditioned layers on Whisper's states beside their equation, written out in numpy; missing sides; training."""

import numpy as np
import pytest
import torch
import yaml

from affetto import corpora, experiment, models
from affetto.batch import pad
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.errors import ConfigError

WHISPER = {"outputs": [1, 2], "width": 16, "heads": 2, "inner": 16}
WORDS = {"width": 8, "layers": 1, "heads": 1, "inner": 8, "vocabulary": 64}


def create(**settings):
    content = {"name": "conditioned_whisper", "encoder": WHISPER, "words": WORDS, "width": 12, **settings}
    torch.manual_seed(0)
    model = models.get(content["name"]).create(models.parse_settings(content, source="test"), 3).eval()
    generator = torch.Generator().manual_seed(2)
    states = [torch.randn(length, 32, generator=generator) + 3 for length in (9, 4, 1)]
    streams = {"speech": pad(states), "words": pad([torch.randn(1, 8, generator=generator) for _ in states])}
    model.fit_normalisation([streams])
    return model, streams


def by_hand(model, states, embedding):
    """Logits (3,) of states (T, 32) and an embedding (8,)."""
    w = {name: tensor.detach().double().numpy() for name, tensor in model.trained_state.items()}
    x = (states - w["standardize.mean"]) / w["standardize.deviation"]
    for n in range(model.settings.stages):
        x = np.maximum(x @ w[f"layers.{n}.weight"].T + w[f"layers.{n}.bias"], 0)
        x = x + w[f"projections.{n}.weight"] @ embedding + w[f"projections.{n}.bias"]
    return w["classifier.weight"] @ (x.max(axis=0) + x.mean(axis=0)) + w["classifier.bias"]


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_its_answers_are_those_of_the_equation(stages):
    model, streams = create(stages=stages)
    clips = zip(streams["speech"].unbind(), streams["words"].values[:, 0], strict=True)
    expected = [by_hand(model, states.double().numpy(), e.double().numpy()) for states, e in clips]
    np.testing.assert_allclose(model(streams).detach().numpy(), np.stack(expected), atol=1e-5)


def test_states_are_standardised_by_what_is_real():
    model, streams = create()
    frames = torch.cat(streams["speech"].unbind()).numpy()
    np.testing.assert_allclose(model.standardize.mean, frames.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(model.standardize.deviation, frames.std(axis=0), atol=1e-6)


@torch.inference_mode()
@pytest.mark.parametrize("stages", [1, 3])
def test_a_clip_that_one_side_is_dropped_of_is_answered_as_one_that_lacks_it(stages, monkeypatch):
    model, streams = create(stages=stages, modality_dropout={"words": 0.3, "voice": 0.3})
    whole, voices, words = model(streams), model({"speech": streams["speech"]}), model({"words": streams["words"]})
    drawn = torch.tensor([True, False, True]), torch.tensor([True, True, False])
    monkeypatch.setattr(model.modality_dropout, "forward", lambda _streams: drawn)
    expected = torch.stack([whole[0], words[1], voices[2]])
    torch.testing.assert_close(model(streams), expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(whole, expected, atol=1e-3)


@torch.inference_mode()
def test_how_long_a_recording_is_belongs_to_the_voice_that_is_dropped(monkeypatch):
    """In training, too, where units are dropped: a maximum over more moments would be larger."""
    model, streams = create(modality_dropout={"words": 0.3, "voice": 0.3}, dropout=0.5)
    words = streams["words"].values[:1].expand(2000, -1, -1)
    clips = {"speech": pad([torch.zeros(n, 32) for n in (1, 60)] * 1000), "words": pad(list(words))}
    silent, spoken = torch.zeros(2000, dtype=torch.bool), torch.ones(2000, dtype=torch.bool)
    monkeypatch.setattr(model.modality_dropout, "forward", lambda _streams: (silent, spoken))
    logits = model.train()(clips)
    short, long = logits[::2], logits[1::2]
    error = (short.var(dim=0) / 500).sqrt()
    assert ((short.mean(dim=0) - long.mean(dim=0)).abs() < 5 * error).all()
    monkeypatch.setattr(model.modality_dropout, "forward", lambda _streams: (spoken, spoken))
    logits = model(clips)
    assert ((logits[::2].mean(dim=0) - logits[1::2].mean(dim=0)).abs() > 10 * error).any()


@torch.inference_mode()
@pytest.mark.parametrize("stages", [1, 2])
def test_with_one_stage_words_and_voice_meet_in_the_last_layer_alone(stages):
    """What other words change does then not depend on the voice."""
    model, streams = create(stages=stages)
    turned = {**streams, "words": pad(list(streams["words"].values.flip(0)))}
    other = {"speech": pad(list(torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(3))))}
    change, change_there = model(turned) - model(streams), model({**turned, **other}) - model({**streams, **other})
    assert torch.allclose(change, change_there, atol=1e-5) == (stages == 1)


@pytest.mark.parametrize("name", ["encoder", "words"])
def test_what_would_train_an_encoder_is_refused(name):
    with pytest.raises(ConfigError, match=f"is frozen, got {name}.trainable true"):
        create(**{name: {**{"encoder": WHISPER, "words": WORDS}[name], "trainable": True}})


def test_trained_on_cached_states_it_tells_apart_what_is_said(spoken, tiny_bert, tmp_path):
    content = {
        "name": "x",
        "corpus": "table",
        "protocol": "speaker-4fold",
        "model": {"name": "conditioned_whisper", "encoder": {"outputs": [1]}, "words": tiny_bert},
        "training": {"epochs": 20, "batch_size": 16, "learning_rate": 0.003},
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    settings, corpus = experiment.read_one(tmp_path / "x.yaml"), corpora.read("table", spoken)
    bench = Bench.prepare(settings, corpus, cache=FeatureCache(tmp_path), device=torch.device("cpu"), precision="fp32")
    rows = {
        name: [i for i, speaker in enumerate(corpus.table["speaker"]) if speaker == name] for name in ("ann", "ben")
    }
    [(model, history)] = bench.train(settings, rows["ann"], rows["ben"], seed=0)
    assert history.epochs[-1].loss < 0.5 * history.epochs[0].loss
    waveform = pad([0.1 * torch.randn(16_000)])
    with torch.inference_mode():
        assert not torch.allclose(
            model.listen(waveform, ["leave me"]), model.listen(waveform, ["what a day"]), atol=1e-3
        )
