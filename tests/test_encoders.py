from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, WhisperConfig
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from affetto import hub, pretrained
from affetto.batch import Padded, pad
from affetto.encoders.frozen import LEVEL, MARGIN, SPEECH, Frozen, level, loud_moments
from affetto.encoders.speech_bert import FramePredictor, SpeechBert, SpeechBertSettings, from_mockingjay
from affetto.encoders.whisper import Whisper, WhisperSettings, load_weights
from affetto.errors import CheckpointError, ConfigError

MOCKINGJAY = Path(__file__).parent / "reference" / "mockingjay.safetensors"
WHISPER_BASE = Path(__file__).parents[2] / "shared" / "models" / "whisper-base-encoder"
TINY = WhisperSettings(outputs=(1, 2), width=32, heads=2, inner=64, positions=60)
SMALL_BERT = SpeechBertSettings(preset=None, inputs=20, width=24, layers=2, heads=3)


def frames(*lengths: int, width: int = 80, seed: int = 0) -> Padded:
    generator = torch.Generator().manual_seed(seed)
    return pad([torch.randn(length, width, generator=generator) for length in lengths])


def whisper(settings: WhisperSettings = TINY) -> Whisper:
    torch.manual_seed(0)
    return Whisper(settings).eval()


def speech_bert(settings: SpeechBertSettings = SMALL_BERT) -> SpeechBert:
    torch.manual_seed(0)
    return SpeechBert(settings).eval()


# Whisper


@torch.no_grad()
def states_of_the_original(encoder: Whisper, settings: WhisperSettings, features: torch.Tensor) -> list[torch.Tensor]:
    """States after each layer of transformers' encoder with our weights; it takes one length only, so it is told."""
    n_states = features.shape[1] // 2
    original = WhisperEncoder(
        WhisperConfig(
            d_model=settings.width,
            encoder_layers=settings.layers,
            encoder_attention_heads=settings.heads,
            encoder_ffn_dim=settings.inner,
            max_source_positions=n_states,
        )
    ).eval()
    weights = encoder.state_dict()
    weights["embed_positions.weight"] = weights["embed_positions.weight"][:n_states]
    left = original.load_state_dict(weights, strict=False)
    assert (left.missing_keys, left.unexpected_keys) == (["layer_norm.weight", "layer_norm.bias"], [])
    # Taken from the layers themselves: the layer norm at the end belongs to the last layer of the whole model.
    states: list[torch.Tensor] = []
    for layer in original.layers:
        layer.register_forward_hook(lambda _layer, _inputs, output: states.append(output))
    original(features.transpose(1, 2))
    return states


