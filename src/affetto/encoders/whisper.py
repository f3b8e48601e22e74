"""The first layers of Whisper's encoder, on the clip's own length.

Whisper (Radford et al., 2022, arXiv:2212.04356) pads every clip to 30 s; a clip of 3 s then costs ten times what it
should. Here the positions are cut instead: frames go through the two convolutions and the first layers at the clip's
own length, padded frames are masked, and clips beyond 30 s go through in pieces of 30 s. The layers themselves are
those of transformers (Apache-2.0); OpenAI's weights are MIT.

Differs from the original: no padding to 30 s, fewer layers, and no final layer norm, which belongs to the last layer.
"""

import json
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.batch import Padded, ceil_divide, extend
from affetto.config import Settings
from affetto.encoders import weights
from affetto.encoders.packed import Packed
from affetto.errors import CheckpointError, ConfigError
from affetto.frontend import NamedFrontEnd
from affetto.hub import fetch

PIECES = 4
"""Pieces of 30 s that are encoded together."""


class WhisperSettings(Settings):
    """Which part of which Whisper encoder, and what is read from it."""

    name: Literal["whisper"] = "whisper"
    weights: str | None = None
    """Folder or hub id of a Whisper model in transformers' format; None: the layers inside the shipped model."""
    outputs: tuple[int, ...] = (3,)
    """Layers whose states are given, concatenated; 1 is the first. Layers above the highest are not built."""
    trainable: bool = False
    """Fine-tune the encoder; otherwise it is frozen and its states are cached."""
    front_end: NamedFrontEnd = Field(default="whisper80", validate_default=True)
    width: int = Field(default=512, ge=1)
    heads: int = Field(default=8, ge=1)
    inner: int = Field(default=2048, ge=1)
    positions: int = Field(default=1500, ge=1)
    """Longest piece that is encoded at once; 1500 is 30 s."""

    @property
    def frame_rate(self) -> float:
        """States a second: the second convolution halves the frames."""
        return self.front_end.frame_rate / 2

    @model_validator(mode="after")
    def _check_outputs(self) -> "WhisperSettings":
        if not self.outputs or min(self.outputs) < 1:
            raise ValueError("outputs are layer numbers from 1")
        return self

    @model_validator(mode="after")
    def _take_sizes_from_weights(self) -> "WhisperSettings":
        """Sizes that were not given are those of the weights; a checkpoint gives all, so it needs no weights."""
        sizes = {"width": "d_model", "heads": "encoder_attention_heads", "inner": "encoder_ffn_dim"}
        sizes["positions"] = "max_source_positions"
        open_sizes = {ours: theirs for ours, theirs in sizes.items() if ours not in self.model_fields_set}
        if self.weights is None or not open_sizes:
            return self
        config = json.loads(fetch(self.weights, "config.json").read_text(encoding="utf-8"))
        missing = [theirs for theirs in (*open_sizes.values(), "num_mel_bins") if theirs not in config]
        if missing:
            raise CheckpointError(f"{self.weights}: is no Whisper model: its config.json has no {missing[0]}")
        for ours, theirs in open_sizes.items():
            object.__setattr__(self, ours, config[theirs])
        if "front_end" not in self.model_fields_set:
            mels = self.front_end.model_copy(update={"n_mels": config["num_mel_bins"]})
            object.__setattr__(self, "front_end", mels)
        return self

    @model_validator(mode="after")
    def _check_heads(self) -> "WhisperSettings":
        if self.width % self.heads:
            raise ValueError(f"heads must divide width, got {self.heads} heads on width {self.width}")
        return self

    @property
    def layers(self) -> int:
        """Layers that are built."""
        return max(self.outputs)


