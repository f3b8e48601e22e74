"""A speaker's own baseline: what their voice is like, from clips that nobody labelled.

A voice that a model has never heard differs from those it learned from in pitch, timbre, microphone and language, and
the differences between emotions are small beside that. How a clip differs from its speaker's other clips says more.
A baseline holds what a model made of some clips of one speaker, one vector a clip; what it does with them is the
model's affair (`SpeechModel.judge`). It serves best when the clips carry the emotions that are told apart, none of them
much more often than the others; clips of one mood alone make that mood the speaker's normal one.

Standardising by speaker: Lee and Narayanan (2005, "Toward detecting emotions in spoken dialogs"); Busso et al. (2013,
"Iterative feature normalization scheme for automatic emotion detection from speech").
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from affetto.errors import ConfigError
from affetto.files import write_whole

ENOUGH_CLIPS = 12
"""Clips from which on a baseline helps on speakers of EMO-DB (`benchmarks/baseline.json`)."""
ENOUGH_SECONDS = 30.0
"""Seconds of them."""
MOST_CLIPS = 256
"""Clips that are held, at most: the latest. A quarter of an hour of talk or so; a server holds them for each stream."""
ROOM = 64
"""Clips that can be added to a baseline that grows before what it holds is copied."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """What a model made of one speaker's unlabelled clips.

    Args:
        summaries: one vector a clip, (clips, D), float32, on the CPU.
        lengths: seconds of each clip, (clips,), float32.
        heard_by: fingerprint of what made the vectors; they mean nothing to another model.
    """

    summaries: Tensor
    lengths: Tensor
    heard_by: str

    @property
    def clips(self) -> int:
        """How many clips it is made of."""
        return len(self.summaries)

    @property
    def seconds(self) -> float:
        """How long they are together."""
        return float(self.lengths.sum())

    @property
    def enough(self) -> bool:
        """Whether it was made of as much speech as it takes to help."""
        return self.clips >= ENOUGH_CLIPS and self.seconds >= ENOUGH_SECONDS

    def and_then(self, other: "Baseline") -> "Baseline":
        """The baseline of these clips and of later ones; beyond `MOST_CLIPS` the earliest are forgotten.

        Raises:
            ConfigError: if another model made the other one.
        """
        other.check(self.heard_by)
        summaries = torch.cat([self.summaries, other.summaries])[-MOST_CLIPS:]
        return Baseline(summaries, torch.cat([self.lengths, other.lengths])[-MOST_CLIPS:], self.heard_by)

    def check(self, heard_by: str) -> None:
        """See that it was made by the model of that fingerprint.

        Raises:
            ConfigError: if it was not.
        """
        if self.heard_by != heard_by:
            raise ConfigError("this baseline was made with another model; make it anew from the speaker's clips")

    def save(self, path: str | Path) -> None:
        """Write it as a safetensors file: a few kilobytes a clip."""
        tensors = {"summaries": self.summaries.contiguous(), "lengths": self.lengths.contiguous()}
        write_whole(Path(path), to_bytes(tensors, metadata={"baseline": json.dumps({"heard_by": self.heard_by})}))

    @staticmethod
    def load(path: str | Path) -> "Baseline":
        """Read what `save` wrote.

        Raises:
            ConfigError: if the file is missing or holds no baseline.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["baseline"])
                return Baseline(file.get_tensor("summaries"), file.get_tensor("lengths"), str(about["heard_by"]))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ConfigError(
                f"{path}: holds no speaker's baseline; expected a folder of clips, or a file of --save-baseline"
            ) from error


class Growing:
    """A baseline to which clips are added one at a time, as many as one likes.

    They lie in one block with room at its end, so that adding one copies none of the others; and all such blocks are of
    one size, so that memory is used again and does not fall to pieces. Baselines that were given out stay as they were.

    Args:
        baseline: it begins with.
    """

    def __init__(self, baseline: Baseline) -> None:
        self._begin(baseline)

    def _begin(self, held: Baseline) -> None:
        self.heard_by, self._last = held.heard_by, min(held.clips, MOST_CLIPS)
        self._summaries = held.summaries.new_empty(MOST_CLIPS + ROOM, held.summaries.shape[1])
        self._lengths = held.lengths.new_empty(MOST_CLIPS + ROOM)
        self._summaries[: self._last] = held.summaries[-self._last :]
        self._lengths[: self._last] = held.lengths[-self._last :]

    @property
    def baseline(self) -> Baseline:
        """Of the latest clips."""
        held = slice(max(0, self._last - MOST_CLIPS), self._last)
        return Baseline(self._summaries[held], self._lengths[held], self.heard_by)

    def add(self, summary: Tensor, seconds: float) -> None:
        """One more clip.

        Args:
            summary: what the model made of it, (D,).
            seconds: that it lasts.
        """
        if self._last == len(self._summaries):
            self._begin(self.baseline)
        self._summaries[self._last], self._lengths[self._last] = summary, seconds
        self._last += 1
