"""CNN14 whose maps are shifted by what is said (the second paper, section 3): rows `sfcnn14` and `mfcnn14`.

A frozen BERT gives the average E of a transcript's token embeddings. In the chosen blocks of CNN14 a linear projection
of it is added to the maps, one number a map, over all time and frequency:

    H1 = ReLU(BN(CONV(X)))       (1)
    H2 = ReLU(BN(CONV(H1)))      (2)
    Y  = H2 + PROJ(E)            (3), (4)
    PROJ(E) = W E + b            (5)

In every block this is the paper's multistage fusion (MFCNN14, `stages: [1, 2, 3, 4, 5, 6]`); in the last alone its
single-stage fusion (SFCNN14, `stages: [6]`). The printed equations lost their symbols; these are read from the text
around them, and from code of the first author for another task (exvo-eihw-personalisation).

With modality drop-out, which the paper has not, a network answers without words or without a voice, too. Either side
is then missing from the sum (3) alike. Without words PROJ(E) is left out, bias included, which leaves CNN14 itself; an
embedding that stands for "no words" would be a second bias in every block, learned from a few clips, where the network
needs no shift to hear a voice. Without a voice H2 is zero in the first block with words.
"""

from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from affetto.batch import Padded
from affetto.encoders import weights
from affetto.encoders.cnn14 import BLOCKS, MELS, SHORTEST, Cnn14, initialise_xavier
from affetto.encoders.text_bert import FrozenText, load_frozen
from affetto.frontend import LogMel
from affetto.layers import Classifier
from affetto.models.base import Streams, register
from affetto.models.cnn14 import CNN14_READINGS, AcousticSettings
from affetto.models.modalities import ConditionedModel, ConditionedSettings


class ConditionedCnn14Settings(AcousticSettings, ConditionedSettings):
    """Settings of the fusion; the defaults are the paper's multistage one, as far as they are known."""

    name: Literal["conditioned_cnn14"] = "conditioned_cnn14"
    stages: tuple[int, ...] = tuple(range(1, BLOCKS + 1))
    """Blocks whose maps are shifted; 1 is the first."""
    shift_position: Literal["post_relu", "pre_relu"] = "post_relu"
    """Whether the shift is added after the block's last ReLU or before it."""
    proj_activation: Literal["none", "relu"] = "none"
    """Of the projection; the paper's is linear, the author's other code has a ReLU."""

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        if not self.stages or list(self.stages) != sorted(set(self.stages) & set(range(1, BLOCKS + 1))):
            raise ValueError(
                f"stages are numbers of blocks from 1 to {BLOCKS}, each once and in order, got {list(self.stages)}; "
                "for none take the model cnn14"
            )
        return self


@register(
    "conditioned_cnn14",
    paper="Multistage linguistic conditioning (section 3: SFCNN14, MFCNN14)",
    differs=(
        *CNN14_READINGS,
        "the shift is added after the block's second ReLU and before its pooling, with which it commutes "
        "(`shift_position`); the equations are lost",
        "single-stage fusion adds its projection to the last block's maps; after the pooling of maximum plus mean that "
        "is twice the projection",
    ),
    n_classes=4,
)
class ConditionedCnn14(ConditionedModel):
    """Log-mel frames (B, T, 64) and embeddings of transcripts (B, 1, D) to logits (B, K)."""

    Settings = ConditionedCnn14Settings
    settings: ConditionedCnn14Settings

    def __init__(self, settings: ConditionedCnn14Settings, n_classes: int) -> None:
        words = FrozenText(settings.words)
        super().__init__({"log_mel": LogMel(settings.front_end), "words": words}, settings)
        self.encoder = Cnn14(settings.encoder)
        self.projections = nn.ModuleDict(
            {str(stage): nn.Linear(words.width, self.encoder.maps[stage - 1]) for stage in settings.stages}
        )
        self.classifier = Classifier(self.encoder.width, n_classes)
        for part in (self.projections, self.classifier):
            part.apply(initialise_xavier)

    def load_pretrained(self) -> None:
        """Fill the encoder with the weights that its settings name, if they do, and BERT with its own."""
        weights.load(self.encoder, self.settings.encoder.weights)
        load_frozen(self.streams["words"])

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        voiced, worded = self.modality_dropout(streams)
        frames = streams.get("log_mel")
        if frames is None:
            frames, voiced = _unheard(streams["words"])
        shifts = self._shifts(streams["words"].values[:, 0], worded) if "words" in streams else {}
        before_relu = self.settings.shift_position == "pre_relu"
        logits: Tensor = self.classifier(self.encoder(frames, shifts, before_relu=before_relu, voiced=voiced))
        return logits

    def _shifts(self, embedding: Tensor, worded: Tensor | None) -> dict[int, Tensor]:
        """What is added in each stage, (B, maps), of embeddings (B, D); nothing where `worded` (B,) is false."""
        shifts = {int(stage): projection(embedding) for stage, projection in self.projections.items()}
        if self.settings.proj_activation == "relu":
            shifts = {stage: F.relu(shift) for stage, shift in shifts.items()}
        if worded is not None:
            shifts = {stage: shift * worded[:, None] for stage, shift in shifts.items()}
        return shifts


def _unheard(words: Padded) -> tuple[Padded, Tensor]:
    """Frames (B, T, 64) for clips of which there are words alone, and that none of them is listened to, (B,)."""
    values, lengths = words.values, words.lengths
    frames = Padded(values.new_zeros(len(words), SHORTEST, MELS), torch.full_like(lengths, SHORTEST))
    return frames, torch.zeros_like(lengths, dtype=torch.bool)
