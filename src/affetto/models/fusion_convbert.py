"""Fusion-ConvBERT (the first paper, section 3.4): a speech transformer and a CNN in parallel, fused by a transformer.

Log-mel frames go through the convolution blocks (section 3.2) and through a speech transformer (section 3.3); both are
projected to the fusion's width, and L' post-norm layers fuse them, in one of four arrangements:

* `robust_bert` (Figure 4b, the paper's better one): the CNN's steps are queries, the speech transformer's states are
  keys and values;
* `robust_cnn` (Figure 4a): the other way round;
* `concatenation` (section 3.4): both sequences one after the other, each position looking at all;
* `equation_10`, as printed: queries and values from the speech transformer, keys from the CNN.

The paper's speech transformer is Mockingjay (`speech_bert`); the first layers of Whisper's encoder (`whisper`) may take
its place. Frozen, their states are standardised with the training clips' mean and deviation: most features are far from
zero for how much they vary.
"""

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.batch import Padded, join, stretch
from affetto.encoders import speech_bert, weights, whisper
from affetto.encoders.frozen import Frozen
from affetto.encoders.speech_bert import SpeechBert, SpeechBertSettings
from affetto.encoders.whisper import Whisper, WhisperSettings
from affetto.frontend import LogMel, NamedFrontEnd
from affetto.layers import Classifier, ConvNorm, ConvStack, Standardize, Swish
from affetto.models import downstream
from affetto.models.base import CNN_READINGS, READINGS, SpeechModel, Streams, register
from affetto.models.downstream import DownstreamSettings, transformer
from affetto.pretrained import encoder_weights


class FusionSettings(DownstreamSettings):
    """Settings of the fusion; the defaults are the paper's but for the size of the speech BERT (preset `small`)."""

    name: Literal["fusion_convbert"] = "fusion_convbert"
    front_end: NamedFrontEnd = Field(default="mel160", validate_default=True)
    encoder: SpeechBertSettings | WhisperSettings = Field(default=SpeechBertSettings(), discriminator="name")
    arrangement: Literal["robust_bert", "robust_cnn", "concatenation", "equation_10"] = "robust_bert"
    """Which representation asks, and which answers."""
    conv_norm: ConvNorm = "point"
    """What the convolution blocks' layer norm runs over: the channels of each time-frequency point, or a whole clip."""
    swish: Swish = "fixed"
    """Whether the convolution blocks' slope of eq. (4) stays at 1 or is learned, one a block."""

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        inputs = self.front_end.width
        if inputs < 64:
            raise ValueError(f"the CNN's poolings take 64 features or more, got {inputs}")
        if isinstance(self.encoder, SpeechBertSettings) and self.encoder.inputs != inputs:
            raise ValueError(f"encoder.inputs is {self.encoder.inputs}, but the front end gives {inputs} features")
        return self


