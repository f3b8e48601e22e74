"""A speaker's baseline that grows with every clip that is judged."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from affetto.baseline import Baseline, Growing
from affetto.recognizer.heard import Heard, Source, read, with_speech
from affetto.recognizer.prediction import Prediction
from affetto.vad import Probabilities

if TYPE_CHECKING:
    from affetto.recognizer.recognizer import Recognizer


class RunningBaseline:
    """A speaker's baseline that grows with every clip it judges: in a long recording, a stream, a conversation.

    It starts neutral: clips are judged by themselves until enough was heard of the speaker, and then beside all of it
    (the latest `baseline.MOST_CLIPS` clips), which counts the more, the more it is.

    Args:
        recognizer: whose model takes baselines.

    Raises:
        ConfigError: if it does not.
    """

    def __init__(self, recognizer: "Recognizer") -> None:
        self.recognizer = recognizer
        self.heard_by = recognizer.heard_by
        self._growing: Growing | None = None

    @property
    def baseline(self) -> Baseline | None:
        """Of what was heard of the speaker; None before anything was. It may be set, to go on with an earlier one."""
        return None if self._growing is None else self._growing.baseline

    @baseline.setter
    def baseline(self, known: Baseline) -> None:
        self._growing = Growing(known)

    @property
    def enough(self) -> bool:
        """Whether so much was heard of the speaker that it helps."""
        return self.baseline is not None and self.baseline.enough

    @property
    def counts(self) -> Baseline | None:
        """What clips are judged beside: nothing before enough was heard, as a little harms (`docs/voice.md`)."""
        return self.baseline if self.enough else None

    @property
    def seconds(self) -> float:
        """How much was heard of the speaker."""
        return 0.0 if self.baseline is None else self.baseline.seconds

    def hear(
        self, sources: Iterable[Source], *, speech: Iterable[Probabilities | None] | None = None
    ) -> list[Prediction]:
        """Judge the speaker's next clips, each beside itself and all that was heard before; each is encoded once.

        Args:
            sources: the clips.
            speech: as of `Recognizer.predict_all`.

        Raises:
            AudioError: at the first clip that cannot be heard; none is judged then.
        """
        likely = itertools.repeat(None) if speech is None else speech
        clips = [with_speech(read(source), known) for source, known in zip(sources, likely, strict=speech is not None)]
        if not clips:
            return []
        return [
            self._judge(clip, summary) for clip, summary in zip(clips, self.recognizer.summaries(clips), strict=True)
        ]

    def _judge(self, clip: Heard, summary: torch.Tensor) -> Prediction:
        if self._growing is None:
            self.baseline = Baseline(summary[None], torch.tensor([clip.seconds]), self.heard_by)
        else:
            self._growing.add(summary, clip.seconds)
        return self.recognizer.told([replace(clip, baseline=self.counts)], summary[None])[0]
