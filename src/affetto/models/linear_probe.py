"""A linear classifier on a summary of a frozen encoder's states: the lightest head that a strong encoder can have.

Clip by clip, the states of the chosen layers are averaged over time (or summarised otherwise, see `pooling`),
standardised with the training clips' mean and deviation, and mapped linearly to the classes: multinomial logistic
regression when trained with cross-entropy and weight decay. On a few hundred clips it is hard to beat ("linear probes",
Alain and Bengio, 2016, arXiv:1610.01644).

With `baseline` it learns every clip twice, as it is and with its speaker moved onto the training's mean and deviation,
and can judge a new clip either way (see `affetto.baseline`).
"""

from collections.abc import Iterable, Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from affetto.baseline import Baseline
from affetto.batch import Padded
from affetto.encoders import whisper
from affetto.encoders.frozen import Frozen
from affetto.encoders.whisper import WhisperSettings
from affetto.layers import Classifier, Standardize
from affetto.models.base import ModelSettings, SpeechModel, Streams, register
from affetto.pretrained import encoder_weights

PRIOR_CLIPS = 16
"""Clips that the training's own mean and deviation count for beside those of a speaker's baseline."""
PRIOR_CLIPS_OF_LOGITS = 4
"""Clips that logits as they are count for beside those relative to the baseline's. Both, and `EVEN`, were chosen on
EMO-DB and on RAVDESS actors 1 to 12 (docs/voice.md)."""
EVEN = 0.5
"""How far a baseline makes the classes alike in how much their logits vary: 0 not at all, 1 wholly."""
LEAST_VARIED = 0.1
"""Of the classes' mean deviation; what a class's is taken for at least."""


class LinearProbeSettings(ModelSettings):
    """Which encoder is probed, and where."""

    name: Literal["linear_probe"] = "linear_probe"
    encoder: WhisperSettings = Field(default=WhisperSettings(outputs=(2, 3)))
    pooling: Literal["mean", "loud_mean", "loud_quantiles"] = "mean"
    """What stands for a clip: the mean of its states, or of those of its loud moments, or their quantiles
    (see `encoders.frozen`)."""
    levelled: bool = False
    """Whether silence is cut and speech brought to one level before the encoder listens (see `encoders.frozen`)."""
    baseline: bool = False
    """Whether it learns, beside judging a clip by itself, to judge it beside its speaker's other clips."""

    @model_validator(mode="after")
    def _check_frozen(self) -> Self:
        if self.encoder.trainable:
            raise ValueError("a linear probe's encoder is frozen, got encoder.trainable true")
        return self


@register("linear_probe", paper="none; linear probes after Alain and Bengio (2016)")
class LinearProbe(SpeechModel):
    """Summaries of states (B, 1, D) to logits (B, K)."""

    Settings = LinearProbeSettings

    def __init__(self, settings: LinearProbeSettings, n_classes: int) -> None:
        frozen = Frozen(settings.encoder, summary=settings.pooling, levelled=settings.levelled)
        super().__init__({"speech": frozen})
        self.settings = settings
        self.standardize = Standardize(frozen.width)
        self.classifier = Classifier(frozen.width, n_classes)
        # The loss is convex: every start ends at the same weights, so none has to be drawn.
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def load_pretrained(self) -> None:
        """Fill the encoder with the weights that its settings name."""
        frozen = self.streams["speech"]
        assert isinstance(frozen, Frozen)
        whisper.load_weights(frozen.encoder, encoder_weights(self.settings.encoder.weights))

    def fit_normalisation(self, streams: Iterable[Streams]) -> None:
        """Standardise with the mean and deviation of the training clips."""
        self.standardize.fit(batch["speech"].values[:, 0] for batch in streams)

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K)."""
        with torch.autocast(streams["speech"].values.device.type, enabled=False):
            logits: Tensor = self.classifier(self.standardize(streams["speech"].values[:, 0].float()))
        return logits

    @property
    def takes_baseline(self) -> bool:
        """Whether it was trained to."""
        return self.settings.baseline

    def moved(self, streams: Streams, baselines: Sequence[Baseline]) -> Streams:
        """Summaries (B, 1, D) with each speaker's mean and deviation brought to those of the training."""
        return self._moved(streams, [self._statistics(each) for each in _once(baselines)], baselines)

    def judge(self, streams: Streams, baselines: Sequence[Baseline | None]) -> Tensor:
        """Logits (B, K); beside a baseline, relative to what the speaker's own clips get.

        From the moved clip's logits the mean of the baseline's is taken, so that no class is a speaker's answer to
        everything, and classes whose logits hardly vary with this speaker are stretched towards those that vary much.
        The more clips there are, the more both count.
        """
        speakers = _once(baselines)
        statistics = [self._statistics(each) for each in speakers]
        logits: Tensor = self(self._moved(streams, statistics, baselines))
        usual = [self._usual(*each) for each in zip(speakers, statistics, strict=True)]
        centre, stretch = (torch.stack(part) for part in zip(*usual, strict=True))  # (speakers, K)
        places = [speakers.index(each) for each in baselines]
        return (logits - centre[places]) * stretch[places]

    def _moved(
        self, streams: Streams, statistics: "Sequence[Statistics]", baselines: Sequence[Baseline | None]
    ) -> Streams:
        speech, speakers = streams["speech"], _once(baselines)
        mean, deviation = (torch.stack(part) for part in zip(*statistics, strict=True))  # (speakers, D)
        places = [speakers.index(each) for each in baselines]
        standard = (speech.values[:, 0].float() - mean[places]) / deviation[places]
        values = self.standardize.mean + standard * self.standardize.deviation
        return {**streams, "speech": Padded(values[:, None], speech.lengths)}

    def _statistics(self, baseline: Baseline | None) -> "Statistics":
        """Mean and deviation, (D,) each, that a speaker's clips are standardised with; without any, the training's."""
        mean, variance = self.standardize.mean, self.standardize.deviation.square()
        if baseline is None:
            return mean, self.standardize.deviation
        share, rows = _share(baseline, PRIOR_CLIPS), baseline.summaries.to(mean.device)
        usual = rows.mean(dim=0)
        # Not var(), which takes ten times as long: a server asks this for every stream at every update.
        varied = (rows - usual).square_().mean(dim=0)
        return mean + share * (usual - mean), (variance + share * (varied - variance)).sqrt()

    def _usual(self, baseline: Baseline | None, statistics: "Statistics") -> "Statistics":
        """What is taken from a speaker's logits, and what they are then multiplied with, (K,) each."""
        if baseline is None:
            return torch.zeros_like(self.classifier.bias), torch.ones_like(self.classifier.bias)
        mean, deviation = statistics
        rows = baseline.summaries.to(mean.device) - mean
        logits: Tensor = F.linear(rows, self.classifier.weight / deviation, self.classifier.bias)
        share = _share(baseline, PRIOR_CLIPS_OF_LOGITS)
        varied = logits.std(dim=0, correction=0).clamp(min=1e-6)
        usual = varied.log().mean().exp()
        return share * logits.mean(dim=0), (usual / varied.clamp(min=LEAST_VARIED * float(usual))) ** (EVEN * share)


Statistics = tuple[Tensor, Tensor]
"""Two vectors of a speaker's."""


def _once(baselines: "Sequence[Baseline | None]") -> "list[Baseline | None]":
    """Each of the baselines once, in the order of their first."""
    return list({id(each): each for each in baselines}.values())


def _share(baseline: Baseline, prior: int) -> float:
    """How much a baseline counts beside what counts for so many clips: 0 for no clips, near 1 for many."""
    return baseline.clips / (baseline.clips + prior)
