"""Blocks that several networks share: transformer layers, positions, activations, a fitted standardisation."""

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affetto.batch import Padded, ceil_divide, extend

Activation = Literal["gelu", "swish"]
ConvNorm = Literal["point", "clip"]
Swish = Literal["fixed", "trainable"]
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "swish": F.silu}


class TransformerLayer(nn.Module):
    """A post-norm transformer layer whose queries may look at another sequence than their own.

    With the sequence itself as keys and values this is BERT's layer (Devlin et al., 2018), eqs. (6) to (9) of the first
    paper, with one difference: eq. (9) as printed adds the layer's input to what the feed-forward layer gives, BERT
    what went into that. With another sequence it is the first paper's fusion layer.

    Args:
        width: of queries, keys, values and output.
        heads: attention heads; must divide `width`.
        inner: width of the feed-forward layer.
        activation: of the feed-forward layer.
        dropout: after attention and feed-forward.
        attention_dropout: on attention probabilities.
        eps: of the layer norms.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        inner: int,
        activation: Activation = "gelu",
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        assert width % heads == 0, f"{heads} heads do not divide width {width}"
        self.heads = heads
        self.activation = _ACTIVATIONS[activation]
        self.attention_dropout = attention_dropout
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Padded, keys: Padded, values: Padded | None = None) -> Padded:
        """The queries, each with what it took from the other sequence's real positions.

        Args:
            queries: (B, T, D).
            keys: (B, S, D).
            values: (B, S, D), on the keys' lengths; None: the keys.

        Returns:
            (B, T, D) on the queries' lengths.
        """
        x = queries.values
        x = self.attention_norm(x + self.dropout(self._attend(x, keys, values or keys)))
        x = self.output_norm(x + self.dropout(self.outer(self.activation(self.inner(x)))))
        return queries.with_values(x)

    def _attend(self, x: Tensor, keys: Padded, values: Padded) -> Tensor:
        def split(y: Tensor) -> Tensor:
            return y.reshape(*y.shape[:2], self.heads, -1).transpose(1, 2)  # (B, heads, T, D / heads)

        mask = None if keys.is_full else keys.mask[:, None, None, :]  # (B, 1, 1, S)
        attended = F.scaled_dot_product_attention(
            split(self.query(x)),
            split(self.key(keys.values)),
            split(self.value(values.values)),
            attn_mask=mask,
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        merged: Tensor = self.output(attended.transpose(1, 2).flatten(2))  # (B, T, D)
        return merged


class Standardize(nn.Module):
    """Features to mean 0 and deviation 1 of the training data; fitted once, then constant.

    Args:
        width: number of features.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    @torch.no_grad()
    def fit(self, features: Iterable[Tensor]) -> None:
        """Take mean and (biased) deviation from the rows of training features, each (n, width); one part at a time."""
        count, mean, squares = 0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for part in features:  # the sums of two parts are joined as in Chan, Golub and LeVeque (1983)
            rows = part.double()
            centre, total = rows.mean(dim=0), count + len(rows)
            off = centre - mean
            squares += (rows - centre).square().sum(dim=0) + off.square() * (count * len(rows) / total)
            mean += off * (len(rows) / total)
            count = total
        self.mean.copy_(mean)
        # A feature that never changes carries nothing; dividing by 1 keeps it at zero.
        deviation = (squares / count).sqrt()
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return (features - self.mean) / self.deviation


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a table made in inference could not be used in training
def sinusoids(length: int, width: int, *, device: torch.device | None = None) -> Tensor:
    """Sinusoidal positions, sine on even and cosine on odd dimensions (Vaswani et al., 2017, section 3.5).

    Returns:
        (length, width) in -1..1; shared, not to be written to.
    """
    # float64 on the CPU: in float32 the angles of late positions would be off by more than 1e-4.
    positions = torch.arange(length, dtype=torch.float64)[:, None]
    scale = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10_000.0) / width))
    table = torch.zeros(length, width, dtype=torch.float64)
    table[:, 0::2] = torch.sin(positions * scale)
    table[:, 1::2] = torch.cos(positions * scale)[:, : width // 2]
    return table.to(device=device, dtype=torch.float32)


def initialise_bert(module: nn.Module) -> None:
    """BERT's initialisation: weights N(0, 0.02), biases zero, layer norms one and zero; for `Module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


class Classifier(nn.Linear):
    """The last linear layer: features to logits, in float32 whatever precision the network runs in."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) -> logits (B, K)."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.float())


