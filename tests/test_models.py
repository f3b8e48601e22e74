"""The contract that every model keeps, at its default settings and at small ones, and what each one alone promises."""

from functools import cache

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers.implementations import BertWordPieceTokenizer
from torch import Tensor, nn

from affetto import models, pretrained
from affetto.batch import FRAMES, Padded, pad
from affetto.encoders.text_bert import Tokens
from affetto.errors import ConfigError
from affetto.models import SpeechModel, sense

CLASSES = 7
LENGTHS = (5_000, 400, 40_000, 16_000)

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789',!"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
TOKENIZER = BertWordPieceTokenizer(vocab={piece: i for i, piece in enumerate(PIECES)}).to_str().encode()
TINY_WHISPER = {"name": "whisper", "outputs": [1, 2], "width": 32, "heads": 2, "inner": 64}
TINY_BERT = {"name": "speech_bert", "preset": None, "width": 32, "layers": 2, "heads": 2}
TINY_TEXT = {"width": 32, "layers": 2, "heads": 2, "inner": 64, "positions": 64, "max_tokens": 48}
TINY_CONDITIONED = {"name": "conditioned_cnn14", "encoder": {"width": 4}, "words": TINY_TEXT}
TINY_CONDITIONED_WHISPER = {"name": "conditioned_whisper", "encoder": TINY_WHISPER, "words": TINY_TEXT, "width": 24}
TINY_FUSION = {"name": "fusion_convbert", "width": 24, "layers": 2, "heads": 3}
TINY_TRANSFORMER = {"name": "speech_bert", "width": 24, "layers": 2, "heads": 3}
SMALL = {
    "acrnn small": {
        "name": "acrnn",
        "convolutions": 2,
        "first_maps": 8,
        "maps": 16,
        "linear": 24,
        "cells": 8,
        "dense": 16,
        "dropout": 0.1,
    },
    "bert first": {"name": "bert", "encoder": {**TINY_TEXT, "trainable": True}, "pooling": "first"},
    "bert small": {"name": "bert", "encoder": TINY_TEXT},
    "bert trainable": {"name": "bert", "encoder": {**TINY_TEXT, "trainable": True}},
    "bert without special tokens": {
        "name": "bert",
        "encoder": {**TINY_TEXT, "trainable": True, "special_tokens": False},
        "dropout": 0.0,
    },
    "cnn clip norm": {"name": "cnn", "dense": 16, "conv_norm": "clip"},
    "cnn mockingjay": {"name": "cnn", "front_end": "mockingjay160", "dense": 16, "swish": "trainable"},
    "cnn small": {"name": "cnn", "dense": 16, "dropout": 0.1},
    "cnn training statistics": {"name": "cnn", "dense": 16, "statistics": "training"},
    "cnn14 small": {"name": "cnn14", "encoder": {"width": 4}},
    "conditioned_cnn14 modality dropout": {**TINY_CONDITIONED, "modality_dropout": {"words": 0.3, "voice": 0.2}},
    "conditioned_cnn14 pre_relu": {**TINY_CONDITIONED, "stages": [2, 5], "shift_position": "pre_relu"},
    "conditioned_cnn14 single stage": {**TINY_CONDITIONED, "stages": [6], "proj_activation": "relu"},
    "conditioned_cnn14 small": TINY_CONDITIONED,
    "conditioned_whisper modality dropout": {
        **TINY_CONDITIONED_WHISPER,
        "modality_dropout": {"words": 0.3, "voice": 0.2},
    },
    "conditioned_whisper single stage": {**TINY_CONDITIONED_WHISPER, "stages": 1},
    "conditioned_whisper small": TINY_CONDITIONED_WHISPER,
    "fusion_convbert concatenation": {**TINY_FUSION, "encoder": TINY_BERT, "arrangement": "concatenation"},
    "fusion_convbert equation_10": {**TINY_FUSION, "encoder": TINY_BERT, "arrangement": "equation_10"},
    "fusion_convbert robust_cnn": {**TINY_FUSION, "encoder": TINY_BERT, "arrangement": "robust_cnn"},
    "fusion_convbert speech_bert": {**TINY_FUSION, "encoder": TINY_BERT},
    "fusion_convbert speech_bert frozen": {
        **TINY_FUSION,
        "encoder": {**TINY_BERT, "trainable": False},
        "swish": "trainable",
    },
    "fusion_convbert whisper equation_10": {**TINY_FUSION, "encoder": TINY_WHISPER, "arrangement": "equation_10"},
    "fusion_convbert whisper frozen": {**TINY_FUSION, "encoder": TINY_WHISPER},
    "fusion_convbert whisper trainable": {**TINY_FUSION, "encoder": {**TINY_WHISPER, "trainable": True}},
    "late_fusion dimensions": {
        "name": "late_fusion",
        "of": [{"name": "cnn", "dense": 16}, {"name": "bert", "encoder": {**TINY_TEXT, "trainable": True}}],
        "gives": "dimensions",
    },
    "late_fusion probabilities": {
        "name": "late_fusion",
        "of": [{"name": "bert", "encoder": TINY_TEXT}, {"name": "linear_probe", "encoder": TINY_WHISPER}],
    },
    "linear_probe baseline": {
        "name": "linear_probe",
        "encoder": TINY_WHISPER,
        "pooling": "loud_mean",
        "levelled": True,
        "baseline": True,
    },
    "linear_probe small": {"name": "linear_probe", "encoder": TINY_WHISPER},
    "speech_bert frozen": {**TINY_TRANSFORMER, "encoder": {**TINY_BERT, "trainable": False}},
    "speech_bert small": {**TINY_TRANSFORMER, "encoder": TINY_BERT},
}
# At its default, late fusion is two of the others side by side, and larger than either.
VARIANTS = {**{name: {"name": name} for name in models.names() if name != "late_fusion"}, **SMALL}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def create(variant: str, *, seed: int = 0) -> SpeechModel:
    """A new model with random weights; those that begin at zero are drawn as well, so that answers differ."""
    torch.manual_seed(seed)
    content = VARIANTS[variant]
    info = models.get(content["name"])
    model = info.create(models.parse_settings(content, source="test"), CLASSES)
    for module in model.streams.modules():
        if isinstance(module, Tokens):
            module.read(TOKENIZER)
    for name, module in model.named_modules():
        if name.endswith("classifier"):
            nn.init.normal_(module.weight, std=0.2)
    return model.eval()


