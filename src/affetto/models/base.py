"""What every model is, and the register of models.

A model listens through `streams`: modules without anything to train (a log-mel front end, a frozen encoder, a
tokenizer) that turn waveforms, or the words that were said, into (B, T, D). Training computes them once a clip and
caches them; recognition runs them in place. What comes after them is the network proper, `forward`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from affetto.baseline import Baseline
from affetto.batch import Padded
from affetto.config import Settings
from affetto.encoders.frozen import Frozen

Streams = Mapping[str, Padded]
Sense = Literal["sound", "words"]


def sense(stream: nn.Module) -> Sense:
    """What a stream is called with: waveforms, or transcripts where it has the attribute `hears = "words"`."""
    hears: Sense = getattr(stream, "hears", "sound")
    return hears


class ModelSettings(Settings):
    """Base of every model's settings."""

    name: str
    """The model's, as it is registered."""

    @property
    def hears_words(self) -> bool:
        """Whether the model needs to know what was said."""
        return False


class SpeechModel(nn.Module):
    """Base of all models: waveforms, words or both to logits by way of streams.

    Args:
        streams: what the model listens through, by name.
    """

    Settings: ClassVar[type[ModelSettings]]

    def __init__(self, streams: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.streams = nn.ModuleDict(streams)

    @property
    def senses(self) -> frozenset[Sense]:
        """What its streams are called with."""
        return frozenset(sense(stream) for stream in self.streams.values())

    @property
    def optional(self) -> frozenset[Sense]:
        """Those of its senses that it learned to do without; never all at once. Most models need all."""
        return frozenset()

    @property
    def takes_baseline(self) -> bool:
        """Whether it can judge a clip beside other clips of the same speaker; most models cannot."""
        return False

    def hear(self, waveforms: Padded | None, words: Sequence[str] | None = None) -> Streams:
        """What the streams give of waveforms (B, N) at 16 kHz and of B transcripts; None does for what is not heard."""
        given = {"sound": waveforms, "words": words}
        there = {each for each in self.senses if given[each] is not None}
        assert there and self.senses - there <= self.optional, f"hears {self.senses}, got {given}"
        device = next(self.parameters()).device
        streams = {name: stream for name, stream in self.streams.items() if sense(stream) in there}
        return {name: stream(given[sense(stream)]).to(device) for name, stream in streams.items()}

    def listen(self, waveforms: Padded | None, words: Sequence[str] | None = None) -> Tensor:
        """Logits (B, K) of waveforms (B, N) at 16 kHz and of B transcripts; None does for what is not heard."""
        logits: Tensor = self(self.hear(waveforms, words))
        return logits

    def prepare(self, *, bf16: bool) -> None:
        """Make its frozen encoders of sound fast at clips of ever other lengths (`Frozen.prepare`)."""
        for stream in self.streams.values():
            if isinstance(stream, Frozen):
                stream.prepare(bf16=bf16)

    def voice(self, streams: Streams) -> Tensor | None:
        """Each clip as one vector, (B, D): the mean states of frozen encoders of sound; None without one.

        What training leaves alone can tell whether a clip sounds like any that are known.
        """
        frozen = (name for name, stream in self.streams.items() if isinstance(stream, Frozen) and name in streams)
        means = [streams[name].mean().float() for name in frozen]
        return torch.cat(means, dim=-1) if means else None

    def forward(self, streams: Streams) -> Tensor:
        """Logits (B, K) of what the streams gave; those of senses in `optional` may be missing."""
        raise TypeError(f"{type(self).__name__} does not define forward")

    def judge(self, streams: Streams, baselines: Sequence[Baseline | None]) -> Tensor:
        """Logits (B, K), each clip beside its speaker's baseline where there is one."""
        assert all(baseline is None for baseline in baselines), f"{type(self).__name__} takes no baseline"
        logits: Tensor = self(streams)
        return logits

    def moved(self, streams: Streams, baselines: Sequence[Baseline]) -> Streams:
        """The streams as if their speakers were those of the training: what is learned beside a baseline."""
        raise TypeError(f"{type(self).__name__} takes no baseline")

    def frame_rate(self, stream: str) -> float | None:
        """Frames a second of a stream; None if it gives one vector a clip."""
        rate: float | None = self.streams[stream].frame_rate  # type: ignore[assignment]
        return rate

    def fit_normalisation(self, streams: Iterable[Streams]) -> None:
        """Take whatever statistics the model standardises with from the training data; most models have none."""

    def load_pretrained(self) -> None:
        """Fill the parts that the settings say begin from known weights; most models have none."""

    @property
    def trained_state(self) -> dict[str, Tensor]:
        """Weights and buffers of all submodules but the streams: all that training changes."""
        parts = ((name, part) for name, part in self.named_children() if name != "streams")
        return {f"{name}.{key}": tensor for name, part in parts for key, tensor in part.state_dict().items()}


@dataclass(frozen=True)
class ModelInfo:
    """What can be said of a model without building it.

    Args:
        name: as used in experiments.
        paper: where it comes from.
        differs: how it differs from there, one reading a line.
        build: the class; called with its settings and the number of classes.
        n_classes: of the paper's categories, for which its size is told.
    """

    name: str
    paper: str
    differs: tuple[str, ...]
    build: type[SpeechModel]
    n_classes: int = 7

    def create(self, settings: ModelSettings, n_classes: int) -> SpeechModel:
        """A new model with random weights."""
        build: Callable[[Any, int], SpeechModel] = self.build
        return build(settings, n_classes)


READINGS = (
    "clips are padded to the batch's longest and masked, not zero-padded to a fixed length",
    "windows of 400 samples are zero-padded to a 1024-point FFT; with 512 some of the 160 mel filters would be empty",
    "log-mel bins are z-scored over the utterance and not clipped to -1..1; eq. (2) does not say over what",
)
"""What every model of the first paper reads alike where the paper is silent or unclear."""

CNN_READINGS = (
    "layer norm runs over the channels of each time-frequency point (conv_norm: clip, over all of a clip); the paper "
    "does not say over what",
    "pooling takes the maximum, and a last window of time that a clip only partly fills counts; the paper does not "
    "say which",
)
"""What those with its convolution blocks do."""

REGISTRY: dict[str, ModelInfo] = {}
M = TypeVar("M", bound=type[SpeechModel])


def register(name: str, *, paper: str, differs: tuple[str, ...] = (), n_classes: int = 7) -> Callable[[M], M]:
    """Decorator: enter a model class under its name."""

    def enter(build: M) -> M:
        assert name not in REGISTRY, f"two models are called {name}"
        REGISTRY[name] = ModelInfo(name, paper, differs, build, n_classes)
        return build

    return enter
