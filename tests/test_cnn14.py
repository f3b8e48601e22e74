"""CNN14 beside PANNs' own: sizes, answers, its weights; and clips of several lengths in training."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from affetto import models
from affetto.batch import Padded, pad
from affetto.encoders import cnn14
from affetto.encoders.cnn14 import Cnn14, Cnn14Settings, MaskedBatchNorm, from_panns
from affetto.errors import CheckpointError, ConfigError
from affetto.models import SpeechModel

REFERENCE = Path(__file__).parent / "reference" / "cnn14.safetensors"
CLIPS = ("03a07Nc", "15a05Eb")


def reference():
    """The script beside the stored tensors, which says how the weights are drawn."""
    spec = importlib.util.spec_from_file_location("cnn14_reference", REFERENCE.with_suffix(".py"))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def shapes_of_panns() -> dict[str, Tensor]:
    """The original's tensors, by its own names and without contents."""
    with safe_open(REFERENCE, framework="pt") as file:
        shapes = json.loads(file.metadata()["shapes"])
    empty = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    return empty | {name: torch.tensor(7) for name in shapes if name.endswith("num_batches_tracked")}


@pytest.fixture(scope="module")
def theirs() -> dict[str, Tensor]:
    """The weights that the original had when it answered, by its names."""
    return reference().draw(shapes_of_panns())


@pytest.fixture(scope="module")
def network(theirs) -> SpeechModel:
    """Our network with these weights."""
    model = create({"name": "cnn14"}, n_classes=4)
    model.encoder.load_state_dict(from_panns(theirs))
    model.classifier.load_state_dict({kind: theirs[f"fc_audioset.{kind}"] for kind in ("weight", "bias")})
    return model.eval()


def create(content: dict, *, n_classes: int = 4) -> SpeechModel:
    torch.manual_seed(0)
    return models.get(content["name"]).create(models.parse_settings(content, source="test"), n_classes)


def heard() -> tuple[dict[str, Tensor], list[Tensor]]:
    """What is stored of the original, and the clips that it heard."""
    stored = load_file(REFERENCE)
    return stored, [stored[f"{clip}.pcm16"] / 2**15 for clip in CLIPS]