built = cache(create)  # for tests that leave the model as it is


def waveform(n_samples: int, *, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(n_samples, generator=torch.Generator().manual_seed(seed + n_samples))


def words(*lengths: int) -> list[str]:
    """What is said in clips of these lengths; in the shortest nothing."""
    said = {400: "", 5_000: "Good morning!", 16_000: "Why, I never knew", 40_000: "to be or not to be, that is it"}
    return [said.get(length, f"some {length} words") for length in lengths or LENGTHS]


def clips(*lengths: int) -> list[Tensor]:
    return [waveform(length) for length in lengths or LENGTHS]


def listen(model: SpeechModel, *lengths: int) -> Tensor:
    """Logits of clips of these lengths with their words."""
    return model.listen(pad(clips(*lengths)), words(*lengths))


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
    logits = listen(model)
    assert logits.shape == (len(LENGTHS), CLASSES)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert len({tuple(row) for row in logits.tolist()}) == len(LENGTHS)  # it does hear them
    assert listen(model, 16_000).shape == (1, CLASSES)


@torch.inference_mode()
@every_variant
def test_streams_have_the_width_that_they_state(variant):
    for stream in built(variant).streams.values():
        features = stream(words(5_000, 400) if sense(stream) == "words" else pad(clips(5_000, 400)))
        assert features.values.shape[2] == stream.width
        assert not features.values[~features.mask].any()


@every_variant
def test_every_trainable_parameter_gets_a_gradient_and_nothing_frozen_does(variant):
    model = create(variant).train()
    targets = torch.arange(len(LENGTHS))
    F.cross_entropy(listen(model), targets).backward()
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
    alone = torch.cat([listen(model, length) for length in LENGTHS])
    torch.testing.assert_close(listen(model), alone, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@every_variant
def test_a_clip_in_a_batch_is_answered_as_it_is_alone_in_bf16(variant):
    model = built(variant)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        alone = torch.cat([listen(model, length) for length in LENGTHS])
        together = listen(model)
    assert together.dtype == torch.float32
    exact = listen(model).softmax(dim=-1)
    for logits in (alone, together):
        probabilities = logits.softmax(dim=-1)
        torch.testing.assert_close(probabilities, exact, atol=0.02, rtol=0)
        assert torch.equal(probabilities.argmax(dim=-1), exact.argmax(dim=-1))


@torch.inference_mode()
@settings(max_examples=30, deadline=None)
@given(variant=st.sampled_from(sorted(SMALL)), length=st.integers(400, 12_000), more=st.integers(1, 12_000))
def test_more_padding_gives_the_same_answer(variant, length, more):
    model, clip = built(variant), waveform(length)[None]
    alone = model.listen(Padded(clip, torch.tensor([length])), words(length))
    padded = model.listen(Padded(F.pad(clip, (0, more)), torch.tensor([length])), words(length))
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@every_variant
def test_streams_padded_further_as_on_cuda_give_the_same_answer(variant):
    model, lengths = built(variant), (5_000, 16_000)
    given = {"sound": pad(clips(*lengths)), "words": words(*lengths)}
    streams = {name: stream(given[sense(stream)]) for name, stream in model.streams.items()}
    longer = {name: stream.extended(FRAMES) for name, stream in streams.items()}
    torch.testing.assert_close(model(longer), model(streams), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@every_variant
def test_a_saved_model_gives_the_same_answer(variant, tmp_path):
    model = create(variant)
    given = {"sound": pad(clips()), "words": words()}
    model.fit_normalisation([{name: stream(given[sense(stream)]) for name, stream in model.streams.items()}])
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    again = create(variant, seed=1)
    before = listen(again, 5_000)
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    answer = listen(model, 5_000)
    assert torch.equal(listen(again, 5_000), answer)
    assert not torch.equal(before, answer)


@torch.inference_mode()
@every_variant
def test_evaluation_is_the_same_every_time_and_not_what_training_is_with_dropout(variant):
    model = create(variant)
    assert torch.equal(listen(model, 5_000), listen(model, 5_000))
    drops = any(module.p for module in model.modules() if isinstance(module, nn.Dropout))
    model.train()
    assert torch.equal(listen(model, 5_000), listen(model, 5_000)) is not drops


@every_variant
def test_a_model_is_given_what_its_settings_say(variant):
    assert models.parse_settings(VARIANTS[variant], source="test").hears_words == ("words" in built(variant).senses)


@torch.inference_mode()
@every_variant
def test_a_model_that_hears_words_listens_to_them(variant):
    model = built(variant)
    others = listen(model, 16_000) - model.listen(pad(clips(16_000)), ["Because it rained"])
    assert others.any() == ("words" in model.senses)


@torch.inference_mode()
@every_variant
def test_a_model_answers_without_what_it_says_that_it_can_do_without(variant):
    model = built(variant)
    assert model.optional <= model.senses
    for missing in ("sound", "words"):
        given = [None if missing == "sound" else pad(clips()), None if missing == "words" else words()]
        if missing in model.senses - model.optional:
            with pytest.raises(AssertionError, match="hears"):
                model.listen(*given)
        elif missing in model.optional:
            alone = model.listen(*given)
            assert alone.isfinite().all()
            assert not torch.allclose(alone, listen(model), atol=1e-3)


@every_variant
def test_settings_in_full_rebuild_the_same_settings(variant):
    parsed = models.parse_settings(VARIANTS[variant], source="test")
    assert models.parse_settings(parsed.model_dump(mode="json"), source="test") == parsed


def test_a_model_that_does_not_exist_is_refused_with_the_nearest_and_all_names():
    for name, words in {
        "cnnn": "no model is called 'cnnn'; the models are acrnn, .*cnn, .*linear_probe.*; did you mean 'cnn'\\?",
        "resnet": "no model is called 'resnet'; the models are acrnn, ",
    }.items():
        with pytest.raises(ConfigError, match=words):
            models.get(name)
    with pytest.raises(ConfigError, match="x.yaml: the setting 'name' is required; the models are acrnn, "):
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


def test_a_trainable_swish_is_one_number_more_a_block():
    content = {"name": "cnn", "swish": "trainable"}
    trainable = models.get("cnn").create(models.parse_settings(content, source="test"), CLASSES)
    assert n_parameters(trainable) == n_parameters(built("cnn")) + 4


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"name": "cnn", "front_end": "whisper80"}, "the CNN's poolings take 128 features or more, got 80"),
        (
            {"name": "fusion_convbert", "front_end": {"n_mels": 40}},
            "the CNN's poolings take 64 features or more, got 40",
        ),
        (
            {"name": "fusion_convbert", "front_end": "whisper80"},
            "encoder.inputs is 160, but the front end gives 80 features",
        ),
        (
            {"name": "speech_bert", "front_end": "whisper80"},
            "encoder.inputs is 160, but the front end gives 80 features",
        ),
        ({"name": "speech_bert", "heads": 7}, "heads must divide width, got 7 heads on width 120"),
        ({"name": "speech_bert", "encoder": {"heads": 7}}, "heads must divide width, got 7 heads on width 256"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(content, words):
    with pytest.raises(ConfigError, match=words):
        models.parse_settings(content, source="test")


# late_fusion


@torch.inference_mode()
@pytest.mark.parametrize("variant", ["late_fusion dimensions", "late_fusion probabilities"])
def test_late_fusion_is_the_mean_of_what_its_models_answer(variant):
    settings = models.parse_settings(VARIANTS[variant], source="test")
    trained = []
    for seed, each in enumerate(settings.of, start=5):
        torch.manual_seed(seed)
        model = models.get(each.name).create(each, CLASSES).eval()
        for tokens in (module for module in model.streams.modules() if isinstance(module, Tokens)):
            tokens.read(TOKENIZER)
        nn.init.normal_(model.classifier.weight, std=0.2)
        trained.append(model)
    fused = create(variant)
    fused.take(trained)
    answers = [listen(model) for model in trained]
    if settings.gives == "dimensions":
        torch.testing.assert_close(listen(fused), sum(answers) / 2, atol=1e-6, rtol=0)
    else:
        mean = sum(answer.softmax(dim=1) for answer in answers) / 2
        torch.testing.assert_close(listen(fused).softmax(dim=1), mean, atol=1e-6, rtol=0)


# acrnn


@torch.inference_mode()
def test_the_acrnn_hears_three_orders_and_pools_once_by_two_frames_and_four_bands():
    model = built("acrnn")
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _module, inputs, output, name=name: seen.update({name: (*inputs, output)}))
        for name, module in [*model.convolutions.named_children(), ("linear", model.linear), ("att", model.attention)]
    ]
    model.listen(pad([waveform(160 * 101 - 1), waveform(160 * 41 - 1)]))  # 101 and 41 frames
    for hook in hooks:
        hook.remove()
    assert list(seen) == ["0", "1", "2", "3", "4", "linear", "att"]
    assert tuple(seen["0"][0].values.shape) == (2, 101, 40, 3)
    assert tuple(seen["0"][1].values.shape) == (2, 101, 40, 128)
    assert tuple(seen["1"][0].values.shape) == (2, 51, 10, 128)
    assert tuple(seen["4"][1].values.shape) == (2, 51, 10, 256)
    assert seen["4"][1].lengths.tolist() == [51, 21]
    assert tuple(seen["linear"][0].shape) == (51 + 21, 2560)  # real steps alone
    assert tuple(seen["linear"][1].shape) == (51 + 21, 768)
    assert tuple(seen["att"][0].values.shape) == (2, 51, 256)
    assert tuple(seen["att"][1].shape) == (2, 256)


