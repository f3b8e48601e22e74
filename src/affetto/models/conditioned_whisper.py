"""Whisper's states shifted by what is said: the second paper's conditioning with another encoder than CNN14.

The first layers of Whisper's encoder stay frozen, and their states, standardised with the training clips' mean and
deviation, are computed once a clip. What learns is a small network on each state x, of a few layers, whose maps are
shifted by a linear projection of the transcript's average embedding E as CNN14's are:

    Y = ReLU(W X + b) + PROJ(E)      as in (2), (3) and (5), without convolutions, one such layer a stage

A clip is then the maximum plus the mean of its states over time, as in CNN14, and a linear layer classifies it. With
one stage, shift and pooling commute, and words and voice meet in the linear layer alone (the paper's single-stage
fusion); each further stage hears every moment of the voice in the light of the words.
"""

from collections.abc import Iterable
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.batch import Padded
from affetto.encoders import whisper
from affetto.encoders.cnn14 import initialise_xavier
from affetto.encoders.frozen import Frozen
from affetto.encoders.text_bert import FrozenText, load_frozen
from affetto.encoders.whisper import WhisperSettings
from affetto.layers import Classifier, Standardize
from affetto.models.base import Streams, register
from affetto.models.modalities import ConditionedModel, ConditionedSettings
from affetto.pretrained import encoder_weights


class ConditionedWhisperSettings(ConditionedSettings):
    """Settings of the conditioned layers on Whisper's states."""

    name: Literal["conditioned_whisper"] = "conditioned_whisper"
    encoder: WhisperSettings = WhisperSettings()
    """Whose states are conditioned; frozen."""
    width: int = Field(default=128, ge=1)
    """Of the conditioned layers."""
    stages: int = Field(default=2, ge=1)
    """How many there are."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """After each of them."""

    @model_validator(mode="after")
    def _check_encoder(self) -> Self:
        if self.encoder.trainable:
            raise ValueError("Whisper is frozen, got encoder.trainable true")
        return self


@register(
    "conditioned_whisper",
    paper="none; the conditioning of Triantafyllopoulos et al. (section 3) on Whisper (Radford et al., 2022)",
    differs=(
        "the paper's words shift maps inside the encoder, which learns with them; here the encoder is frozen and never "
        "knows of the words: they shift the layers that are learned on top of it",
        "these layers look at one state each: whatever spans time, Whisper's layers have already heard",
    ),
    n_classes=4,
)
class ConditionedWhisper(ConditionedModel):
    """Whisper's states (B, T, D) and embeddings of transcripts (B, 1, E) to logits (B, K)."""

    Settings = ConditionedWhisperSettings
    settings: ConditionedWhisperSettings

    def __init__(self, settings: ConditionedWhisperSettings, n_classes: int) -> None:
        speech, words = Frozen(settings.encoder), FrozenText(settings.words)
        super().__init__({"speech": speech, "words": words}, settings)
        self.standardize = Standardize(speech.width)
        inputs = (speech.width, *[settings.width] * (settings.stages - 1))
        self.layers = nn.ModuleList(nn.Linear(each, settings.width) for each in inputs)
        self.projections = nn.ModuleList(nn.Linear(words.width, settings.width) for _ in inputs)
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = Classifier(settings.width, n_classes)
        for part in (self.layers, self.projections, self.classifier):
            part.apply(initialise_xavier)

    def load_pretrained(self) -> None:
        """Fill both encoders with the weights that their settings name."""
        frozen = self.streams["speech"]
        assert isinstance(frozen, Frozen)
        whisper.load_weights(frozen.encoder, encoder_weights(self.settings.encoder.weights))
        load_frozen(self.streams["words"])

    def fit_normalisation(self, streams: Iterable[Streams]) -> None:
        """Standardise with the mean and deviation of the training clips' states."""
        self.standardize.fit(batch["speech"].values[batch["speech"].mask] for batch in streams)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        voiced, worded = self.modality_dropout(streams)
        if "speech" in streams:
            states = streams["speech"]
            states = states.with_values(self.standardize(states.values))
        else:
            states, voiced = self._unheard(streams["words"])
        if voiced is not None:  # how long a recording is belongs to the voice
            states = Padded(states.values, torch.where(voiced, states.lengths, 1))
        # In float32 whatever the autocast: a maximum keeps the rounding of one moment, and these layers cost little.
        with torch.autocast(states.values.device.type, enabled=False):
            shifts = self._shifts(streams["words"].values[:, 0], worded) if "words" in streams else []
            logits: Tensor = self.classifier(self._condition(states, shifts, voiced).max_and_mean())
        return logits

    def _condition(self, states: Padded, shifts: list[Tensor], voiced: Tensor | None) -> Padded:
        """States (B, T, D) through the layers, (B, T, width), shifted in each by (B, width)."""
        values = states.values
        for stage, layer in enumerate(self.layers):
            values = F.relu(layer(values))  # (B, T, width)
            if voiced is not None and stage == 0:
                values = values * voiced[:, None, None]
            if shifts:
                values = values + shifts[stage][:, None]
            values = self.dropout(values)
        return states.with_values(values)

    def _shifts(self, embedding: Tensor, worded: Tensor | None) -> list[Tensor]:
        """What is added in each stage, (B, width), of embeddings (B, E); nothing where `worded` (B,) is false."""
        shifts = [projection(embedding) for projection in self.projections]
        return shifts if worded is None else [shift * worded[:, None] for shift in shifts]

    def _unheard(self, words: Padded) -> tuple[Padded, Tensor]:
        """A state (B, 1, D) for clips of which there are words alone, and that none of them is listened to, (B,).

        One is enough: without a voice all states are alike, and so is their maximum plus mean.
        """
        values = words.values.new_zeros(len(words), 1, self.settings.encoder.width * len(self.settings.encoder.outputs))
        ones = torch.ones_like(words.lengths)
        return Padded(values, ones), torch.zeros_like(ones, dtype=torch.bool)
