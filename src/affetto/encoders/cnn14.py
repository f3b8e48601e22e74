"""CNN14 of PANNs (Kong et al., IEEE/ACM TASLP 28, 2020, arXiv:1912.10211), the second paper's acoustic network.

Log-mel frames of the front end `panns16k` through a batch norm of each mel bin, six blocks of two 3 x 3 convolutions,
each with batch norm and ReLU, average pooling of 2 x 2 after all blocks but the last, the mean over frequency, maximum
plus mean over time, and a dense layer with ReLU. Original code: qiuqiangkong/audioset_tagging_cnn (MIT),
`pytorch/models.py`, `Cnn14_16k`; written anew here, and with the same weights it answers the same (`from_panns`).

Differs from the original: clips of several lengths share a batch. What lies beyond a clip's end is zero before every
convolution, counts in no statistics, and is not pooled, so each is answered as it is alone.
"""

import re
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.batch import Padded
from affetto.config import Settings
from affetto.encoders import weights
from affetto.errors import CheckpointError

BLOCKS = 6
MELS = 64
"""Bins of the front end."""
SHORTEST = 2 ** (BLOCKS - 1)
"""Frames that the poolings take; shorter clips are extended by zeros, which after the first batch norm is the mean."""

SMALL_MAP = 64
"""Points of a map up to which a processor convolves by a product of matrices."""


class Cnn14Settings(Settings):
    """Size of a CNN14, and where its weights begin."""

    name: Literal["cnn14"] = "cnn14"
    weights: str | None = None
    """A folder that `affetto models import-panns` wrote, a checkpoint with a CNN14 in it, or a hub id; it gives the
    width if that is not given. None: random weights."""
    width: int = Field(default=64, ge=1)
    """Maps of the first block; each further one has twice as many. 64 is the original's; 16, a quarter, suits two
    cores."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """After each block."""
    dense_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Before and after the dense layer. PANNs' is 0.5; the second paper's first author leaves it out in his code."""

    @model_validator(mode="after")
    def _take_width_from_weights(self) -> Self:
        """A checkpoint gives the width, so it needs no weights."""
        if self.weights is not None and "width" not in self.model_fields_set:
            object.__setattr__(self, "width", weights.stated(self.weights, "cnn14")["width"])
        return self


class Cnn14(nn.Module):
    """Log-mel frames (B, T, 64) to one vector a clip (B, width)."""

    def __init__(self, settings: Cnn14Settings) -> None:
        super().__init__()
        self.maps = tuple(settings.width * 2**number for number in range(BLOCKS))
        self.width = self.maps[-1]
        self.bn0 = MaskedBatchNorm(MELS)
        self.blocks = nn.ModuleList(Block(*sizes) for sizes in zip((1, *self.maps), self.maps, strict=False))
        self.dropout = nn.Dropout(settings.dropout)
        self.fc1 = nn.Linear(self.width, self.width)
        self.dense_dropout = nn.Dropout(settings.dense_dropout)
        self.apply(initialise_xavier)
        # Channels last, in which convolutions are at their fastest; maps take the layout of the kernels.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        frames: Padded,
        shifts: Mapping[int, Tensor] | None = None,
        *,
        before_relu: bool = False,
        voiced: Tensor | None = None,
    ) -> Tensor:
        """One vector a clip.

        Args:
            frames: (B, T, 64).
            shifts: block number from 1 -> what is added to each of its maps, (B, maps of the block); None: nothing.
            before_relu: whether it is added before the block's last ReLU, not after.
            voiced: whether a clip's frames are listened to, (B,); None: all are. Of one that is not, the first block
                that is shifted has maps of zeros before the shift, as long as those of `SHORTEST` frames: how long a
                recording is belongs to its frames.

        Returns:
            (B, width).
        """
        shifts = shifts or {}
        first = min(shifts, default=None)
        maps, lengths = self._enter(frames)
        # Asked once, for on a graphics card the answer takes a while: who is full before a pooling is so after it.
        padded = voiced is not None or bool((lengths != maps.shape[2]).any())
        for number, block in enumerate(self.blocks, start=1):
            mask = Padded(maps.transpose(1, 2), lengths).mask if padded else None  # (B, T)
            # In evaluation the last block, whose few points show rounding most, keeps float32 whatever the autocast.
            exact = number == BLOCKS and not self.training
            with torch.autocast(maps.device.type, enabled=False) if exact else nullcontext():
                maps = zeroed(maps.float() if exact else maps, mask)
                kept = voiced if number == first else None
                maps = block(maps, mask, shifts.get(number), before_relu=before_relu, voiced=kept)  # (B, C, T, F)
            if kept is not None:
                lengths = torch.where(kept, lengths, SHORTEST >> (number - 1))
            if number < BLOCKS:
                # A last window that a clip does not fill is dropped, as it is without padding.
                maps, lengths = F.avg_pool2d(maps, 2), lengths // 2
            maps = self.dropout(maps)
        steps = Padded(maps.float().mean(dim=3).transpose(1, 2), lengths)  # (B, T / 32, C)
        pooled = steps.max_and_mean()
        with torch.autocast(pooled.device.type, enabled=False):
            embedding: Tensor = self.dense_dropout(F.relu(self.fc1(self.dense_dropout(pooled))))
        return embedding

    def _enter(self, frames: Padded) -> tuple[Tensor, Tensor]:
        """One normalised map (B, 1, T, 64), and the clips' lengths, no shorter than the poolings take."""
        bins = self.bn0(frames.values.transpose(1, 2)[..., None], frames.mask)  # (B, 64, T, 1)
        maps = bins.masked_fill(~frames.mask[:, None, :, None], 0.0).transpose(1, 3)  # (B, 1, T, 64)
        missing = max(SHORTEST - maps.shape[2], 0)
        return F.pad(maps, (0, 0, 0, missing)), frames.lengths.clamp(min=SHORTEST)