def test_the_acrnns_second_and_third_order_are_derivatives_of_the_first():
    # Before each is standardised over the utterance, which moves and scales it alone.
    model = built("acrnn")
    frames = model.streams["log_mel"](pad([waveform(16_000)])).values[0].double().numpy()
    static, *derivatives = np.split(frames, 3, axis=1)
    for order, derivative in enumerate(derivatives, start=1):
        witness = scipy.signal.savgol_filter(static, 9, deriv=order, polyorder=order, axis=0)[4:-4]
        for ours, theirs in zip(derivative[4:-4].T, witness.T, strict=True):
            assert np.corrcoef(ours, theirs)[0, 1] > 0.9999


def test_the_acrnn_has_as_many_parameters_as_the_letters_sizes_make():
    convolutions = 15 * 3 * 128 + 128 + 15 * 128 * 256 + 256 + 3 * (15 * 256 * 256 + 256)
    recurrent = 2 * 4 * 128 * (768 + 128 + 2)  # two directions of four gates; PyTorch has two biases
    dense = 256 * 64 + 64 + 64 * CLASSES + CLASSES
    assert n_parameters(built("acrnn")) == convolutions + 2560 * 768 + 2 * 768 + recurrent + 256 + dense


def test_in_training_the_acrnns_batch_norm_knows_no_padding():
    content = {**VARIANTS["acrnn small"], "dropout": 0.0}
    model = models.get("acrnn").create(models.parse_settings(content, source="test"), CLASSES).train()
    short, long = clips(5_000, 16_000)
    beside = model.listen(pad([short, long, long]))
    padded = pad([short, long, long])
    more = model.listen(Padded(F.pad(padded.values, (0, 9_000)), padded.lengths))
    torch.testing.assert_close(more, beside, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_acrnns_attention_is_a_mean_weighted_by_a_softmax_over_real_steps():
    attention = built("acrnn small").attention
    states = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    result = attention(Padded(states, torch.tensor([5, 3])).zeroed())
    for row, length, ours in zip(states, (5, 3), result, strict=True):
        real = row[:length].numpy()
        powers = np.exp(real @ attention.score.weight[0].numpy())
        np.testing.assert_allclose(ours.numpy(), powers @ real / powers.sum(), rtol=1e-5, atol=1e-6)


def test_fewer_bands_than_the_acrnn_pools_are_refused():
    with pytest.raises(ConfigError, match="the pooling takes 4 mel bins or more, got 3"):
        models.parse_settings({"name": "acrnn", "front_end": {"n_mels": 3}}, source="test")


# functionals


@torch.inference_mode()
def test_functionals_are_numpys_statistics_of_each_clips_own_frames():
    model = built("functionals")
    stream = model.streams["functionals"]
    vectors = stream(pad(clips()))
    assert vectors.values.shape == (len(LENGTHS), 1, 7 * 120)
    assert vectors.lengths.tolist() == [1] * len(LENGTHS)
    for vector, clip in zip(vectors.values[:, 0], clips(), strict=True):
        frames = stream.log_mel(pad([clip])).values[0].double().numpy()
        percentiles = np.percentile(frames, [5, 25, 50, 75, 95], axis=0)
        witness = np.concatenate([frames.mean(axis=0), frames.std(axis=0), *percentiles])
        np.testing.assert_allclose(vector.numpy(), witness, atol=1e-4)


@torch.inference_mode()
def test_functionals_hear_how_loud_a_clip_is():
    stream = built("functionals").streams["functionals"]
    quiet, loud = (stream(pad([factor * waveform(16_000)])).values[0, 0, :40] for factor in (1, 10))
    torch.testing.assert_close(loud - quiet, torch.full((40,), 2 * np.log(10).item()), atol=0.01, rtol=0)


@torch.inference_mode()
def test_the_cnn_may_standardise_with_the_training_clips_statistics():
    """Eq. (2) over the training: other than over the clip, a louder clip is then another one."""
    frames = pad([torch.randn(length, 160, generator=torch.Generator().manual_seed(length)) for length in (90, 70)])
    model = create("cnn training statistics")
    assert model.streams["log_mel"].front_end.normalisation == "none"
    model.fit_normalisation([{"log_mel": Padded(3 * frames.values - 5, frames.lengths)}])
    torch.testing.assert_close(model.standardize.mean, 3 * torch.cat(frames.unbind()).mean(0) - 5)
    seen = []
    hook = model.stack.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    model({"log_mel": Padded(3 * frames.values - 5, frames.lengths).zeroed()})
    hook.remove()
    heard = torch.cat(seen[0].unbind())
    torch.testing.assert_close(heard.mean(0), torch.zeros(160), atol=1e-5, rtol=0)
    torch.testing.assert_close(heard.std(0, correction=0), torch.ones(160))
    assert not seen[0].values[~seen[0].mask].any()
    quiet, loud = (model.listen(pad([factor * waveform(16_000)])) for factor in (1, 10))
    assert not torch.allclose(quiet, loud, atol=1e-3)


# fusion_convbert


@torch.inference_mode()
def test_a_step_of_the_cnn_covers_half_as_many_of_whispers_states():
    """Eq. (10) with Whisper, whose states come at 50 a second, where the CNN hears 100 frames."""
    model = built("fusion_convbert whisper equation_10")
    seen: dict[str, Tensor] = {}
    steps = model.project_cnn.register_forward_hook(lambda _module, _inputs, output: seen.update(steps=output))
    keys = model.fusion[0].register_forward_hook(lambda _layer, inputs, _output: seen.update(keys=inputs[1].values))
    model.listen(pad([waveform(160 * 278)]))
    steps.remove()
    keys.remove()
    assert torch.equal(seen["keys"], seen["steps"].repeat_interleave(32, dim=1)[:, :139])


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


@torch.inference_mode()
@pytest.mark.parametrize(
    "variant", [name for name in SMALL if name.startswith("fusion_convbert") and "whisper" not in name]
)
@pytest.mark.parametrize("frames", [256, 278])
def test_each_arrangement_asks_and_answers_as_the_paper_has_it(variant, frames):
    """Queries, keys and values of each layer: Figure 4a and b, section 3.4, eq. (10)."""
    model = built(variant)
    seen: dict[str, Tensor] = {}
    layers: list[list[Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: seen.update({name: output}))
        for name, module in [("cnn", model.project_cnn), ("bert", model.project_encoder)]
    ] + [
        layer.register_forward_hook(lambda _layer, inputs, output: layers.append([*inputs, output]))
        for layer in model.fusion
    ]
    logits = model.listen(pad([waveform(160 * frames - 1)]))
    for hook in hooks:
        hook.remove()
    cnn, bert = seen["cnn"], seen["bert"]
    assert (cnn.shape, bert.shape) == ((1, -(-frames // 64), 24), (1, frames, 24))
    both = torch.cat([cnn, bert], dim=1)
    queries, keys, values = {
        "robust_bert": (cnn, bert, bert),
        "robust_cnn": (bert, cnn, cnn),
        "concatenation": (both, None, None),  # None: what the layer before gave, or at first the queries
        "equation_10": (bert, cnn.repeat_interleave(64, dim=1)[:, :frames], None),
    }[model.settings.arrangement]
    assert len(layers) == 2
    for asked, answered, *rest in ([part.values for part in layer] for layer in layers):
        output = rest[-1]
        told = rest[0] if len(rest) == 2 else answered
        assert torch.equal(asked, queries)
        assert torch.equal(answered, queries if keys is None else keys)
        assert torch.equal(told, queries if values is None else values)
        queries = output
    torch.testing.assert_close(logits, model.classifier(queries.mean(dim=1)))


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


@torch.inference_mode()
def test_a_frozen_whispers_states_are_standardised_by_those_of_the_training_clips():
    model = create("fusion_convbert whisper frozen")
    sound, heard = pad(clips()), []
    streams = {name: stream(sound) for name, stream in model.streams.items()}
    model.fit_normalisation([streams])
    model.project_encoder.register_forward_hook(lambda _layer, inputs, _output: heard.append(inputs[0]))
    model(streams)
    real = heard[0][streams["speech"].mask].double()
    torch.testing.assert_close(real.mean(dim=0), torch.zeros(64).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(real.std(dim=0, correction=0), torch.ones(64).double(), atol=1e-4, rtol=0)


# speech_bert


@torch.inference_mode()
def test_the_transformer_attends_to_itself_and_averages_what_is_real():
    model = built("speech_bert small")
    layers = []
    hooks = [
        layer.register_forward_hook(lambda _layer, inputs, output: layers.append((*inputs, output)))
        for layer in model.layers
    ]
    logits = model.listen(pad(clips(5_000, 16_000)))
    for hook in hooks:
        hook.remove()
    assert len(layers) == 2
    assert all(queries is memory for queries, memory, _ in layers)
    assert layers[1][0] is layers[0][2]
    means = torch.stack([clip.mean(dim=0) for clip in layers[1][2].unbind()])
    assert [len(clip) for clip in layers[1][2].unbind()] == [32, 101]
    torch.testing.assert_close(logits, model.classifier(means))


def test_at_the_papers_size_the_transformer_is_the_fusion_without_its_cnn():
    content = {"name": "speech_bert", "encoder": {"name": "speech_bert", "preset": "paper"}}
    with torch.device("meta"):
        model = models.get("speech_bert").create(models.parse_settings(content, source="test"), CLASSES)
    assert n_parameters(model) == 23_679_751 - 1_551_744 - (1024 * 120 + 120)


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


@pytest.mark.parametrize("variant", ["linear_probe small", "functionals"])
def test_a_new_probe_has_no_opinion(variant):
    content = VARIANTS[variant]
    model = models.get(content["name"]).create(models.parse_settings(content, source="test"), CLASSES)
    assert not model.listen(pad(clips(5_000, 16_000))).any()


@torch.inference_mode()
def test_the_probe_is_linear_in_standardised_mean_states():
    model = create("linear_probe small")
    states = torch.cat([model.streams["speech"](pad([clip])).values[:, 0] for clip in clips()])
    model.fit_normalisation({"speech": Padded(part[:, None], torch.ones(2))} for part in states.split(2))
    z = (states - states.mean(dim=0)) / states.std(dim=0, correction=0)
    logits = z @ model.classifier.weight.T + model.classifier.bias
    torch.testing.assert_close(model.listen(pad(clips())), logits, atol=1e-4, rtol=0)