@pytest.mark.parametrize("n_frames", [2, 34, 120])
def test_whisper_is_transformers_own_on_a_clip_of_its_length(n_frames):
    settings = TINY.model_copy(update={"outputs": (1, 2, 3)})
    encoder, clips = whisper(settings), frames(n_frames, n_frames)
    got = encoder(clips).values.chunk(3, dim=-1)
    for ours, theirs in zip(got, states_of_the_original(encoder, settings, clips.values), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_whisper_gives_the_layers_asked_for_in_order_and_builds_no_more():
    first, second = whisper()(frames(20)).values.chunk(2, dim=-1)
    only_first = whisper(TINY.model_copy(update={"outputs": (1,)}))
    only_second = whisper(TINY.model_copy(update={"outputs": (2,)}))
    assert (len(only_first.layers), len(only_second.layers)) == (1, 2)
    for encoder in (only_first, only_second):
        encoder.load_state_dict(whisper().state_dict(), strict=False)
    torch.testing.assert_close(only_first(frames(20)).values, first)
    torch.testing.assert_close(only_second(frames(20)).values, second)
    assert (whisper().width, only_second.width) == (64, 32)


@torch.no_grad()
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=4), st.integers(0, 40))
def test_whisper_hears_a_clip_beside_others_as_it_hears_it_alone(lengths, more):
    encoder, clips = whisper(), frames(*lengths)
    longer = Padded(F.pad(clips.values, (0, 0, 0, more)), clips.lengths)
    states = encoder(longer)
    assert states.lengths.tolist() == [(length + 1) // 2 for length in lengths]
    assert not states.values[~states.mask].any()
    for clip, got in zip(clips.unbind(), states.unbind(), strict=True):
        torch.testing.assert_close(got, encoder(pad([clip])).unbind()[0], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("n_frames", [121, 239, 240, 241, 290, 1_100])
def test_clips_longer_than_the_positions_are_encoded_in_pieces_that_know_nothing_of_each_other(n_frames):
    encoder = whisper()
    for conv in (encoder.conv1, encoder.conv2):  # let convolutions see one frame only, so that cuts are clean
        conv.weight[:, :, 0] = conv.weight[:, :, 2] = 0
    clips = frames(n_frames, 30)
    long, short = encoder(clips).unbind()
    pieces = [encoder(pad([piece])).values[0] for piece in clips.unbind()[0].split(120)]  # 60 positions
    torch.testing.assert_close(long, torch.cat(pieces), atol=1e-5, rtol=0)
    torch.testing.assert_close(short, encoder(pad([clips.unbind()[1]])).values[0], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("outputs", [(1, 2), (2, 1), (1, 1, 2)])
@pytest.mark.parametrize("lengths", [(1,), (30, 90, 2, 41), (120,), (290, 60)])
def test_packed_layers_are_transformers_own(outputs, lengths):
    plain, packed = (whisper(TINY.model_copy(update={"outputs": outputs})) for _ in range(2))
    packed.pack(torch.float32)
    packed.pack(torch.float32)  # once more is nothing
    clips = frames(*lengths)
    got, want = packed(clips), plain(clips)
    assert torch.equal(got.lengths, want.lengths) and not got.values[~got.mask].any()
    torch.testing.assert_close(got.zeroed().values, want.zeroed().values, atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match="prepared for torch.float32 and cannot be for torch.bfloat16"):
        packed.pack(torch.bfloat16)


def test_packed_layers_stay_on_their_device():
    encoder = whisper().to("meta")
    encoder.pack(torch.bfloat16)
    assert {tensor.device.type for tensor in encoder.state_dict().values()} == {"meta"}


def test_whisper_settings_refuse_layers_that_are_not_there():
    for outputs in [(), (0, 1)]:
        with pytest.raises(ValidationError, match="outputs are layer numbers from 1"):
            WhisperSettings(outputs=outputs)


@pytest.mark.parametrize("kind", [WhisperSettings, SpeechBertSettings])
def test_heads_that_do_not_divide_the_width_are_refused(kind):
    with pytest.raises(ValidationError, match="heads must divide width, got 7 heads on width"):
        kind(heads=7)


def test_weights_from_openai_and_from_the_shipped_checkpoint_are_the_same():
    if not WHISPER_BASE.is_dir():
        pytest.skip(f"Whisper base is not at {WHISPER_BASE}")
    settings = WhisperSettings(weights=str(WHISPER_BASE), outputs=(3,))
    assert settings.model_copy(update={"weights": None}) == WhisperSettings(outputs=(3,))  # its sizes are the defaults
    loaded = []
    for source in (str(WHISPER_BASE), None):
        with torch.device("meta"):
            encoder = Whisper(settings)
        encoder.to_empty(device="cpu")
        load_weights(encoder, pretrained.encoder_weights(source))
        loaded.append(encoder.state_dict())
    assert loaded[0].keys() == loaded[1].keys()
    for name, tensor in loaded[0].items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, loaded[1][name]), name


@pytest.mark.parametrize("prefix", ["", "model.encoder.", "streams.speech.encoder."])
def test_weights_load_under_the_names_of_transformers_and_of_our_checkpoints(prefix, tmp_path):
    trained = {f"{prefix or 'encoder.'}{name}": tensor.half() for name, tensor in whisper().state_dict().items()}
    save_file({**trained, "decoder.other": torch.zeros(1)}, tmp_path / "model.safetensors")
    torch.manual_seed(1)
    encoder = Whisper(TINY)
    load_weights(encoder, tmp_path / "model.safetensors")
    for name, tensor in whisper().state_dict().items():
        assert torch.equal(encoder.state_dict()[name], tensor.half().float())


def test_weights_that_lack_tensors_or_have_others_shapes_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({f"encoder.{name}": tensor for name, tensor in whisper().state_dict().items()}, path)
    with pytest.raises(CheckpointError, match=r"model.safetensors: lacks 15 tensors .*, such as layers.2.fc1.bias"):
        load_weights(whisper(TINY.model_copy(update={"outputs": (3,)})), path)
    wider = whisper(TINY.model_copy(update={"inner": 96}))
    before = {name: tensor.clone() for name, tensor in wider.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"layers.0.fc1.weight is \(64, 32\), expected \(96, 32\)"):
        load_weights(wider, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in wider.state_dict().items())


def test_sizes_that_are_not_given_come_from_the_model_that_weights_names(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"d_model": 384, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536, "max_source_positions": 750,'
        ' "num_mel_bins": 128}'
    )
    settings = WhisperSettings(weights=str(tmp_path), inner=64)
    assert (settings.width, settings.heads, settings.inner, settings.positions) == (384, 6, 64, 750)
    assert settings.front_end.n_mels == 128
    (tmp_path / "config.json").unlink()  # a checkpoint states all sizes and needs the folder no more
    assert WhisperSettings.model_validate(settings.model_dump()) == settings
    with pytest.raises(CheckpointError, match="has no config.json, so it is not a model folder"):
        WhisperSettings(weights=str(tmp_path))


def test_models_that_are_not_there_are_named(tmp_path):
    (tmp_path / "a_file").touch()
    for source, words in {
        str(tmp_path): "has no model.safetensors, so it is not a model folder",
        str(tmp_path / "a_file"): "is a file; expected a model folder or a hub id",
        str(tmp_path / "nowhere"): "no such folder; expected a model folder or a hub id such as owner/model",
        "whisper-base": "no such folder; expected a model folder or a hub id such as owner/model",
    }.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            hub.fetch(source, "model.safetensors")
        assert str(caught.value).startswith(f"{source}: ")


def test_a_hub_that_cannot_be_reached_is_said_so(monkeypatch):
    def unreachable(name: str, file: str) -> str:
        raise OSError("the network is down\nmore about it")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(CheckpointError, match=r"^a/b: no such folder, .* from the hub \(the network is down\)$"):
        hub.fetch("a/b", "config.json")


# Frozen


def waveforms(*lengths: int) -> Padded:
    generator = torch.Generator().manual_seed(0)
    return pad([0.1 * torch.randn(length, generator=generator) for length in lengths])


def test_a_frozen_encoder_learns_nothing_and_never_drops():
    frozen = Frozen(TINY).train()
    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert not frozen(waveforms(4_000)).values.requires_grad


def test_the_summary_of_a_frozen_encoder_is_the_mean_over_each_clips_own_states():
    frozen, mean = Frozen(TINY), Frozen(TINY, summary="mean")
    mean.load_state_dict(frozen.state_dict())
    clips = waveforms(8_000, 1_000)
    summaries = mean(clips)
    assert summaries.lengths.tolist() == [1, 1]
    for states, summary in zip(frozen(clips).unbind(), summaries.unbind(), strict=True):
        torch.testing.assert_close(summary[0], states.mean(dim=0), atol=1e-6, rtol=0)


def tones(*stretches: tuple[float, float]) -> torch.Tensor:
    """Stretches of (seconds, amplitude) of a 440 Hz tone, one after the other."""
    parts = [a * torch.sin(2 * torch.pi * 440 * torch.arange(round(16_000 * s)) / 16_000) for s, a in stretches]
    return torch.cat(parts)


def test_loud_moments_are_less_than_35_db_below_the_loudest():
    frozen = Frozen(TINY)
    half = 25  # states in half a second
    clip = tones((0.5, 0.001), (0.5, 0.5), (0.5, 0.5 * 10 ** (-30 / 20)), (0.5, 0.5 * 10 ** (-40 / 20)))
    loud = loud_moments(frozen.log_mel(pad([clip, tones((0.31, 0.01))])))
    assert loud.shape == (2, 4 * half)
    inside = loud[0].reshape(4, half)[:, 3:-3]  # away from the edges, where a window hears both sides
    assert inside.float().mean(dim=1).tolist() == [0, 1, 1, 0]
    assert loud[1, :15].all() and not loud[1, 16:].any()


def test_the_loud_mean_is_that_of_the_states_of_loud_moments_whatever_the_padding():
    clip, longer = tones((0.4, 0.0001), (0.7, 0.3), (0.4, 0.0001)), tones((3.0, 0.2))
    states, mean = Frozen(TINY), Frozen(TINY, summary="loud_mean")
    mean.load_state_dict(states.state_dict())
    loud = loud_moments(states.log_mel(pad([clip])))[0]
    expected = states(pad([clip])).values[0][loud].mean(dim=0)
    assert 30 < loud.sum() < 40
    torch.testing.assert_close(mean(pad([clip])).values[0, 0], expected)
    torch.testing.assert_close(mean(pad([clip, longer])).values[0, 0], expected, atol=1e-5, rtol=1e-4)
    assert mean.frame_rate is None and states.frame_rate == 50


def test_loud_quantiles_are_numpys_over_loud_moments_whatever_the_padding():
    clip, longer = tones((0.4, 0.0001), (0.7, 0.3), (0.4, 0.0001)), tones((3.0, 0.2))
    states, summary = Frozen(TINY), Frozen(TINY, summary="loud_quantiles")
    summary.load_state_dict(states.state_dict())
    loud = loud_moments(states.log_mel(pad([clip])))[0]
    chosen = states(pad([clip])).values[0][loud].numpy()
    expected = torch.from_numpy(np.concatenate([np.quantile(chosen, q, axis=0) for q in (0.1, 0.5, 0.9)])).float()
    assert summary.width == 3 * states.width == len(expected)
    torch.testing.assert_close(summary(pad([clip])).values[0, 0], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(summary(pad([longer, clip])).values[1, 0], expected, atol=1e-5, rtol=1e-4)


def test_the_fingerprint_of_a_frozen_encoder_tells_what_its_output_depends_on():
    torch.manual_seed(0)
    frozen = Frozen(TINY)

    def fingerprint(summary: str = "none", **update: object) -> str:
        twin = Frozen(TINY.model_copy(update=update), summary=summary)
        twin.load_state_dict(frozen.state_dict(), strict=False)
        return twin.fingerprint

    before = fingerprint()
    assert before == frozen.fingerprint
    assert before == fingerprint(weights="a/b") == fingerprint(trainable=True)
    assert len({before, fingerprint("mean"), fingerprint(outputs=(2,)), fingerprint(heads=4)}) == 4
    with torch.no_grad():
        frozen.encoder.conv1.bias[0] += 1
    changed = frozen.fingerprint
    assert changed != before
    for _ in range(2):
        frozen.prepare(bf16=True)
        assert frozen.fingerprint == changed


# Speech BERT


def test_the_papers_speech_bert_has_the_papers_number_of_parameters():
    with torch.device("meta"):
        encoder = SpeechBert(SpeechBertSettings(preset="paper"))
        head = FramePredictor(768, 160)
    assert encoder.width == 768
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 21_388_800  # Mockingjay BASE: 21.4 M
    assert sum(parameter.numel() for parameter in head.parameters()) == 715_168  # counted in s3prl's


@torch.no_grad()
def test_with_the_originals_weights_speech_bert_and_its_head_answer_as_the_original():
    stored = load_file(MOCKINGJAY)
    clips = Padded(stored["frames"], stored["lengths"])
    encoder = SpeechBert(SpeechBertSettings(preset=None, inputs=20, width=32, layers=2, heads=4)).eval()
    encoder.load_state_dict(from_mockingjay(part_of_the_original("Transformer", stored)))
    head = FramePredictor(32, 20)
    head.load_state_dict(from_mockingjay(part_of_the_original("SpecHead", stored)))
    states = encoder(clips)
    # The original answers beyond the clips' ends too; only its answers within them mean anything.
    torch.testing.assert_close(states.values[clips.mask], stored["states"][clips.mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(head(states).values[clips.mask], stored["predicted"][clips.mask], atol=1e-5, rtol=0)


def part_of_the_original(part: str, stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = f"{part}."
    return {name.removeprefix(prefix): tensor for name, tensor in stored.items() if name.startswith(prefix)}


@pytest.mark.parametrize("name", ["encoder.LayerNorm.0.weight", "encoder.layer.1.LayerNorm.bias", "gamma"])
def test_weights_that_are_not_mockingjays_are_refused(name):
    with pytest.raises(CheckpointError, match=f"'{name}' is no weight of Mockingjay with post-norm layers"):
        from_mockingjay({name: torch.zeros(1)})


def test_weights_begin_as_berts_do():
    torch.manual_seed(0)
    for network in (SpeechBert(SpeechBertSettings()), FramePredictor(256, 160)):
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                assert not parameter.any(), name
            elif "norm" in name:
                assert (parameter == 1).all(), name
            else:  # BertConfig's initializer_range, as in Mockingjay's own settings; 25,600 weights or more
                assert abs(parameter.mean()) < 1e-3, name
                assert parameter.std().item() == pytest.approx(BertConfig().initializer_range, rel=0.02), name


def test_speech_bert_is_berts_layers_on_projected_frames_with_sinusoids():
    encoder, clips = speech_bert(), frames(11, 4, 7, width=20)
    width = SMALL_BERT.width
    positions = torch.arange(11, dtype=torch.float64)[:, None]
    angles = positions / 10_000 ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    sinusoids = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()  # sine and cosine by turns
    x = F.linear(clips.values, encoder.project.weight, encoder.project.bias) + sinusoids
    x = F.layer_norm(x, (width,), encoder.norm.weight, encoder.norm.bias, eps=1e-12)
    for layer in encoder.layers:
        x = original_bert_layer(layer)(x, torch.where(clips.mask, 0.0, -10_000.0)[:, None, None])  # Mockingjay's mask
    got = encoder(clips)
    torch.testing.assert_close(got.values[clips.mask], x[clips.mask], atol=1e-5, rtol=0)
    assert not got.values[~clips.mask].any()


def original_bert_layer(layer: nn.Module) -> BertLayer:
    """transformers' BERT layer with the weights of one of ours."""
    width, heads, inner = SMALL_BERT.width, SMALL_BERT.heads, 4 * SMALL_BERT.width
    config = BertConfig(hidden_size=width, num_attention_heads=heads, intermediate_size=inner, layer_norm_eps=1e-12)
    config._attn_implementation = "eager"
    names = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "inner": "intermediate.dense",
        "outer": "output.dense",
        "output_norm": "output.LayerNorm",
    }
    original = BertLayer(config).eval()
    weights = {}
    for name, tensor in layer.state_dict().items():
        part, _, kind = name.partition(".")
        weights[f"{names[part]}.{kind}"] = tensor
    original.load_state_dict(weights)
    return original


@torch.no_grad()
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(0, 20))
def test_speech_bert_hears_a_clip_beside_others_as_it_hears_it_alone(lengths, more):
    encoder, clips = speech_bert(), frames(*lengths, width=20)
    states = encoder(Padded(F.pad(clips.values, (0, 0, 0, more)), clips.lengths))
    assert not states.values[~states.mask].any()
    for clip, got in zip(clips.unbind(), states.unbind(), strict=True):
        torch.testing.assert_close(got, encoder(pad([clip])).values[0], atol=1e-5, rtol=0)


def test_presets_fill_sizes_and_sizes_given_win():
    sizes = {"width": 768, "layers": 3, "heads": 12}
    assert SpeechBertSettings(preset="paper").model_dump(include=set(sizes)) == sizes
    assert SpeechBertSettings(preset="paper", layers=12).model_dump(include=set(sizes)) == {**sizes, "layers": 12}
    resolved = SpeechBertSettings(preset="paper")
    assert SpeechBertSettings.model_validate(resolved.model_dump()) == resolved


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"preset": "paper"}, "width is 768, but 256 in the weights speech_bert-small; leave sizes to the"),
        ({"heads": 8}, "heads is 8, but 4 in the weights"),
    ],
)
def test_sizes_that_are_not_those_of_the_weights_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        SpeechBertSettings(weights="speech_bert-small", **sizes)
    assert SpeechBertSettings(weights="speech_bert-small", preset="small").heads == 4


