"""The contract that every model keeps, at its default settings and at small ones, and what each one alone promises."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from affetto import models, pretrained
from affetto.batch import Padded, pad
from affetto.errors import ConfigError
from affetto.models import SpeechModel

CLASSES = 7
LENGTHS = (5_000, 400, 40_000, 16_000)

TINY_WHISPER = {"name": "whisper", "outputs": [1, 2], "width": 32, "heads": 2, "inner": 64}
TINY_BERT = {"name": "speech_bert", "preset": None, "width": 32, "layers": 2, "heads": 2}
TINY_FUSION = {"name": "fusion_convbert", "width": 24, "layers": 2, "heads": 3}
SMALL = {
    "cnn small": {"name": "cnn", "dense": 16, "dropout": 0.1},
    "fusion_convbert speech_bert": {**TINY_FUSION, "encoder": TINY_BERT},
    "fusion_convbert whisper frozen": {**TINY_FUSION, "encoder": TINY_WHISPER},
    "fusion_convbert whisper trainable": {**TINY_FUSION, "encoder": {**TINY_WHISPER, "trainable": True}},
    "linear_probe small": {"name": "linear_probe", "encoder": TINY_WHISPER},
}
VARIANTS = {**{name: {"name": name} for name in models.names()}, **SMALL}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def create(variant: str, *, seed: int = 0) -> SpeechModel:
    """A new model with random weights; those that begin at zero are drawn as well, so that answers differ."""
    torch.manual_seed(seed)
    content = VARIANTS[variant]
    info = models.get(content["name"])
    model = info.create(models.parse_settings(content, source="test"), CLASSES)
    classifier = model.get_submodule("classifier")
    nn.init.normal_(classifier.weight, std=0.2)
    return model.eval()


built = cache(create)  # for tests that leave the model as it is


def waveform(n_samples: int, *, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(n_samples, generator=torch.Generator().manual_seed(seed + n_samples))


def clips(*lengths: int) -> list[Tensor]:
    return [waveform(length) for length in lengths or LENGTHS]


def test_names_are_sorted_and_lead_to_what_can_be_said_of_each():
    assert models.names() == tuple(sorted(set(models.names())))
    for name in models.names():
        info = models.get(name)
        assert info.name == name
        assert info.paper
        assert all(line and "\n" not in line for line in info.differs)


@torch.inference_mode()
@every_variant
def test_logits_have_a_row_a_clip_and_a_column_a_class(variant):
    model = built(variant)
    logits = model.listen(pad(clips()))
    assert logits.shape == (len(LENGTHS), CLASSES)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert len({tuple(row) for row in logits.tolist()}) == len(LENGTHS)  # it does hear them
    assert model.listen(pad([waveform(16_000)])).shape == (1, CLASSES)


@torch.inference_mode()
@every_variant
def test_streams_have_the_width_that_they_state(variant):
    for stream in built(variant).streams.values():
        features = stream(pad(clips(5_000, 400)))
        assert features.values.shape[2] == stream.width
        assert not features.values[~features.mask].any()


@every_variant
def test_every_trainable_parameter_gets_a_gradient_and_nothing_frozen_does(variant):
    model = create(variant).train()
    targets = torch.arange(len(LENGTHS))
    F.cross_entropy(model.listen(pad(clips())), targets).backward()
    assert any(parameter.requires_grad for parameter in model.parameters())
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert parameter.grad is None, name
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # Attention does not change when all keys move alike, so their bias has no slope but rounding.
        assert name.endswith("key.bias") or parameter.grad.abs().sum() > 0, name


@every_variant
def test_streams_hold_nothing_to_train(variant):
    model = built(variant)
    assert not any(parameter.requires_grad for parameter in model.streams.parameters())
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained <= set(model.trained_state)
    assert not any(name.startswith("streams.") for name in model.trained_state)


@torch.inference_mode()
@every_variant
def test_a_clip_in_a_batch_is_answered_as_it_is_alone(variant):
    model = built(variant)
    alone = torch.cat([model.listen(pad([clip])) for clip in clips()])
    torch.testing.assert_close(model.listen(pad(clips())), alone, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@every_variant
def test_a_clip_in_a_batch_is_answered_as_it_is_alone_in_bf16(variant):
    model = built(variant)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        alone = torch.cat([model.listen(pad([clip])) for clip in clips()])
        together = model.listen(pad(clips()))
    assert together.dtype == torch.float32
    exact = model.listen(pad(clips())).softmax(dim=-1)
    for logits in (alone, together):
        probabilities = logits.softmax(dim=-1)
        torch.testing.assert_close(probabilities, exact, atol=0.02, rtol=0)
        assert torch.equal(probabilities.argmax(dim=-1), exact.argmax(dim=-1))


@torch.inference_mode()
@settings(max_examples=30, deadline=None)
@given(variant=st.sampled_from(sorted(SMALL)), length=st.integers(400, 12_000), more=st.integers(1, 12_000))
def test_more_padding_gives_the_same_answer(variant, length, more):
    model, clip = built(variant), waveform(length)[None]
    alone = model.listen(Padded(clip, torch.tensor([length])))
    padded = model.listen(Padded(F.pad(clip, (0, more)), torch.tensor([length])))
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@every_variant
def test_a_saved_model_gives_the_same_answer(variant, tmp_path):
    model = create(variant)
    model.fit_normalisation([{name: stream(pad(clips())) for name, stream in model.streams.items()}])
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    again = create(variant, seed=1)
    before = again.listen(pad(clips(5_000)))
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    answer = model.listen(pad(clips(5_000)))
    assert torch.equal(again.listen(pad(clips(5_000))), answer)
    assert not torch.equal(before, answer)


@torch.inference_mode()
@every_variant
def test_evaluation_is_the_same_every_time_and_not_what_training_is_with_dropout(variant):
    model = create(variant)
    assert torch.equal(model.listen(pad(clips(5_000))), model.listen(pad(clips(5_000))))
    drops = any(module.p for module in model.modules() if isinstance(module, nn.Dropout))
    model.train()
    assert torch.equal(model.listen(pad(clips(5_000))), model.listen(pad(clips(5_000)))) is not drops


@every_variant
def test_settings_in_full_rebuild_the_same_settings(variant):
    parsed = models.parse_settings(VARIANTS[variant], source="test")
    assert models.parse_settings(parsed.model_dump(mode="json"), source="test") == parsed


def test_a_model_that_does_not_exist_is_refused_with_the_nearest_and_all_names():
    for name, words in {
        "cnnn": "no model is called 'cnnn'; the models are cnn, .*linear_probe.*; did you mean 'cnn'\\?",
        "resnet": "no model is called 'resnet'; the models are cnn, ",
    }.items():
        with pytest.raises(ConfigError, match=words):
            models.get(name)
    with pytest.raises(ConfigError, match="x.yaml: the setting 'name' is required; the models are cnn, "):
        models.parse_settings({"dropout": 0.5}, source="x.yaml")


# cnn


@pytest.mark.parametrize("blocks", [1, 3])  # of 128 frames
def test_the_cnns_maps_are_those_of_table_1(blocks):
    model = built("cnn")
    shapes = {}
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: shapes.update({name: output}))
        for name, module in [*model.stack.blocks.named_children(), ("stack", model.stack), ("dense", model.dense)]
    ]
    n_frames = 128 * blocks
    with torch.inference_mode():
        model.listen(pad([waveform(160 * n_frames - 1)]))
    for hook in hooks:
        hook.remove()
    assert [tuple(shapes[name].values.shape[1:]) for name in "0123"] == [
        (n_frames, 160, 64),
        (n_frames // 4, 40, 128),
        (n_frames // 16, 10, 256),
        (n_frames // 64, 2, 512),
    ]
    assert tuple(shapes["stack"].values.shape[1:]) == (n_frames // 64, 2, 512)
    assert model.dense.in_features == 512  # 1 x 1 x 512 after the last pooling, whatever time is left averaged
    assert tuple(shapes["dense"].shape) == (1, 512)


def test_the_cnn_has_as_many_parameters_as_table_1_makes():
    # 3 x 3 convolutions with bias and a gain and a bias a channel for the layer norm; dense; the classes.
    widths = (1, 64, 128, 256, 512)
    blocks = sum(9 * a * b + b + 2 * b for a, b in zip(widths, widths[1:], strict=False))
    assert blocks == 1_551_744
    assert n_parameters(built("cnn")) == blocks + 512 * 513 + 513 * CLASSES == 1_817_991


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# fusion_convbert


@torch.inference_mode()
def test_the_fusion_asks_from_the_cnns_steps_and_answers_on_them():
    model = built("fusion_convbert speech_bert")
    seen = []
    hook = model.fusion[0].register_forward_hook(lambda _layer, inputs, output: seen.append((*inputs, output)))
    model.listen(pad([waveform(160 * 256 - 1)]))  # 256 frames
    hook.remove()
    ((queries, memory, output),) = seen
    assert [part.values.shape[1] for part in (queries, memory, output)] == [4, 256, 4]
    assert model.project_cnn.in_features == 2 * 512  # eq. (5)


def test_at_the_papers_size_speech_bert_is_most_of_the_fusion():
    content = {"name": "fusion_convbert", "encoder": {"name": "speech_bert", "preset": "paper"}}
    with torch.device("meta"):
        model = models.get("fusion_convbert").create(models.parse_settings(content, source="test"), CLASSES)
    width, inner = 120, 480
    attention, feed_forward, norms = 4 * width * (width + 1), width * inner * 2 + width + inner, 4 * width
    fusion = 1024 * width + width + 768 * width + width + 3 * (attention + feed_forward + norms)
    assert n_parameters(model) == 21_388_800 + 1_551_744 + fusion + (width + 1) * CLASSES == 23_679_751


def test_a_frozen_whisper_is_a_stream_and_a_trainable_one_is_not():
    frozen, trainable = (built(f"fusion_convbert whisper {kind}") for kind in ("frozen", "trainable"))
    assert frozen.encoder is None
    assert frozen.streams["speech"].width == trainable.encoder.width == 64
    assert trainable.streams["speech"].width == 80
    with torch.inference_mode():  # with the same weights the two give the same answer
        weights = trainable.state_dict()
        for name, tensor in frozen.streams["speech"].encoder.state_dict().items():
            weights[f"encoder.{name}"] = tensor
        other = create("fusion_convbert whisper trainable", seed=1)
        other.load_state_dict({**weights, **{k: v for k, v in frozen.state_dict().items() if k in weights}})
        torch.testing.assert_close(other.listen(pad(clips())), frozen.listen(pad(clips())), atol=1e-5, rtol=1e-5)


# Pretrained parts


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"name": "linear_probe"}, "streams.speech.encoder."),
        ({**TINY_FUSION, "encoder": {"name": "whisper", "outputs": [1]}}, "streams.speech.encoder."),
        ({**TINY_FUSION, "encoder": {"name": "whisper", "outputs": [1], "trainable": True}}, "encoder."),
    ],
)
def test_pretrained_encoders_begin_with_the_shipped_weights(content, where):
    model = models.get(content["name"]).create(models.parse_settings(content, source="test"), CLASSES)
    model.load_pretrained()
    stored = load_file(pretrained.encoder_weights(None))
    filled = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(where)}
    assert filled
    for name, tensor in filled.items():
        assert torch.equal(tensor, stored[f"streams.speech.encoder.{name.removeprefix(where)}"].float())


def test_models_without_pretrained_parts_begin_as_they_were_drawn():
    for variant in ("cnn small", "fusion_convbert speech_bert"):
        model = create(variant)
        model.load_pretrained()
        drawn = create(variant).state_dict()
        assert all(torch.equal(tensor, drawn[name]) for name, tensor in model.state_dict().items())


# linear_probe


def test_a_new_probe_has_no_opinion():
    content = VARIANTS["linear_probe small"]
    model = models.get("linear_probe").create(models.parse_settings(content, source="test"), CLASSES)
    assert not model.listen(pad(clips(5_000, 16_000))).any()


@torch.inference_mode()
def test_the_probe_is_linear_in_standardised_mean_states():
    model = create("linear_probe small")
    states = torch.cat([model.streams["speech"](pad([clip])).values[:, 0] for clip in clips()])
    model.fit_normalisation({"speech": Padded(part[:, None], torch.ones(2))} for part in states.split(2))
    z = (states - states.mean(dim=0)) / states.std(dim=0, correction=0)
    logits = z @ model.classifier.weight.T + model.classifier.bias
    torch.testing.assert_close(model.listen(pad(clips())), logits, atol=1e-4, rtol=0)