class Whisper(nn.Module):
    """Whisper log-mel frames (B, T, 80) to states (B, ceil(T / 2), width x outputs)."""

    def __init__(self, settings: WhisperSettings) -> None:
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

        super().__init__()
        self.outputs = settings.outputs
        self.width = settings.width * len(settings.outputs)
        width = settings.width
        config = WhisperConfig(
            d_model=width,
            encoder_layers=settings.layers,
            encoder_attention_heads=settings.heads,
            encoder_ffn_dim=settings.inner,
            attn_implementation="sdpa",
        )
        # Named as in transformers' checkpoints, so that their tensors load as they are.
        self.conv1 = nn.Conv1d(settings.front_end.width, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(settings.positions, width)
        self.layers = nn.ModuleList(WhisperEncoderLayer(config) for _ in range(settings.layers))
        self.packed: Packed | None = None

    def forward(self, frames: Padded) -> Padded:
        """States of the chosen layers.

        Args:
            frames: of its front end, (B, T, front_end.width).

        Returns:
            (B, ceil(T / 2), width x outputs): the states of each layer in `outputs`, side by side.
        """
        if self.packed is not None:
            states: Padded = self.packed(frames)
            return states
        x = F.gelu(self.conv1(frames.values.transpose(1, 2))).transpose(1, 2)  # (B, T, D)
        x = frames.with_values(x).values
        # float32 from here on: in bf16 the sums along the residual stream would lose what small states carry.
        x = F.gelu(self.conv2(x.transpose(1, 2))).transpose(1, 2).float()  # (B, ceil(T / 2), D)
        states = Padded(x, ceil_divide(frames.lengths, 2))
        if x.shape[1] <= self.embed_positions.num_embeddings:
            return self._contextualise(states)
        return self._in_pieces(states)

    def pack(self, dtype: torch.dtype) -> None:
        """Make it fast at clips of ever other lengths (`encoders.packed`); it must not be saved then.

        Args:
            dtype: in which it computes.

        Raises:
            ConfigError: if it was made to compute in another one before.
        """
        if self.packed is None:
            self.packed = Packed(self, dtype)
        elif self.packed.dtype != dtype:
            raise ConfigError(
                f"this model was prepared for {self.packed.dtype} and cannot be for {dtype}; load it anew"
            )

    def _contextualise(self, states: Padded) -> Padded:
        x = states.values + self.embed_positions.weight[: states.values.shape[1]]
        mask = None if states.is_full else states.mask[:, None, None, :]  # (B, 1, 1, T)
        kept: list[Tensor] = []
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x, mask)
            kept += [x] * self.outputs.count(number)
        return states.with_values(torch.cat(kept, dim=-1))

    def _in_pieces(self, states: Padded) -> Padded:
        """Clips longer than the positions, encoded piece by piece as if the pieces were clips."""
        size = self.embed_positions.num_embeddings
        pieces = extend(states.values, size).reshape(len(states), -1, size, states.values.shape[-1])  # (B, P, size, D)
        starts = size * torch.arange(pieces.shape[1], device=states.lengths.device)
        lengths = (states.lengths[:, None] - starts).clamp(0, size).flatten()  # (B * P,)
        real = lengths > 0
        # A few pieces at a time: an hour at once would take gigabytes.
        parts = zip(torch.split(pieces.flatten(0, 1)[real], PIECES), torch.split(lengths[real], PIECES), strict=True)
        encoded = torch.cat([self._contextualise(Padded(values, n)).values for values, n in parts])
        whole = encoded.new_zeros(len(lengths), size, encoded.shape[-1])
        whole[real] = encoded
        joined = whole.reshape(len(states), -1, whole.shape[-1])[:, : states.values.shape[1]]
        return Padded(joined, states.lengths)


def load_weights(encoder: Whisper, source: Path) -> None:
    """Fill the encoder from a safetensors file of a Whisper model or of a checkpoint of ours.

    Raises:
        CheckpointError: if the file lacks one of the encoder's tensors or has one of another shape.
    """
    weights.fill(encoder, source, _our_name, source=source, whole="Whisper's encoder")


def _our_name(key: str) -> str | None:
    """A tensor's name in the encoder, of its name in a model of transformers' or of ours."""
    return key.rpartition("encoder.")[2] if "encoder." in key else None
