"""3-D attention-based convolutional recurrent network: the serial fusion that the first paper argues against.

Chen, He, Yang and Zhang, "3-D Convolutional Recurrent Neural Networks With Attention Model for Speech Emotion
Recognition", IEEE Signal Processing Letters 25(10), 2018. Log-mel frames with deltas and delta-deltas go through
convolutions, what these give through a BLSTM, and its states through attention over time, one after the other. The
letter reports UA 82.82 on EMO-DB. Its authors' code (xuanjihe/speech-emotion-recognition) was read where the letter
is silent.
"""

from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from affetto.batch import Padded
from affetto.frontend import FrontEnd, LogMel, NamedFrontEnd
from affetto.layers import Classifier, max_pool
from affetto.models.base import ModelSettings, SpeechModel, Streams, register

LOG_MEL_3D = FrontEnd(
    n_mels=40,
    n_fft=512,
    window="hamming",
    mel_scale="htk",
    floor=1e-6,
    normalisation="utterance",
    deltas=2,
)
"""Section II.A: 25 ms Hamming, 10 ms hop, 40 mel filters, with deltas and delta-deltas."""

POOLING = (2, 4)
"""Frames and bands of the one max pooling."""
SLOPE = 0.01
"""Of the leaky ReLU below zero."""


class ACRNNSettings(ModelSettings):
    """Settings of the ACRNN; the defaults are the letter's for EMO-DB (Table I)."""

    name: Literal["acrnn"] = "acrnn"
    front_end: NamedFrontEnd = Field(default=LOG_MEL_3D, validate_default=True)
    convolutions: int = Field(default=5, ge=1)
    """The letter's best on EMO-DB; on IEMOCAP six were better."""
    first_maps: int = Field(default=128, ge=1)
    """Maps of the first convolution."""
    maps: int = Field(default=256, ge=1)
    """Maps of each further convolution."""
    linear: int = Field(default=768, ge=1)
    cells: int = Field(default=128, ge=1)
    """LSTM cells a direction."""
    dense: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """After each convolution and the dense layer; the letter has none."""

    @model_validator(mode="after")
    def _check_bands(self) -> Self:
        if self.front_end.n_mels < POOLING[1]:
            raise ValueError(f"the pooling takes {POOLING[1]} mel bins or more, got {self.front_end.n_mels}")
        return self


@register(
    "acrnn",
    paper="Chen et al. (2018), IEEE Signal Processing Letters 25(10)",
    differs=(
        "clips keep their length and are padded and masked; the letter cuts them into segments of 3 s, zero-pads the "
        "last and takes the largest probability over a clip's segments",
        "deltas and delta-deltas are taken over 9 frames as librosa does; the letter's reach 2 frames to each side",
        "each feature is z-scored over the utterance; the letter does so with the training set's mean and deviation, "
        "after bringing each waveform to mean 0 and variance 1",
        "the pooling is over 2 frames x 4 bands as in the authors' code; their preprint has 2 x 2",
        "a last window of the pooling that a clip only partly fills counts",
        "batch norm follows the linear layer before the BLSTM, over real frames alone, as in the authors' code; the "
        "letter's text has it on the dense layer of 64, where a batch of one clip has no deviation",
        "slope of the leaky ReLU and its places are those of the authors' code; the letter does not say",
    ),
)
class ACRNN(SpeechModel):
    """Log-mel frames with deltas (B, T, 120) to logits (B, K)."""

    Settings = ACRNNSettings

    def __init__(self, settings: ACRNNSettings, n_classes: int) -> None:
        super().__init__({"log_mel": LogMel(settings.front_end)})
        self.orders = 1 + settings.front_end.deltas
        widths = [self.orders, settings.first_maps] + [settings.maps] * (settings.convolutions - 1)
        self.convolutions = nn.ModuleList(
            Convolution(inputs, maps, dropout=settings.dropout)
            for inputs, maps in zip(widths, widths[1:], strict=False)
        )
        bands = settings.front_end.n_mels // POOLING[1]
        # Without a bias: the batch norm has one.
        self.linear = nn.Linear(bands * widths[-1], settings.linear, bias=False)
        self.norm = nn.BatchNorm1d(settings.linear)
        self.blstm = nn.LSTM(settings.linear, settings.cells, batch_first=True, bidirectional=True)
        self.attention = Attention(2 * settings.cells)
        self.dense = nn.Linear(2 * settings.cells, settings.dense)
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = Classifier(settings.dense, n_classes)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        frames = streams["log_mel"]
        orders = frames.values.reshape(*frames.values.shape[:2], self.orders, -1)
        volumes = orders.transpose(2, 3)  # (B, T, M, orders)
        maps: Padded = self.convolutions[0](Padded(volumes, frames.lengths))
        maps = max_pool(maps, POOLING)  # (B, T / 2, M / 4, C)
        for convolution in self.convolutions[1:]:
            maps = convolution(maps)
        context = self.attention(self._recur(maps))  # (B, 2 * cells)
        logits: Tensor = self.classifier(self.dropout(F.leaky_relu(self.dense(context), SLOPE)))
        return logits

    def _recur(self, maps: Padded) -> Padded:
        """States of the BLSTM, (B, T / 2, 2 * cells)."""
        # Packed, only real frames are there: the batch norm's statistics know no padding, nor does the backward LSTM.
        steps = pack_padded_sequence(maps.values.flatten(2), maps.lengths.cpu(), batch_first=True, enforce_sorted=False)
        reduced = self.linear(steps.data)
        # fp32 whatever the caller's autocast says: errors of a recurrence add up.
        with torch.autocast(reduced.device.type, enabled=False):
            reduced = F.leaky_relu(self.norm(reduced.float()), SLOPE)
            states, _ = self.blstm(PackedSequence(reduced, *steps[1:]))
        values, _ = pad_packed_sequence(states, batch_first=True)
        return Padded(values, maps.lengths)


class Convolution(nn.Module):
    """5 frames x 3 bands of convolution, leaky ReLU and dropout.

    Args:
        inputs: maps in.
        maps: maps out.
        dropout: of single values.
    """

    def __init__(self, inputs: int, maps: int, *, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, maps, kernel_size=(5, 3), padding=(2, 1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps: Padded) -> Padded:
        """(B, T, F, inputs) -> (B, T, F, maps)."""
        # Channels last, in which convolutions are at their fastest.
        x = self.conv(maps.values.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last))
        return maps.with_values(self.dropout(F.leaky_relu(x, SLOPE)).permute(0, 2, 3, 1))


class Attention(nn.Module):
    """Weighted mean of states, the weights a softmax over time of a linear score, eqs. (4) and (5).

    Args:
        width: of the states.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        # Without a bias: it would move all scores alike, which no softmax sees.
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, states: Padded) -> Tensor:
        """(B, T, D) -> (B, D)."""
        scores = self.score(states.values).float().squeeze(2)  # (B, T)
        weights = scores.masked_fill(~states.mask, -torch.inf).softmax(dim=1)
        context: Tensor = (weights[:, :, None] * states.values).sum(dim=1)
        return context
