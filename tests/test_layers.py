import math

import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from affetto.batch import Padded, pad
from affetto.layers import (
    Classifier,
    ConvBlock,
    ConvStack,
    Standardize,
    TransformerLayer,
    initialise_bert,
    max_pool,
    sinusoids,
)

WIDTH, HEADS, INNER = 24, 3, 40
ACTIVATIONS = {"gelu": F.gelu, "swish": F.silu}


def clips(*lengths: int, width: int = WIDTH, seed: int = 0) -> Padded:
    generator = torch.Generator().manual_seed(seed)
    return pad([torch.randn(length, width, generator=generator) for length in lengths])


def twins(activation: str = "gelu") -> tuple[TransformerLayer, nn.TransformerEncoderLayer]:
    """Our layer and torch's with the same weights."""
    torch.manual_seed(0)
    ours = TransformerLayer(WIDTH, HEADS, inner=INNER, activation=activation, dropout=0.0, attention_dropout=0.0)
    theirs = nn.TransformerEncoderLayer(
        WIDTH, HEADS, INNER, 0.0, activation=ACTIVATIONS[activation], layer_norm_eps=1e-12, batch_first=True
    )
    nn.init.normal_(ours.attention_norm.weight)
    nn.init.normal_(ours.output_norm.bias)
    with torch.no_grad():
        projections = (ours.query, ours.key, ours.value)
        theirs.self_attn.in_proj_weight.copy_(torch.cat([linear.weight for linear in projections]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([linear.bias for linear in projections]))
    theirs.self_attn.out_proj.load_state_dict(ours.output.state_dict())
    theirs.linear1.load_state_dict(ours.inner.state_dict())
    theirs.linear2.load_state_dict(ours.outer.state_dict())
    theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
    theirs.norm2.load_state_dict(ours.output_norm.state_dict())
    return ours, theirs


@pytest.mark.parametrize("lengths", [(6, 6), (7, 2, 5)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_transformer_layer_is_torchs_own(activation, lengths):
    ours, theirs = twins(activation)
    x = clips(*lengths)
    witness = theirs(x.values, src_key_padding_mask=~x.mask)
    got = ours(x, x)
    torch.testing.assert_close(got.values[x.mask], witness[x.mask], atol=1e-5, rtol=0)
    assert not got.values[~x.mask].any()


def test_a_transformer_layer_looks_at_another_sequence_as_torchs_parts_do():
    ours, theirs = twins()
    queries, memory = clips(2, 4, 1), clips(9, 3, 6, seed=1)
    attended, _ = theirs.self_attn(queries.values, memory.values, memory.values, key_padding_mask=~memory.mask)
    x = theirs.norm1(queries.values + attended)
    witness = theirs.norm2(x + theirs.linear2(F.gelu(theirs.linear1(x))))
    got = ours(queries, memory)
    assert torch.equal(got.lengths, queries.lengths)
    torch.testing.assert_close(got.values[queries.mask], witness[queries.mask], atol=1e-5, rtol=0)


def test_a_transformer_layers_values_may_be_another_sequence_than_its_keys():
    ours, theirs = twins()
    queries, keys, values = clips(2, 4, 1), clips(9, 3, 6, seed=1), clips(9, 3, 6, seed=2)
    attention = theirs.self_attn
    attended, _ = F.multi_head_attention_forward(
        *(part.values.transpose(0, 1) for part in (queries, keys, values)),
        WIDTH,
        HEADS,
        attention.in_proj_weight,
        attention.in_proj_bias,
        None,
        None,
        False,
        0.0,
        attention.out_proj.weight,
        attention.out_proj.bias,
        key_padding_mask=~keys.mask,
        need_weights=False,
    )
    x = theirs.norm1(queries.values + attended.transpose(0, 1))
    witness = theirs.norm2(x + theirs.linear2(F.gelu(theirs.linear1(x))))
    got = ours(queries, keys, values)
    torch.testing.assert_close(got.values[queries.mask], witness[queries.mask], atol=1e-5, rtol=0)
    assert torch.equal(ours(queries, keys).values, ours(queries, keys, keys).values)
    assert not torch.allclose(got.values, ours(queries, keys).values, atol=1e-2)


def test_a_transformer_layer_drops_in_training_only():
    layer, x = TransformerLayer(WIDTH, HEADS, inner=INNER), clips(5, 3)
    assert not torch.equal(layer(x, x).values, layer(x, x).values)
    layer.eval()
    assert torch.equal(layer(x, x).values, layer(x, x).values)


def test_standardize_is_scikit_learns_scaler():
    generator = torch.Generator().manual_seed(0)
    rows = 10 + torch.randn(50, 4, generator=generator) * torch.tensor([1e-2, 1.0, 30.0, 0.0])  # the last is constant
    standardize = Standardize(4)
    assert torch.equal(standardize(rows), rows)
    standardize.fit(rows.split(20))
    witness = StandardScaler().fit_transform(rows.double().numpy())
    torch.testing.assert_close(standardize(rows).double(), torch.from_numpy(witness), atol=1e-3, rtol=0)
    assert not standardize(rows)[:, 3].any()
    copy = Standardize(4)
    copy.load_state_dict(standardize.state_dict())
    assert torch.equal(copy(rows), standardize(rows))


def test_sinusoids_are_the_formula():
    table = sinusoids(50, 12)
    for position in (0, 1, 49):
        for i in range(6):
            angle = position / 10_000 ** (2 * i / 12)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)
    assert sinusoids(9, 5).shape == (9, 5)


def test_sinusoids_are_exact_at_late_positions():
    positions, dimensions = np.arange(20_000, dtype=np.float64), np.arange(16, dtype=np.float64)
    angles = positions[:, None] / 10_000 ** (2 * dimensions / 32)
    table = sinusoids(20_000, 32).numpy()
    assert table.dtype == np.float32
    np.testing.assert_allclose(table[:, 0::2], np.sin(angles), atol=1e-6)
    np.testing.assert_allclose(table[:, 1::2], np.cos(angles), atol=1e-6)


def test_bert_weights_begin_small_and_biases_at_zero():
    torch.manual_seed(0)
    layer = TransformerLayer(96, 4, inner=384).apply(initialise_bert)
    for name, parameter in layer.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "norm" in name:
            assert (parameter == 1).all()
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05)


def test_the_classifier_stays_in_float32():
    classifier = Classifier(8, 3)
    features = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = classifier(features)
        assert classifier(features.bfloat16()).dtype == torch.float32
    assert torch.equal(logits, classifier(features))


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 13), min_size=1, max_size=4),
    bands=st.integers(4, 9),
    stride=st.integers(2, 4),
    more=st.integers(0, 6),
)
def test_pooling_is_torchs_on_each_clip_alone_with_its_last_partial_window(lengths, bands, stride, more):
    generator = torch.Generator().manual_seed(0)
    alone = [torch.randn(length, bands, 2, generator=generator) - 3 for length in lengths]  # below the padding's zeros
    padded = pad(alone)
    longer = Padded(F.pad(padded.values, (0, 0, 0, 0, 0, more)), padded.lengths)
    pooled = max_pool(longer, stride)
    assert not pooled.values[~pooled.mask].any()
    for clip, got in zip(alone, pooled.unbind(), strict=True):
        whole_bands = clip[:, : bands // stride * stride].permute(2, 0, 1)  # bands that fill no window are dropped
        witness = F.max_pool2d(whole_bands, stride, ceil_mode=True).permute(1, 2, 0)
        assert torch.equal(got, witness)


@pytest.mark.parametrize("lengths", [(8, 5), (12, 12, 3), (7, 4), (4, 4)])
def test_gradients_of_pooling_are_those_of_each_clip_alone(lengths):
    generator = torch.Generator().manual_seed(0)
    alone = [torch.randn(length, 8, 2, generator=generator).requires_grad_() for length in lengths]
    padded = pad([clip.detach() for clip in alone])
    max_pool(Padded(padded.values.requires_grad_(), padded.lengths), 4).values.sum().backward()
    for row, clip in zip(padded.values.grad, alone, strict=True):
        F.max_pool2d(clip.permute(2, 0, 1), 4, ceil_mode=True).sum().backward()
        assert torch.equal(row[: len(clip)], clip.grad)
        assert not row[len(clip) :].any()


def test_pooling_takes_windows_of_other_height_than_width():
    maps = clips(6, 3, width=8)
    pooled = max_pool(Padded(maps.values[..., None].clone(), maps.lengths), (2, 4))
    for clip, got in zip(maps.unbind(), pooled.unbind(), strict=True):
        assert torch.equal(got[..., 0], F.max_pool2d(clip[None], (2, 4), ceil_mode=True)[0])


@pytest.mark.parametrize("swish", ["fixed", "trainable"])
@pytest.mark.parametrize("norm", ["point", "clip"])
@pytest.mark.parametrize("lengths", [(16, 13, 6, 4), (12, 12), (17, 9)])
def test_a_batch_teaches_the_convolution_stack_what_its_clips_teach_it_alone(lengths, norm, swish):
    torch.manual_seed(0)
    stack = ConvStack(channels=(3, 5), strides=(4,), norm=norm, swish=swish).double()
    alone = [torch.randn(length, 12, dtype=torch.float64) for length in lengths]

    def taught(batches: list[Padded]) -> list[Tensor]:
        stack.zero_grad()
        for batch in batches:
            stack(batch).values.square().sum().backward()
        return [parameter.grad.clone() for parameter in stack.parameters()]

    for together, apart in zip(taught([pad(alone)]), taught([pad([clip]) for clip in alone]), strict=True):
        assert apart.any()
        torch.testing.assert_close(together, apart, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("norm", "over"), [("point", 1), ("clip", (1, 2, 3))])
def test_the_convolution_stack_is_made_of_torchs_parts(norm, over):
    torch.manual_seed(0)
    stack = ConvStack(channels=(3, 5), strides=(4,), norm=norm)
    for block in stack.blocks:
        nn.init.normal_(block.norm.weight)
    frames = clips(8, width=12)
    x = frames.values[:, None]  # (B, 1, T, M)
    for number, block in enumerate(stack.blocks):
        x = F.conv2d(x, block.conv.weight, block.conv.bias, padding=1)
        mean, variance = x.mean(dim=over, keepdim=True), x.var(dim=over, keepdim=True, correction=0)
        x = (x - mean) / (variance + 1e-5).sqrt()
        x = F.silu(x * block.norm.weight[:, None, None] + block.norm.bias[:, None, None])
        x = F.max_pool2d(x, 4) if number == 0 else x
    torch.testing.assert_close(stack(frames).values, x.permute(0, 2, 3, 1), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["point", "clip"])
def test_the_convolution_stack_gives_zeros_beyond_a_clip_and_looks_at_none(norm):
    torch.manual_seed(0)
    stack = ConvStack(channels=(3, 5), strides=(4,), norm=norm)
    together = clips(13, 6, 4, width=12)
    maps = stack(together)
    assert maps.lengths.tolist() == [4, 2, 1]
    assert not maps.values[~maps.mask].any()
    for clip, got in zip(together.unbind(), maps.unbind(), strict=True):
        torch.testing.assert_close(got, stack(pad([clip])).values[0], atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_trainable_swish_begins_as_the_fixed_one_and_is_equation_4_elsewhere():
    torch.manual_seed(0)
    fixed, trainable = ConvBlock(1, 5), ConvBlock(1, 5, swish="trainable")
    assert set(trainable.state_dict()) - set(fixed.state_dict()) == {"slope"}
    trainable.load_state_dict({**fixed.state_dict(), "slope": torch.ones(())})
    frames = clips(8, 6, width=12)
    maps = Padded(frames.values[..., None], frames.lengths)
    normed = []
    trainable.norm.register_forward_hook(lambda _module, _inputs, output: normed.append(output))
    torch.testing.assert_close(trainable(maps).values, F.silu(normed[0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(trainable(maps).values, fixed(maps).values, atol=1e-6, rtol=0)
    for slope in (-0.7, 0.0, 2.5):
        trainable.slope.fill_(slope)
        x = normed[0].double().numpy()
        np.testing.assert_allclose(trainable(maps).values.numpy(), x * scipy.special.expit(slope * x), atol=1e-5)


def test_a_trainable_slope_is_learned_in_every_block_alone():
    stack = ConvStack(channels=(3, 5), strides=(4,), swish="trainable")
    slopes = [parameter for name, parameter in stack.named_parameters() if name.endswith("slope")]
    assert [slope.item() for slope in slopes] == [1.0, 1.0]
    stack(clips(13, 6, width=12)).values.square().sum().backward()
    assert all(slope.grad is not None and slope.grad != 0 for slope in slopes)
    fixed = ConvStack(channels=(3, 5), strides=(4,))
    assert not any(name.endswith("slope") for name, _ in fixed.named_parameters())
