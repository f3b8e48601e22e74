"""What of a recording is done, so that a run that was killed is gone on with by the next one.

One line of JSON for everything that is finished, appended as it is; a line that a kill cut short is not counted. What
is written there is computed in the same way again when it is missing, so a run that was interrupted ends as one that
was not. The key is the file (path, size and time of its last change), the settings and the weights: another file or
another question begins anew.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock, Timeout

from affetto.audio import Waveform
from affetto.baseline import Baseline
from affetto.encoders import weights
from affetto.recognizer import Prediction, Recognizer
from affetto.segments.regions import Found, Known, Part
from affetto.segments.utterance import Utterance

EVERY = 60.0
"""Seconds of audio after which the state of the speech detector is kept."""


def key(path: Path, recognizer: Recognizer, settings: str) -> str:
    """The name of a file's journal: file, model and settings; and nothing of the audio is read for it.

    Args:
        path: of the recording.
        recognizer: that judges it.
        settings: all that the answer depends on, as text.
    """
    status = path.stat()
    digest = hashlib.sha256()
    for part in (path.resolve(), status.st_size, status.st_mtime_ns, settings, recognizer.precision):
        digest.update(f"{part}\n".encode(errors="surrogateescape"))
    digest.update(f"{recognizer.asr and recognizer.asr.name} {sorted(recognizer.senses)}\n".encode())
    digest.update(weights.digest(recognizer.checkpoint.model).encode())
    return digest.hexdigest()[:32]


class Journal:
    """A journal in a folder; or none, if another process is writing it.

    Args:
        folder: of journals; created if need be.
        name: the journal's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.jsonl"
        self.judged: dict[tuple[int, Part], list[Utterance]] = {}
        self.voices: dict[int, Known] = {}
        self.baselines: dict[str, Baseline] = {}
        self._lock = FileLock(f"{self.path}.lock", timeout=0)
        self._stream: TextIO | None = None

    def __enter__(self) -> "Journal":
        try:
            self._lock.acquire()
        except Timeout:
            return self
        whole = 0
        for end, line in _lines(self.path):
            self._read(line)
            whole = end
        self._stream = self.path.open("a", encoding="utf-8")
        self._stream.truncate(whole)  # what a kill cut short
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._stream is not None:
            self._stream.close()
            self._lock.release()

    def finish(self) -> None:
        """Throw it away: what it was for is done."""
        if self._stream is not None:
            self._stream.close()
            self.path.unlink()
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._stream = None

    def keep_judged(
        self, channel: int, part: Part, utterances: list[Utterance], voice: str, gained: Baseline | None
    ) -> None:
        """Note what was heard in a part.

        Args:
            channel: from 0.
            part: of it.
            utterances: in the part.
            voice: whose they are.
            gained: what they add to its running baseline.
        """
        self._write(
            {
                "judged": [channel, asdict(part), [asdict(utterance) for utterance in utterances]],
                "gained": None if gained is None else [voice, gained.heard_by, *_rows(gained)],
            }
        )

    def keep_voice(self, channel: int, found: Found) -> None:
        """Note what the speech detector made of a channel since the last time, if that was some time ago."""
        if found.fresh_seconds >= EVERY:
            known = found.take()
            state = [_text(array) for array in known.state]
            self._write({"voice": [channel, known.samples, _text(known.probabilities), state]})

    def _read(self, line: dict[str, Any]) -> None:
        if "judged" in line:
            channel, part, found = line["judged"]
            self.judged[channel, Part(**part)] = [_utterance(fields) for fields in found]
            if line["gained"] is not None:
                voice, heard_by, *rows = line["gained"]
                gained = _baseline(rows, heard_by)
                before = self.baselines.get(voice)
                self.baselines[voice] = gained if before is None else before.and_then(gained)
        else:
            channel, samples, probabilities, state = line["voice"]
            earlier = self.voices[channel].probabilities if channel in self.voices else np.zeros(0, np.float32)
            hidden, cell, waiting = (_array(text) for text in state)
            everything = np.concatenate([earlier, _array(probabilities)])
            self.voices[channel] = Known(samples, everything, (hidden, cell, waiting))

    def _write(self, line: dict[str, Any]) -> None:
        if self._stream is not None:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The whole lines of a file, each with the byte at which it ends."""
    if not path.exists():
        return
    end = 0
    with path.open("rb") as stream:
        for line in stream:
            try:
                content = json.loads(line)
            except ValueError:
                return
            end += len(line)
            if not line.endswith(b"\n"):
                return
            yield end, content


def _utterance(fields: dict[str, Any]) -> Utterance:
    heard: dict[str, Any] | None = fields["prediction"]
    if heard is None:
        return Utterance(**fields)
    # Tuples are lists in JSON.
    prediction: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in heard.items()}
    return Utterance(**{**fields, "prediction": Prediction(**prediction)})


def _rows(baseline: Baseline) -> list[Any]:
    """Clips, their summaries, and their seconds."""
    return [baseline.clips, _text(baseline.summaries.numpy()), _text(baseline.lengths.numpy())]


def _baseline(rows: list[Any], heard_by: str) -> Baseline:
    clips, summaries, lengths = rows
    return Baseline(torch.from_numpy(_array(summaries)).reshape(clips, -1), torch.from_numpy(_array(lengths)), heard_by)


def _text(array: npt.NDArray[np.float32]) -> str:
    return base64.b64encode(array.astype("<f4").tobytes()).decode()


def _array(text: str) -> Waveform:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