@torch.inference_mode()
def test_with_the_originals_weights_it_answers_as_the_original_does(network):
    """From the waveform on; each clip alone, as the original heard it, and both in one batch."""
    stored, waveforms = heard()
    logits = torch.stack([stored[f"{clip}.logits"] for clip in CLIPS])
    embeddings = torch.stack([stored[f"{clip}.embedding"] for clip in CLIPS])
    alone = [network.streams["log_mel"](pad([waveform])) for waveform in waveforms]
    assert [len(frames.values[0]) for frames in alone] == [61, 84]
    for frames, clip in zip(alone, CLIPS, strict=True):
        torch.testing.assert_close(frames.values[0], stored[f"{clip}.log_mel"], atol=1e-3, rtol=0)
    ours = torch.cat([network.encoder(frames) for frames in alone])
    torch.testing.assert_close(ours, embeddings, atol=1e-5, rtol=0)
    torch.testing.assert_close(network.classifier(ours), logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(network.listen(pad(waveforms)), logits, atol=1e-5, rtol=0)
    assert not torch.allclose(logits[0], logits[1], atol=0.1)


@torch.inference_mode()
def test_in_bf16_the_originals_logits_are_met_to_a_hundredth(network):
    stored, waveforms = heard()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answers = network.listen(pad(waveforms))
    assert answers.dtype == torch.float32
    torch.testing.assert_close(answers, torch.stack([stored[f"{clip}.logits"] for clip in CLIPS]), atol=1e-2, rtol=0)


@pytest.mark.parametrize(("n_classes", "parameters"), [(4, 79_681_988), (1, 79_675_841), (3, 79_679_939)])
def test_it_has_as_many_parameters_as_panns(n_classes, parameters):
    with torch.device("meta"):
        model = create({"name": "cnn14"}, n_classes=n_classes)
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == parameters
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_a_quarter_of_the_maps_is_a_sixteenth_of_the_network():
    small = Cnn14(Cnn14Settings(width=16))
    assert small.maps == (16, 32, 64, 128, 256, 512)
    convolutions = sum(p.numel() for name, p in small.named_parameters() if "conv" in name)
    widths = (1, 16, 32, 64, 128, 256, 512)
    assert convolutions == 9 * sum(a * b + b * b for a, b in zip(widths, widths[1:], strict=False))


def test_it_begins_as_panns_does():
    model = create({"name": "cnn14", "encoder": {"width": 16}})
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:  # uniform within Glorot and Bengio's bounds
            receptive = parameter[0, 0].numel()
            bound = (6 / (receptive * (parameter.shape[0] + parameter.shape[1]))) ** 0.5
            assert parameter.abs().max() <= bound
            assert parameter.detach().std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        else:
            assert (parameter == (1.0 if "bn" in name and name.endswith("weight") else 0.0)).all(), name


def test_maps_are_halved_five_times_and_the_rest_is_dropped(network):
    seen = []
    hooks = [
        block.register_forward_hook(lambda _m, _i, out: seen.append(out.shape)) for block in network.encoder.blocks
    ]
    with torch.inference_mode():
        network.listen(pad([torch.randn(160 * 84)]))  # 85 frames
    for hook in hooks:
        hook.remove()
    assert [tuple(shape[1:]) for shape in seen] == [
        (64, 85, 64),
        (128, 42, 32),
        (256, 21, 16),
        (512, 10, 8),
        (1024, 5, 4),
        (2048, 2, 2),
    ]


@torch.inference_mode()
@pytest.mark.parametrize("length", [1, 5, 31])
def test_a_clip_shorter_than_32_frames_is_extended_by_the_mean(length):
    model = create({"name": "cnn14", "encoder": {"width": 2}}).eval()
    model.encoder.bn0.running_mean.fill_(-40.0)
    frames = torch.randn(1, length, 64) - 40
    extended = torch.cat([frames, torch.full((1, 32 - length, 64), -40.0)], dim=1)
    answer = model({"log_mel": Padded(frames, torch.tensor([length]))})
    torch.testing.assert_close(answer, model({"log_mel": Padded(extended, torch.tensor([32]))}), atol=1e-6, rtol=0)


def test_batch_norm_takes_its_statistics_from_real_frames_alone():
    maps = torch.randn(3, 5, 7, 4, requires_grad=True)
    lengths = torch.tensor([7, 2, 4])
    ours, witness = MaskedBatchNorm(5), torch.nn.BatchNorm1d(5)
    result = ours(maps, Padded(maps.transpose(1, 2), lengths).mask)
    rows = torch.cat([clip[:, :n].flatten(1).T for clip, n in zip(maps, lengths, strict=True)])  # (frames x bins, 5)
    expected = witness(rows)
    got = torch.cat([clip[:, :n].flatten(1).T for clip, n in zip(result, lengths, strict=True)])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(ours.running_mean, witness.running_mean)
    torch.testing.assert_close(ours.running_var, witness.running_var)
    weights = torch.randn_like(got)
    [slope] = torch.autograd.grad((got * weights).sum(), maps, retain_graph=True)
    [wanted] = torch.autograd.grad((expected * weights).sum(), maps)
    torch.testing.assert_close(slope, wanted)


def test_in_training_too_the_answer_knows_no_padding():
    model = create({"name": "cnn14", "encoder": {"width": 2, "dropout": 0.0}}).train()
    clips = [0.1 * torch.randn(n) for n in (5_000, 16_000, 30_000)]
    beside = model.listen(pad(clips))
    padded = pad(clips)
    more = model.listen(Padded(F.pad(padded.values, (0, 9_000)), padded.lengths))
    torch.testing.assert_close(more, beside, atol=1e-5, rtol=1e-5)


def plainly(encoder: Cnn14, frames: Tensor) -> Tensor:
    """What PyTorch's plain layers make of clips of one length, (B, width), in training without dropout."""

    def bn(x: Tensor, norm: torch.nn.BatchNorm2d) -> Tensor:
        axes = (0, 2, 3)
        z = (x - x.mean(axes, keepdim=True)) / (x.var(axes, keepdim=True, correction=0) + 1e-5).sqrt()
        return z * norm.weight[:, None, None] + norm.bias[:, None, None]

    maps = bn(frames.transpose(1, 2)[..., None], encoder.bn0).transpose(1, 3)
    for number, block in enumerate(encoder.blocks, start=1):
        maps = bn(F.conv2d(maps, block.conv1.weight, padding=1), block.bn1).relu()
        maps = bn(F.conv2d(maps, block.conv2.weight, padding=1), block.bn2).relu()
        maps = F.avg_pool2d(maps, 2) if number < 6 else maps
    steps = maps.mean(dim=3)
    return encoder.fc1(steps.amax(dim=2) + steps.mean(dim=2)).relu()


@pytest.mark.parametrize("n_frames", [32, 70, 250])
def test_in_training_answers_and_slopes_are_those_of_plain_layers(n_frames):
    encoder = create({"name": "cnn14", "encoder": {"width": 4, "dropout": 0.0}}).encoder.train()
    frames, weights = torch.randn(5, n_frames, 64), torch.randn(5, encoder.width)
    ours = encoder(Padded(frames, torch.full((5,), n_frames)))
    theirs = plainly(encoder, frames)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    parameters = list(encoder.parameters())
    slopes = (torch.autograd.grad((each * weights).sum(), parameters) for each in (ours, theirs))
    for ours, theirs in zip(*slopes, strict=True):
        assert (ours - theirs).norm() <= 1e-2 * theirs.norm()  # in float32, through 13 batch norms


@torch.inference_mode()
@pytest.mark.parametrize("n_frames", [32, 250, 1100])
def test_small_maps_are_convolved_alike_however_it_is_done(n_frames, monkeypatch):
    """The last block's maps have 1 x 2 points, 7 x 2 and 34 x 2, of which the last are many enough to be convolved."""
    encoder = create({"name": "cnn14", "encoder": {"width": 2}}).encoder.eval()
    frames = pad([torch.randn(n_frames, 64), torch.randn(32, 64)])
    product = encoder(frames)
    monkeypatch.setattr(cnn14, "SMALL_MAP", 0)
    torch.testing.assert_close(encoder(frames), product, atol=1e-5, rtol=1e-5)


def test_other_numbers_of_bins_are_refused():
    with pytest.raises(ConfigError, match="CNN14 takes 64 features a frame, but the front end gives 80"):
        models.parse_settings({"name": "cnn14", "front_end": "whisper80"}, source="test")


# PANNs' weights


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conv_block7.bn1.bias": torch.zeros(4)}, "'conv_block7.bn1.bias' is no tensor of CNN14"),
        ({"att_block.att.bias": torch.zeros(4)}, "'att_block.att.bias' is no tensor of CNN14"),
        ({"fc1.bias": torch.zeros(512)}, r"has fc1.bias as \(512,\), expected \(2048,\)"),
        (
            {"spectrogram_extractor.stft.conv_real.weight": torch.zeros(513, 1, 1024)},
            "was trained on windows of 1024 samples, expected 512: take PANNs' model for 16 kHz, Cnn14_16k_mAP",
        ),
    ],
)
def test_weights_of_other_networks_are_refused(change, words):
    with pytest.raises(CheckpointError, match=words):
        from_panns(shapes_of_panns() | change)


def test_weights_of_a_shallower_network_are_refused():
    state = {name: tensor for name, tensor in shapes_of_panns().items() if not name.startswith("conv_block6")}
    with pytest.raises(CheckpointError, match=r"lacks 10 tensors of CNN14, such as the one for blocks\.5\.bn1\.bias"):
        from_panns(state)


def test_counters_may_be_missing_and_the_head_is_dropped():
    state = {name: tensor for name, tensor in shapes_of_panns().items() if "num_batches" not in name}
    with torch.device("meta"):
        assert from_panns(state).keys() == Cnn14(Cnn14Settings()).state_dict().keys()
