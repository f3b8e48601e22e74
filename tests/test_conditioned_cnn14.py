"""The second paper's fusion beside its equations, written out here; sizes; stages."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from affetto import corpora, experiment, models
from affetto.batch import Padded, pad
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.errors import ConfigError
from affetto.models import SpeechModel
from affetto.models.modalities import ModalityDropout, ModalityDropoutSettings

WORDS = {"width": 8, "layers": 1, "heads": 1, "inner": 8, "vocabulary": 64}
ALL = (1, 2, 3, 4, 5, 6)


def create(**settings) -> SpeechModel:
    """A small network whose weights, statistics of batch norms included, are far from where they begin."""
    content = {"name": "conditioned_cnn14", "encoder": {"width": 2}, "words": WORDS, **settings}
    model = models.get(content["name"]).create(models.parse_settings(content, source="test"), 4)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.trained_state.items():
        if tensor.is_floating_point():
            drawn = 0.3 * torch.randn(tensor.shape, generator=generator)
            tensor.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return model.eval()


def heard(lengths: Sequence[int] = (70,)) -> dict[str, Padded]:
    """Random log-mel frames and embeddings of clips."""
    generator = torch.Generator().manual_seed(1)
    frames = [torch.randn(length, 64, generator=generator) for length in lengths]
    embeddings = [torch.randn(1, 8, generator=generator) for _ in lengths]
    return {"log_mel": pad(frames), "words": pad(embeddings)}


def by_hand(state: dict[str, Tensor], frames: Tensor, e: Tensor, *, stages, pre_relu=False, proj_relu=False) -> Tensor:
    """Logits (1, 4) of one clip's frames (T, 64) and embedding (8,), by equations (1) to (5) and PANNs' CNN14."""

    def bn(x: Tensor, name: str) -> Tensor:
        mean, var, gain, bias = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt() * gain[:, None, None] + bias[
            :, None, None
        ]

    x = bn(frames.T[None, :, :, None], "encoder.bn0").permute(0, 3, 2, 1)  # (1, 1, T, 64)
    for number in ALL:
        block = f"encoder.blocks.{number - 1}"
        h1 = F.relu(bn(F.conv2d(x, state[f"{block}.conv1.weight"], padding=1), f"{block}.bn1"))  # (1)
        h2 = bn(F.conv2d(h1, state[f"{block}.conv2.weight"], padding=1), f"{block}.bn2")
        shift = torch.zeros(())
        if number in stages:
            w, b = (state[f"projections.{number}.{kind}"] for kind in ("weight", "bias"))
            shift = (w @ e + b)[:, None, None]  # (5)
            shift = F.relu(shift) if proj_relu else shift
        y = F.relu(h2 + shift) if pre_relu else F.relu(h2) + shift  # (2), (3)
        x = F.avg_pool2d(y, 2) if number < 6 else y  # (4)
    steps = x.mean(dim=3)  # over frequency
    pooled = steps.amax(dim=2) + steps.mean(dim=2)
    hidden = F.relu(F.linear(pooled, state["encoder.fc1.weight"], state["encoder.fc1.bias"]))
    return F.linear(hidden, state["classifier.weight"], state["classifier.bias"])


@torch.inference_mode()
@pytest.mark.parametrize("stages", [ALL, (6,), (1,), (2, 5)])
@pytest.mark.parametrize("shift_position", ["post_relu", "pre_relu"])
@pytest.mark.parametrize("proj_activation", ["none", "relu"])
def test_its_answers_are_those_of_the_equations(stages, shift_position, proj_activation):
    model = create(stages=stages, shift_position=shift_position, proj_activation=proj_activation)
    streams = heard((70, 40, 96))
    state = model.trained_state
    ways = {"pre_relu": shift_position == "pre_relu", "proj_relu": proj_activation == "relu"}
    clips = zip(streams["log_mel"].unbind(), streams["words"].values[:, 0], strict=True)
    expected = torch.cat([by_hand(state, frames, e, stages=stages, **ways) for frames, e in clips])
    torch.testing.assert_close(model(streams), expected, atol=1e-5, rtol=1e-5)
    without = by_hand(state, streams["log_mel"].unbind()[0], streams["words"].values[0, 0], stages=())
    assert not torch.allclose(expected[:1], without, atol=1e-3)


@pytest.mark.parametrize(("stages", "parameters"), [(ALL, 3_100_608), ((6,), 1_574_912), ((1, 2), 769 * (64 + 128))])
def test_projections_of_berts_embeddings_have_the_papers_size(stages, parameters):
    content = {"name": "conditioned_cnn14", "stages": stages, "words": {**WORDS, "width": 768}}
    with torch.device("meta"):
        model = models.get("conditioned_cnn14").create(models.parse_settings(content, source="test"), 4)
    assert n_parameters(model.projections) == parameters
    assert n_parameters(model) - n_parameters(model.streams) == 79_681_988 + parameters
    assert {name: (p.in_features, p.out_features) for name, p in model.projections.items()} == {
        str(stage): (768, 64 * 2 ** (stage - 1)) for stage in stages
    }


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.inference_mode()
def test_projections_of_zero_leave_cnn14():
    model = create()
    for parameter in model.projections.parameters():
        parameter.zero_()
    content = {"name": "cnn14", "encoder": {"width": 2}}
    alone = models.get("cnn14").create(models.parse_settings(content, source="test"), 4).eval()
    state = model.trained_state
    alone.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("projections.")})
    streams = heard((70, 33))
    assert torch.equal(model(streams), alone({"log_mel": streams["log_mel"]}))


@torch.inference_mode()
def test_single_stage_fusion_adds_twice_its_projection_after_the_pooling():
    model = create(stages=[6])
    seen: list[Tensor] = []
    hook = model.encoder.fc1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    streams = heard((70, 100))
    model(streams)
    shift = model.projections["6"](streams["words"].values[:, 0])
    model.projections["6"].weight.zero_()
    model.projections["6"].bias.zero_()
    model(streams)
    hook.remove()
    torch.testing.assert_close(seen[0], seen[1] + 2 * shift, atol=1e-5, rtol=1e-5)


def test_the_embeddings_width_is_that_of_the_words():
    for width in (8, 12):
        model = create(words={**WORDS, "width": width})
        assert {projection.in_features for projection in model.projections.values()} == {width}


def test_projections_begin_as_the_rest_does():
    content = {"name": "conditioned_cnn14", "encoder": {"width": 2}, "words": WORDS}
    model = models.get("conditioned_cnn14").create(models.parse_settings(content, source="test"), 4)
    for projection in model.projections.values():
        bound = (6 / (projection.in_features + projection.out_features)) ** 0.5
        assert 0.5 * bound < projection.weight.abs().max() <= bound
        assert not projection.bias.any()


@pytest.mark.parametrize("stages", [[], [0], [7], [2, 1], [3, 3]])
def test_stages_that_are_no_blocks_are_refused(stages):
    with pytest.raises(ConfigError, match="stages are numbers of blocks from 1 to 6, each once and in order, got"):
        create(stages=stages)


def test_words_are_never_trained():
    with pytest.raises(ConfigError, match="the words' encoder is frozen, got words.trainable true"):
        create(words={**WORDS, "trainable": True})


# Modality drop-out

GAINS = ("weight", "bias")
DROPPING = {"words": 0.3, "voice": 0.3}


@torch.inference_mode()
@pytest.mark.parametrize("shift_position", ["post_relu", "pre_relu"])
def test_without_words_it_is_cnn14_and_without_a_voice_it_hears_shifts_alone(shift_position):
    stages = (2, 5)
    model = create(stages=stages, shift_position=shift_position, modality_dropout=DROPPING)
    assert model.optional == {"sound", "words"}
    streams, state = heard((70, 40, 96)), model.trained_state
    frames, embeddings = streams["log_mel"], streams["words"].values[:, 0]
    pre_relu = shift_position == "pre_relu"

    without_words = model({"log_mel": frames})
    expected = [by_hand(state, clip, embeddings[0], stages=()) for clip in frames.unbind()]
    torch.testing.assert_close(without_words, torch.cat(expected), atol=1e-5, rtol=1e-5)

    # 32 frames whose maps before the first shift, in block 2, are made zero by that block's last batch norm.
    zero = {f"encoder.blocks.1.bn2.{name}": torch.zeros_like(state["encoder.blocks.1.bn2.bias"]) for name in GAINS}
    expected = [
        by_hand({**state, **zero}, frames.values[0, :32], e, stages=stages, pre_relu=pre_relu) for e in embeddings
    ]
    torch.testing.assert_close(model({"words": streams["words"]}), torch.cat(expected), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("stages", [ALL, (6,), (2, 5)])
@pytest.mark.parametrize("proj_activation", ["none", "relu"])
def test_a_clip_that_one_side_is_dropped_of_is_answered_as_one_that_lacks_it(stages, proj_activation, monkeypatch):
    model = create(stages=stages, proj_activation=proj_activation, modality_dropout=DROPPING)
    streams = heard((70, 40, 96))
    whole, voices, words = model(streams), model({"log_mel": streams["log_mel"]}), model({"words": streams["words"]})
    drawn = torch.tensor([True, False, True]), torch.tensor([True, True, False])
    monkeypatch.setattr(model.modality_dropout, "forward", lambda _streams: drawn)
    expected = torch.stack([whole[0], words[1], voices[2]])
    torch.testing.assert_close(model(streams), expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(whole, expected, atol=1e-3)


def test_what_is_never_dropped_changes_nothing_and_draws_nothing():
    for stated in ({}, {"modality_dropout": {"words": 0.0, "voice": 0.0}}):
        model = create(encoder={"width": 2, "dropout": 0.5}, **stated).train()
        assert model.optional == frozenset()
        streams = heard((70, 40))
        torch.manual_seed(0)
        answer = model(streams)
        torch.manual_seed(0)
        shifts = {int(n): each(streams["words"].values[:, 0]) for n, each in model.projections.items()}
        assert torch.equal(answer, model.classifier(model.encoder(streams["log_mel"], shifts)))


def test_sides_are_dropped_as_often_as_asked_and_never_both():
    dropout = ModalityDropout(ModalityDropoutSettings(words=0.3, voice=0.2))
    streams = {"words": Padded(torch.zeros(20_000, 1, 1), torch.ones(20_000, dtype=torch.int64))}
    torch.manual_seed(0)
    voiced, worded = dropout(streams)
    assert voiced.float().mean().item() == pytest.approx(0.8, abs=0.015)  # five standard errors
    assert worded.float().mean().item() == pytest.approx(0.7, abs=0.017)
    assert (voiced | worded).all()
    assert dropout.eval()(streams) == (None, None)
    only_words, nobody = ModalityDropout(ModalityDropoutSettings(words=0.5)), ModalityDropout(ModalityDropoutSettings())
    assert only_words(streams)[0] is None
    assert nobody(streams) == (None, None)


def test_a_dropped_side_gets_no_gradient(monkeypatch):
    model = create(stages=(2, 5), modality_dropout=DROPPING).train()
    for voice, words in ((False, True), (True, False)):
        model.zero_grad()
        drawn = torch.full((2,), voice), torch.full((2,), words)
        monkeypatch.setattr(model.modality_dropout, "forward", lambda _streams, drawn=drawn: drawn)
        model(heard((70, 40)))[:, 0].sum().backward()
        slopes = {name: bool(p.grad.any()) for name, p in model.named_parameters() if p.grad is not None}
        assert slopes["projections.2.weight"] == slopes["projections.5.bias"] == words
        assert slopes["encoder.blocks.0.conv1.weight"] == slopes["encoder.blocks.1.bn2.weight"] == voice
        assert slopes["encoder.blocks.2.conv1.weight"]
        assert slopes["classifier.weight"]


def test_shares_that_leave_no_clip_whole_are_refused():
    with pytest.raises(ConfigError, match=r"leave no clip whole: 0.5 \+ 0.5 is not below 1"):
        create(modality_dropout={"words": 0.5, "voice": 0.5})


# In training


class KilledError(Exception):
    pass


def killed(what, done, total):
    """A listener to progress that ends the run after its second epoch."""
    if (what, done) == ("epochs", 2):
        raise KilledError


@pytest.mark.parametrize("dropping", [{}, DROPPING])
def test_trained_by_the_papers_recipe_and_interrupted_it_ends_as_if_it_had_not_been(
    spoken, tiny_bert, dropping, tmp_path
):
    """Of two clips that sound alike, it tells apart what is said; BERT stays as it was."""
    content = {
        "name": "x",
        "corpus": "table",
        "protocol": "speaker-4fold",
        "model": {
            "name": "conditioned_cnn14",
            "encoder": {"width": 2},
            "words": tiny_bert,
            "modality_dropout": dropping,
        },
        "training": {
            "epochs": 4,
            "batch_size": 16,
            "crop": 1.2,  # which some clips are shorter than
            "optimizer": "sgd",
            "learning_rate": 0.01,
            "schedule": "constant",
            "warmup": 0.0,
            "clip": None,
        },
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    settings, corpus = experiment.read_one(tmp_path / "x.yaml"), corpora.read("table", spoken)
    cpu = torch.device("cpu")
    bench = Bench.prepare(settings, corpus, cache=FeatureCache(tmp_path), device=cpu, precision="fp32")
    rows = {
        name: [i for i, speaker in enumerate(corpus.table["speaker"]) if speaker == name] for name in ("ann", "ben")
    }
    [(whole, history)] = bench.train(settings, rows["ann"], rows["ben"], seed=0)
    assert history.epochs[-1].loss < history.epochs[0].loss
    with pytest.raises(KilledError):
        bench.train(settings, rows["ann"], rows["ben"], seed=0, folder=tmp_path, progress=killed)
    [(torn, history_torn)] = bench.train(settings, rows["ann"], rows["ben"], seed=0, folder=tmp_path)
    assert history_torn == history
    state = torn.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in whole.state_dict().items())

    fresh = models.get("conditioned_cnn14").create(settings.model, 3)
    fresh.load_pretrained()
    bert = fresh.streams["words"].encoder.state_dict()
    assert all(torch.equal(tensor, state[f"streams.words.encoder.{name}"]) for name, tensor in bert.items())
    waveform = pad([0.1 * torch.randn(16_000)])
    with torch.inference_mode():
        assert not torch.allclose(torn.listen(waveform, ["leave me"]), torn.listen(waveform, ["what a day"]), atol=1e-3)