class Block(nn.Module):
    """Two 3 x 3 convolutions, each with batch norm and ReLU, on maps (B, C, T, F)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn1 = MaskedBatchNorm(outputs)
        self.bn2 = MaskedBatchNorm(outputs)

    def forward(
        self,
        maps: Tensor,
        mask: Tensor | None,
        shift: Tensor | None = None,
        *,
        before_relu: bool = False,
        voiced: Tensor | None = None,
    ) -> Tensor:
        """Maps (B, C, T, F) to (B, outputs, T, F); `mask` (B, T) is true where they are real, None: everywhere.

        Where `voiced` (B,) is false, the shift (B, outputs) is all that there is; None: nowhere.
        """
        maps = F.relu(_normalised(self.conv1, self.bn1, maps, mask), inplace=True)
        maps = maps if self.training else zeroed(maps, mask)
        maps = _normalised(self.conv2, self.bn2, maps, mask)
        if shift is None:
            return F.relu(maps, inplace=True)
        if voiced is not None:
            maps = maps * voiced[:, None, None, None]
        shift = shift[:, :, None, None].to(maps.dtype)
        return F.relu(maps + shift, inplace=True) if before_relu else F.relu(maps, inplace=True) + shift


class MaskedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics are those of real frames alone."""

    def forward(self, maps: Tensor, mask: Tensor | None = None) -> Tensor:
        """Maps (B, C, T, F) on the same scale; `mask` (B, T) is true where they are real, None: everywhere.

        In training there are zeros wherever they are not real.
        """
        if mask is None or not self.training:
            return super().forward(maps)
        rows = maps.permute(0, 2, 3, 1)  # (B, T, F, C)
        index = mask.flatten().nonzero()[:, 0]
        real = rows.flatten(0, 1).index_select(0, index)  # (n, F, C)
        # One point a row: of maps one point wide PyTorch 2.13's own backward pass on processors is wrong.
        real = super().forward(real.reshape(-1, rows.shape[3], 1, 1)).reshape(real.shape)
        padded = real.new_zeros(len(rows) * rows.shape[1], *real.shape[1:]).index_copy(0, index, real)
        return padded.reshape(rows.shape).permute(0, 3, 1, 2)


