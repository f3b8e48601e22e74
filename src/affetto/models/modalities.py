"""Modality drop-out: in training now and then a clip has no words, or no voice, so that a model can do without either.

After Neverova et al. (2016), "ModDrop", arXiv:1501.00102: whole modalities are dropped, not single units, and never
both of a clip. What takes a dropped side's place is the model's to say; it must be what it does where that side's
stream is missing, so that a clip whose words were dropped is answered as one without words.

Differs from ModDrop: nothing is scaled up for what was dropped. A missing side is not noise to be averaged out but what
the model will meet.
"""

from collections.abc import Mapping
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.config import Settings
from affetto.encoders.text_bert import TextBertSettings
from affetto.models.base import ModelSettings, Sense, SpeechModel, Streams


class ModalityDropoutSettings(Settings):
    """How often either side is silenced; a side that never is, the model cannot do without."""

    words: float = Field(default=0.0, ge=0, lt=1)
    """Share of a training's clips whose words are not heard."""
    voice: float = Field(default=0.0, ge=0, lt=1)
    """Share whose voice is not heard; these are others."""

    @model_validator(mode="after")
    def _check_rest(self) -> Self:
        if self.words + self.voice >= 1:
            raise ValueError(f"words and voice leave no clip whole: {self.words} + {self.voice} is not below 1")
        return self

    @property
    def optional(self) -> frozenset[Sense]:
        """What a model trained like this does without."""
        shares: dict[Sense, float] = {"sound": self.voice, "words": self.words}
        return frozenset(sense for sense, share in shares.items() if share)


class ModalityDropout(nn.Module):
    """Draws whose voice and whose words count in a step of training; in evaluation everybody's do."""

    def __init__(self, settings: ModalityDropoutSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, streams: Streams) -> tuple[Tensor | None, Tensor | None]:
        """Whose voice is heard, and whose words, (B,) each; None: everybody's."""
        if not (self.training and self.settings.optional):
            return None, None
        lengths = next(iter(streams.values())).lengths
        drawn = torch.rand(len(lengths), device=lengths.device)
        words, voice = self.settings.words, self.settings.voice
        return drawn < 1 - voice if voice else None, drawn >= words if words else None


class ConditionedSettings(ModelSettings):
    """Settings of a model whose voice is heard in the light of the words."""

    words: TextBertSettings = TextBertSettings()
    """Whose embeddings condition; frozen."""
    modality_dropout: ModalityDropoutSettings = ModalityDropoutSettings()
    """How often a clip's words or its voice are silenced in training; the second paper's never are."""

    @property
    def hears_words(self) -> bool:
        """It hears them beside the voice."""
        return True

    @model_validator(mode="after")
    def _check_words(self) -> Self:
        if self.words.trainable:
            raise ValueError("the words' encoder is frozen, got words.trainable true")
        return self


class ConditionedModel(SpeechModel):
    """A model with a voice and with words that shift what is made of it.

    Args:
        streams: of the voice, and `words`.
        settings: of the model.
    """

    settings: ConditionedSettings

    def __init__(self, streams: Mapping[str, nn.Module], settings: ConditionedSettings) -> None:
        super().__init__(streams)
        self.settings = settings
        self.modality_dropout = ModalityDropout(settings.modality_dropout)

    @property
    def optional(self) -> frozenset[Sense]:
        """What was dropped in training."""
        return self.settings.modality_dropout.optional