@register(
    "fusion_convbert",
    paper="Fusion-ConvBERT (section 3.4, Figure 4)",
    differs=(
        "the CNN gives T / 64 steps of 1024 features (2 bands x 512 maps before the last pooling): eq. (5) is a "
        "sequence, Table 1's last pooling is not",
        "K and V come from one representation and Q from the other, as in Figure 4 and section 4.2.4; eq. (10) takes K "
        "from the CNN, Q and V from the speech transformer, and so needs two sequences of one length: as an "
        "arrangement of its own, each CNN step is repeated for the states that it covers",
        "the projections to the fusion's width are 1 x 1 convolutions (linear layers); the paper names no kernel",
        "each fusion layer's output is the next one's query and the memory stays (of equation_10's, the keys alone do: "
        "its values are the queries); inner width 4 x 120; Swish",
        "a trainable Swish (swish: trainable) is that of the convolution blocks alone",
        "the last states are averaged over the real steps before the linear layer; the paper does not say how",
        "where frozen Whisper stands for the speech BERT, its states are standardised",
        *CNN_READINGS,
        *downstream.READINGS,
        *speech_bert.READINGS,
        *READINGS,
    ),
)
class FusionConvBERT(SpeechModel):
    """Log-mel frames (B, T, 160), and Whisper's states or frames where it is the encoder, to logits (B, K)."""

    Settings = FusionSettings

    def __init__(self, settings: FusionSettings, n_classes: int) -> None:
        super().__init__({"log_mel": LogMel(settings.front_end)})
        self.settings = settings
        self.encoder: SpeechBert | Whisper | None = None
        encoder = settings.encoder
        if isinstance(encoder, SpeechBertSettings):
            self.encoder = SpeechBert(encoder)
            encoder_width = self.encoder.width
        elif encoder.trainable:
            self.streams["speech"] = LogMel(encoder.front_end)
            self.encoder = Whisper(encoder)
            encoder_width = self.encoder.width
        else:
            frozen = Frozen(encoder)
            self.streams["speech"] = frozen
            encoder_width = frozen.width
        self.standardize = Standardize(encoder_width) if self.encoder is None else None
        self.stack = ConvStack(norm=settings.conv_norm, swish=settings.swish)
        bands = settings.front_end.width // 64
        self.project_cnn = nn.Linear(512 * bands, settings.width)
        self.project_encoder = nn.Linear(encoder_width, settings.width)
        self.fusion = transformer(settings)
        self.classifier = Classifier(settings.width, n_classes)

    def load_pretrained(self) -> None:
        """Fill the encoder, trained or frozen, with the weights that its settings name."""
        settings = self.settings.encoder
        if isinstance(settings, SpeechBertSettings):
            assert isinstance(self.encoder, SpeechBert)
            weights.load(self.encoder, settings.weights)
        else:
            encoder = self.encoder if settings.trainable else self.streams["speech"].encoder
            assert isinstance(encoder, Whisper)
            whisper.load_weights(encoder, encoder_weights(settings.weights))

    def fit_normalisation(self, streams: Iterable[Streams]) -> None:
        """Standardise a frozen encoder's states with the mean and deviation of the training clips'."""
        if self.standardize is not None:
            self.standardize.fit(batch["speech"].values[batch["speech"].mask] for batch in streams)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        log_mel = streams["log_mel"]
        maps = self.stack(log_mel)  # (B, T / 64, bands, 512)
        steps = maps.with_values(self.project_cnn(maps.values.flatten(2)))  # (B, T / 64, D)
        states = self._speech_states(streams)
        states = states.with_values(self.project_encoder(states.values))  # (B, S, D)
        logits: Tensor = self.classifier(self._fuse(steps, states).mean())
        return logits

    def _fuse(self, steps: Padded, states: Padded) -> Padded:
        """The last layer's positions, of the CNN's steps (B, T / 64, D) and the transformer's states (B, S, D)."""
        match self.settings.arrangement:
            case "robust_bert":
                fused = steps
                for layer in self.fusion:
                    fused = layer(fused, states)
            case "robust_cnn":
                fused = states
                for layer in self.fusion:
                    fused = layer(fused, steps)
            case "concatenation":
                fused = join(steps, states)
                for layer in self.fusion:
                    fused = layer(fused, fused)
            case "equation_10":
                fused, keys = states, stretch(steps, states, self.stack.stride * self._states_a_frame)
                for layer in self.fusion:
                    fused = layer(fused, keys, fused)
        return fused

    @property
    def _states_a_frame(self) -> float:
        """States of the speech transformer for each frame that the CNN hears."""
        if isinstance(self.encoder, SpeechBert):
            return 1.0
        assert isinstance(self.settings.encoder, WhisperSettings)
        return self.settings.encoder.frame_rate / self.settings.front_end.frame_rate

    def _speech_states(self, streams: Streams) -> Padded:
        if self.encoder is None:
            assert self.standardize is not None
            speech = streams["speech"]
            return speech.with_values(self.standardize(speech.values))
        frames = streams["log_mel" if isinstance(self.encoder, SpeechBert) else "speech"]
        states: Padded = self.encoder(frames)
        return states