def _normalised(conv: nn.Conv2d, norm: MaskedBatchNorm, maps: Tensor, mask: Tensor | None) -> Tensor:
    """A convolution and its batch norm, (B, C, T, F) to (B, outputs, T, F)."""
    if norm.training:
        normalised: Tensor = norm(_convolve(maps, conv.weight), mask)
        return normalised
    # With constant statistics the two are one convolution: faster, and in bf16 rounded once.
    assert norm.running_mean is not None and norm.running_var is not None
    gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return _convolve(maps, conv.weight * gain[:, None, None, None], norm.bias - norm.running_mean * gain)


def _convolve(maps: Tensor, kernels: Tensor, bias: Tensor | None = None) -> Tensor:
    """Maps (B, C, T, F) with kernels (outputs, C, 3, 3) to (B, outputs, T, F)."""
    frames, bins = maps.shape[2:]
    if maps.device.type != "cpu" or frames * bins > SMALL_MAP:
        return F.conv2d(maps, kernels, bias, padding=1)
    # As one product of matrices: on maps of 7 x 2 oneDNN's convolutions spend their time on 37 million weights, and
    # training is almost twice as fast in fp32 and 15 times in bf16.
    rows = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # (B, T + 2, F + 2, C)
    windows = [rows[:, t : t + frames, f : f + bins] for t in range(3) for f in range(3)]
    flat = kernels.permute(0, 2, 3, 1).flatten(1)  # (outputs, 9 C)
    return F.linear(torch.cat(windows, dim=-1), flat, bias).permute(0, 3, 1, 2)


def zeroed(maps: Tensor, mask: Tensor | None) -> Tensor:
    """Maps (B, C, T, F) with zeros where a convolution sees them from a clip's end: in the first frame beyond it."""
    if mask is None:
        return maps
    clips = (~mask[:, -1]).nonzero()[:, 0]
    if maps.requires_grad:
        maps = maps.clone()
    maps[clips, :, mask[clips].sum(dim=1)] = 0.0
    return maps


def initialise_xavier(module: nn.Module) -> None:
    """PANNs' initialisation: weights after Glorot and Bengio (2010), biases zero; for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def from_panns(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the original `Cnn14_16k` under our names, without its front end and its AudioSet head.

    Args:
        state: of the original's network.

    Returns:
        The same tensors, for `load_state_dict` of a `Cnn14` of its width.

    Raises:
        CheckpointError: if a name is not CNN14's, or one is missing, or the front end is not the one for 16 kHz.

    Example:
        >>> our_name("conv_block6.bn2.running_mean")
        'blocks.5.bn2.running_mean'
    """
    window = state.get("spectrogram_extractor.stft.conv_real.weight")
    if window is not None and window.shape[-1] != 512:
        raise CheckpointError(
            f"was trained on windows of {window.shape[-1]} samples, expected 512: take PANNs' model for 16 kHz, "
            "Cnn14_16k_mAP=0.438.pth"
        )
    dropped = ("spectrogram_extractor.", "logmel_extractor.", "fc_audioset.")
    ours = {our_name(name): tensor for name, tensor in state.items() if not name.startswith(dropped)}
    with torch.device("meta"):
        wanted = Cnn14(Cnn14Settings()).state_dict()
    # Files of PyTorch before 0.4.1 have no counters; they only count.
    ours = {name: torch.tensor(0) for name in wanted if name.endswith(".num_batches_tracked")} | ours
    if missing := sorted(wanted.keys() - ours.keys()):
        raise CheckpointError(f"lacks {len(missing)} tensors of CNN14, such as the one for {missing[0]}")
    for name, tensor in ours.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(f"has {name} as {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}")
    return ours


def our_name(name: str) -> str:
    """Our name of one of the original's tensors.

    Raises:
        CheckpointError: if CNN14 has none of that name.
    """
    block = re.fullmatch(r"conv_block([1-6])\.((?:conv|bn)[12]\..+)", name)
    if block is None and not name.startswith(("bn0.", "fc1.")):
        raise CheckpointError(f"'{name}' is no tensor of CNN14")
    return f"blocks.{int(block[1]) - 1}.{block[2]}" if block else name