class MapNorm(nn.Module):
    """Layer norm of a clip's maps (Ba et al., 2016), with one gain and one bias a channel.

    Over a whole clip, its real frames, bands and channels, a point keeps how far it stands out, which it loses when it
    is normalised by itself. Clips differ in length, hence not one gain a point.

    Args:
        channels: of the maps.
        over: "point", the channels of each time-frequency point; "clip", all that a clip's maps hold.
    """

    def __init__(self, channels: int, over: ConvNorm) -> None:
        super().__init__()
        self.over = over
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Padded) -> Tensor:
        """(B, T, F, channels) -> the same shape; what stands beyond a clip's length means nothing."""
        if self.over == "point":
            return F.layer_norm(maps.values, self.weight.shape, self.weight, self.bias)
        if maps.is_full:
            return self._by_clip(maps.values)
        full = maps.values.shape[1]
        clips = (self._by_clip(clip[None]) for clip in maps.unbind())
        return torch.cat([F.pad(clip, (0, 0, 0, 0, 0, full - clip.shape[1])) for clip in clips])

    def _by_clip(self, maps: Tensor) -> Tensor:
        return F.group_norm(maps.permute(0, 3, 1, 2), 1, self.weight, self.bias).permute(0, 2, 3, 1)


class ConvBlock(nn.Module):
    """One convolution block of the first paper (section 3.2, Table 1) without its pooling.

    3 x 3 convolution, layer norm, Swish. Normalising each point, or each clip, apart keeps the answer free of padding
    and of other clips.

    Args:
        inputs: channels in.
        channels: channels out.
        norm: what layer norm runs over: "point", the channels of each time-frequency point; "clip", all of a clip.
        swish: "trainable" learns the slope of eq. (4), one a block, from 1 on; "fixed" leaves it at 1.
    """

    def __init__(self, inputs: int, channels: int, *, norm: ConvNorm = "point", swish: Swish = "fixed") -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, kernel_size=3, padding=1)
        self.norm = MapNorm(channels, norm)
        self.slope = nn.Parameter(torch.ones(())) if swish == "trainable" else None

    def forward(self, maps: Padded) -> Padded:
        """(B, T, F, inputs) -> (B, T, F, channels)."""
        # Channels last: the layer norm then runs over contiguous memory, and bf16 convolutions are at their fastest.
        x = self.conv(maps.values.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last))
        x = self.norm(Padded(x.permute(0, 2, 3, 1), maps.lengths))  # (B, T, F, C)
        return Padded(F.silu(x) if self.slope is None else x * torch.sigmoid(self.slope * x), maps.lengths)


def max_pool(maps: Padded, window: int | tuple[int, int]) -> Padded:
    """Maximum over windows of frames and bands, one beside the other.

    A last window that a clip only partly fills counts, over its real frames alone; bands that fill no window are
    dropped.

    Args:
        maps: (B, T, F, C), which nobody else reads: what stands beyond a clip's length may be overwritten with the
            lowest number.
        window: frames and bands, or one number for both.

    Returns:
        (B, ceil(T / frames), F // bands, C), zero beyond each clip's length.
    """
    frames, bands = (window, window) if isinstance(window, int) else window
    lowest = torch.finfo(maps.values.dtype).min
    lengths = ceil_divide(maps.lengths, frames)
    x = extend(maps.values, frames, fill=lowest)
    if not maps.is_full:
        # Only a clip's last window mixes real and padded frames; those wholly beyond it are zeroed below. The padded
        # ones are overwritten in place, unseen by autograd: never the largest, they have no gradient to lose, and
        # these maps, the widest of the network, are not copied.
        last = (frames * (lengths - 1))[:, None] + torch.arange(frames, device=x.device)  # (B, frames)
        beyond = last >= maps.lengths[:, None]
        clip = torch.arange(len(maps), device=x.device)[:, None]
        with torch.no_grad():
            x[clip, last] = x[clip, last].masked_fill(beyond[..., None, None], lowest)
    pooled = F.max_pool2d(x.permute(0, 3, 1, 2), (frames, bands)).permute(0, 2, 3, 1)
    return Padded(pooled, lengths).zeroed()


class ConvStack(nn.Module):
    """The first paper's four convolution blocks with the poolings between them, not the last one.

    Args:
        channels: of each block.
        strides: of the pooling after each block but the last.
        norm: of the blocks.
        swish: of the blocks.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (64, 128, 256, 512),
        strides: tuple[int, ...] = (4, 4, 4),
        *,
        norm: ConvNorm = "point",
        swish: Swish = "fixed",
    ) -> None:
        super().__init__()
        self.strides = strides
        self.stride = math.prod(strides)
        self.blocks = nn.ModuleList(
            ConvBlock(inputs, outputs, norm=norm, swish=swish)
            for inputs, outputs in zip((1, *channels), channels, strict=False)
        )

    def forward(self, log_mel: Padded) -> Padded:
        """(B, T, M) -> (B, T / 64, M / 64, channels[-1])."""
        maps = Padded(log_mel.values[..., None], log_mel.lengths)
        for block, stride in zip(self.blocks, self.strides, strict=False):
            maps = max_pool(block(maps), stride)
        last: Padded = self.blocks[-1](maps)
        return last.zeroed()
