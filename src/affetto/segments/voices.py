"""Windows judged beside the speaker's own baseline: what was heard of a voice before, or recordings of it in a folder.

A baseline (`affetto.baseline`) is of one voice: a channel, or a speaker of a diarisation. A folder holds recordings of
one speaker, or a folder for each voice, called as the speaker is, or `channel 0`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from affetto import audio
from affetto.audio import SAMPLE_RATE, Waveform
from affetto.baseline import Baseline
from affetto.errors import AudioError, ConfigError
from affetto.recognizer import Recognizer, RunningBaseline
from affetto.segments.windows import Outcome

Baselines = Literal["none", "running"] | Path
"""No baseline; one that grows with what is heard; or a folder of recordings, or a file of `Baseline.save`."""


@dataclass(frozen=True)
class Heard:
    """What was heard in a window, and what it adds to its voice's running baseline, if that grows."""

    outcome: Outcome
    gained: Baseline | None = None


class Voices:
    """Judges windows of several voices, each beside its own baseline.

    Args:
        recognizer: judges them.
        kind: what a voice is compared with.
        known: running baselines of an earlier run, by voice.

    Raises:
        ConfigError: if the model takes no baseline, or the folder holds no recordings.
        AudioError: if one of them cannot be heard.
    """

    def __init__(self, recognizer: Recognizer, kind: Baselines, known: dict[str, Baseline] | None = None) -> None:
        self.recognizer, self.kind = recognizer, kind
        self._running: dict[str, RunningBaseline] = {}
        self._given: dict[str, Baseline] = {} if kind in ("none", "running") else given(recognizer, Path(kind))
        if kind == "running":
            _ = recognizer.heard_by
        for voice, baseline in (known or {}).items():
            self._voice(voice).baseline = baseline

    def hear(self, voice: str, windows: Sequence[Waveform]) -> list[Heard]:
        """Judge the next windows of a voice.

        Args:
            voice: as it is called; "" for the only one.
            windows: in their order.

        Returns:
            What was heard in each.
        """
        sounds = [(window, SAMPLE_RATE) for window in windows]
        if self.kind != "running":
            own = self._given.get(voice, self._given.get(""))
            baselines = None if own is None else [own] * len(sounds)
            return [Heard(outcome) for outcome in self.recognizer.predict_all(sounds, baselines=baselines)]
        running = self._voice(voice)
        found = []
        for sound in sounds:
            try:
                [prediction] = running.hear([sound])
            except AudioError as error:
                found.append(Heard(error))
                continue
            assert running.baseline is not None
            found.append(Heard(prediction, _latest(running.baseline)))
        return found

    def _voice(self, voice: str) -> RunningBaseline:
        return self._running.setdefault(voice, self.recognizer.running())


def given(recognizer: Recognizer, path: Path) -> dict[str, Baseline]:
    """Baselines by voice; that of every voice is called "".

    Raises:
        ConfigError: if there are no recordings, or the model takes no baseline.
        AudioError: if a recording cannot be heard.
    """
    if path.is_file():
        baseline = Baseline.load(path)
        baseline.check(recognizer.heard_by)
        return {"": baseline}
    folders = {"": path} if path.is_dir() else {}
    folders |= {folder.name: folder for folder in sorted(path.glob("*/")) if folder.is_dir()}
    found = {voice: audio.find(folder, recursive=False) for voice, folder in folders.items()}
    if not any(found.values()):
        raise ConfigError(f"--baseline {path}: expected none, running, or a folder with recordings of the speaker")
    return {voice: recognizer.baseline(clips) for voice, clips in found.items() if clips}


def _latest(baseline: Baseline) -> Baseline:
    """The baseline of its last clip."""
    return Baseline(baseline.summaries[-1:], baseline.lengths[-1:], baseline.heard_by)
