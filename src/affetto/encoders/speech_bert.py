"""Speech BERT: Mockingjay (Liu et al., ICASSP 2020, arXiv:1910.12638), the speech transformer of the first paper.

Acoustic frames through a linear layer, sinusoidal positions, layer norm, then BERT's post-norm layers. Preset `paper`
is the paper's (and Mockingjay BASE's) size: 21,388,800 parameters at 160 inputs. Original code: s3prl (Apache-2.0),
`upstream/mockingjay`; written anew here, and with the same weights it answers the same (`from_mockingjay`).

Differs from Mockingjay as the first paper does: no down- and up-sampling (section 4.2), and the first paper's front end
`mel160` (160 mel, 25/10 ms Hamming) where Mockingjay has 80 mel with deltas (50/12.5 ms Hann, front end
`mockingjay160`): weights pretrained on the one are of no use on the other.
Differs from the first paper, perhaps: GELU as in BERT; the paper names Swish without saying where.
"""

import re
from collections.abc import Mapping
from typing import Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.batch import Padded
from affetto.config import Settings
from affetto.encoders import weights
from affetto.errors import CheckpointError
from affetto.layers import TransformerLayer, initialise_bert, sinusoids

PRESETS = {
    "paper": {"width": 768, "layers": 3, "heads": 12},
    "small": {"width": 256, "layers": 3, "heads": 4},
}

READINGS = (
    "the speech BERT is 256 wide with 4 heads unless told otherwise; the paper's is 768 wide with 12 (preset `paper`)",
    "the speech BERT has GELU, as BERT and Mockingjay have; the paper names Swish without saying where",
    "what is added to the feed-forward layer's output is its own input, as in BERT; eq. (9) as printed adds X, what "
    "went into the attention before it",
)
"""How models with a speech BERT differ from the first paper, or may."""


class SpeechBertSettings(Settings):
    """Size and inputs of a speech BERT, and where its weights begin."""

    name: Literal["speech_bert"] = "speech_bert"
    weights: str | None = None
    """A pretrained speech BERT: one that ships, a folder that `affetto pretrain` wrote, or a hub id; it fills the sizes
    that are not given. None: random weights."""
    trainable: bool = True
    """Whether it is trained further; if not, its dropout rests too."""
    preset: Literal["paper", "small"] | None = "small"
    """Fills width, layers and heads; None: they are given."""
    inputs: int = Field(default=160, ge=1)
    """Features a frame."""
    width: int = Field(default=256, ge=2, multiple_of=2)
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    attention_dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _take_sizes_from_weights(self) -> Self:
        """Sizes that were not given are those of the weights; a checkpoint gives all, so it needs no weights."""
        sizes = {"inputs", "width", "layers", "heads"}
        if self.weights is None or sizes <= self.model_fields_set:
            return self
        stated = weights.stated(self.weights, "speech_bert")
        # Other sizes that do not fit show when the weights are loaded; heads leave no trace in a tensor's shape.
        given = PRESETS.get(self.preset or "", {}) if "preset" in self.model_fields_set else {}
        for key, value in {**given, **self.model_dump(include={"heads"} & self.model_fields_set)}.items():
            if stated[key] != value:
                known = f"{stated[key]} in the weights {self.weights}"
                raise ValueError(f"{key} is {value}, but {known}; leave sizes to the weights")
        for key in sizes - self.model_fields_set:
            object.__setattr__(self, key, stated[key])
        object.__setattr__(self, "preset", None)
        return self

    @model_validator(mode="after")
    def _fill_from_preset(self) -> Self:
        for key, value in PRESETS.get(self.preset or "", {}).items():
            if key not in self.model_fields_set:
                object.__setattr__(self, key, value)
        if self.width % self.heads:
            raise ValueError(f"heads must divide width, got {self.heads} heads on width {self.width}")
        return self


class SpeechBert(nn.Module):
    """Frames (B, T, inputs) to contextual frames (B, T, width)."""

    def __init__(self, settings: SpeechBertSettings) -> None:
        super().__init__()
        self.width = settings.width
        self.trainable = settings.trainable
        self.project = nn.Linear(settings.inputs, settings.width)
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        self.dropout = nn.Dropout(settings.dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(
                settings.width,
                settings.heads,
                inner=4 * settings.width,
                dropout=settings.dropout,
                attention_dropout=settings.attention_dropout,
            )
            for _ in range(settings.layers)
        )
        self.apply(initialise_bert)
        self.requires_grad_(settings.trainable)

    def train(self, mode: bool = True) -> Self:
        """Training mode, unless its weights are frozen."""
        return super().train(mode and self.trainable)

    def forward(self, frames: Padded) -> Padded:
        """The last layer's states.

        Args:
            frames: (B, T, inputs).

        Returns:
            (B, T, width) on the same lengths.
        """
        x = self.project(frames.values)
        x = x + sinusoids(x.shape[1], self.width, device=x.device).to(x.dtype)
        states = frames.with_values(self.dropout(self.norm(x)))
        for layer in self.layers:
            states = layer(states, states)
        return states


class FramePredictor(nn.Module):
    """Mockingjay's head in pretraining: states (B, T, width) to the frames that were struck out (B, T, outputs)."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.output = nn.Linear(width, outputs)
        self.apply(initialise_bert)

    def forward(self, states: Padded) -> Padded:
        """Predicted frames on the same lengths."""
        return states.with_values(self.output(self.norm(F.gelu(self.dense(states.values)))))


_NAMES = {
    "input_representations.spec_transform": "project",
    "input_representations.LayerNorm": "norm",
    "dense": "dense",
    "LayerNorm": "norm",
    "output": "output",
}
_LAYER_NAMES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "inner",
    "output.dense": "outer",
    "output.LayerNorm": "output_norm",
}
"""The original's names of modules to ours: outside the layers, and in each layer."""


def from_mockingjay(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the original Mockingjay under our names.

    Args:
        state: of a checkpoint's encoder ("Transformer" in s3prl, "Mockingjay" before it) or head ("SpecHead").

    Returns:
        The same tensors, for `load_state_dict` of a `SpeechBert` or a `FramePredictor`.

    Raises:
        CheckpointError: if a name is not Mockingjay's; so it is with pre-norm layers, which ours are not.

    Example:
        >>> import torch
        >>> list(from_mockingjay({"encoder.layer.2.attention.self.query.bias": torch.zeros(768)}))
        ['layers.2.query.bias']
    """
    return {_our_name(name): tensor for name, tensor in state.items()}


def _our_name(name: str) -> str:
    module, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", module)
    ours = _LAYER_NAMES.get(layer[2]) if layer else _NAMES.get(module)
    if ours is None:
        raise CheckpointError(f"'{name}' is no weight of Mockingjay with post-norm layers, nor of its head")
    return f"layers.{layer[1]}.{ours}.{kind}" if layer else f"{ours}.{kind}"