# Level


def test_speech_is_cut_out_and_brought_to_one_level_as_numpy_does_it():
    rng = np.random.default_rng(0)
    envelope = np.repeat([0, 0.002, 0.3, 0.7, 0.5, 0.001], 3_240)
    recorded = (envelope * rng.standard_normal(len(envelope)) + 0.2).astype(np.float32)
    waveform = recorded - recorded.mean()
    moments = waveform[: len(waveform) // 160 * 160].astype(np.float64).reshape(-1, 160)
    power = np.convolve((moments**2).mean(1), np.ones(5) / 5, "same")
    speech = np.flatnonzero(power >= power.max() * 10 ** (-SPEECH / 10))
    gain = LEVEL / np.sqrt(power[speech].mean())
    expected = waveform[speech[0] * 160 - MARGIN : (speech[-1] + 1) * 160 + MARGIN] * gain
    assert 0.5 * len(waveform) < len(expected) < len(waveform)
    np.testing.assert_allclose(level(torch.from_numpy(recorded)).numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("length", [1, 159, 160, 161, 4_000])
def test_silence_stays_silence_however_short(length):
    heard = level(torch.zeros(length))
    assert len(heard) == length
    assert not heard.any()


def test_a_levelled_encoder_hears_the_levelled_waveform_and_says_that_it_does():
    torch.manual_seed(0)
    plain, levelled = Frozen(TINY, summary="mean"), Frozen(TINY, summary="mean", levelled=True)
    levelled.load_state_dict(plain.state_dict())
    clips = [torch.cat([torch.zeros(4_000), 0.01 * torch.randn(n)]) for n in (3_000, 7_000)]
    expected = torch.cat([plain(pad([level(clip)])).values for clip in clips])
    torch.testing.assert_close(levelled(pad(clips)).values, expected, atol=1e-5, rtol=1e-5)
    assert plain.fingerprint != levelled.fingerprint
