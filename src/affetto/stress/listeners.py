"""Who is put to the test: a checkpoint in this process, or a server that answers over HTTP."""

import io
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import soundfile

from affetto import audio
from affetto.audio import Waveform
from affetto.corpora.base import Corpus
from affetto.errors import AudioError, CheckpointError
from affetto.recognizer import Prediction, Recognizer

TIMEOUT = 120.0
"""Seconds that a server may take for one clip."""


class Listener(Protocol):
    """Somebody who hears recordings and answers with categories or ratings."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def hear(self, corpus: Corpus) -> Iterator[Prediction | AudioError]:
        """An answer for each utterance, in order, or why there is none."""
        ...


class ModelListener:
    """A recogniser.

    Args:
        recognizer: who is asked.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self.recognizer = recognizer

    @property
    def name(self) -> str:
        """Its row id in results."""
        return self.recognizer.checkpoint.name

    def hear(self, corpus: Corpus) -> Iterator[Prediction | AudioError]:
        """Predictions of all utterances."""
        return self.recognizer.predict_corpus(corpus)


class EndpointListener:
    """A server to which each clip is sent as a file, a 16-bit WAV at 16 kHz, in the field `file` of a form.

    It answers in JSON, with `probabilities`, a mapping from category to probability; or with a list of utterances, each
    with such a mapping, of which the mean weighted by duration counts (`probabilities_in` says which shapes are taken).

    Args:
        url: where clips are posted, such as http://127.0.0.1:8000/v1/analyze.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def name(self) -> str:
        """The address."""
        return self.url

    def hear(self, corpus: Corpus) -> Iterator[Prediction | AudioError]:
        """The server's answers, clip by clip.

        Raises:
            CheckpointError: if there is no server, or it answers in no shape that is known.
        """
        for row in range(len(corpus)):
            file = corpus.table.index[row][0]
            try:
                recording = corpus.recording(row)
                probabilities = self._ask(file, recording.waveform)
            except AudioError as error:
                yield error
                continue
            yield Prediction(file, 0.0, recording.seconds, probabilities)

    def _ask(self, file: str, waveform: Waveform) -> dict[str, float]:
        body, kind = _form("clip.wav", _wav(waveform))
        request = urllib.request.Request(self.url, body, {"Content-Type": kind, "Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                content = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            said = error.read(300).decode(errors="replace").strip()
            if error.code in (400, 413, 415, 422):  # its way to say that this clip cannot be heard
                raise AudioError(file, "undecodable", f"the server says {error.code}: {said}") from error
            raise CheckpointError(f"{self.url}: answers {error.code} {error.reason}: {said}") from error
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.url}: gives no answer in JSON ({error})") from error
        found = probabilities_in(content)
        if found is None:
            raise CheckpointError(
                f'{self.url}: answers without probabilities; expected {{"probabilities": {{"anger": 0.9, ...}}}}, or '
                f'a list of such under "utterances", got {json.dumps(content)[:120]}'
            )
        if not found:
            raise AudioError(file, "silent", "the server found no speech in it")
        return found


def probabilities_in(content: Any) -> dict[str, float] | None:
    """The probabilities in a server's answer.

    Args:
        content: JSON: an object with `probabilities`; an object with a `prediction` that has them; a list of these, or
            an object with such a list under `utterances` or `predictions`.

    Returns:
        Category -> probability, of several utterances the mean weighted by `end` - `start`; {} if the list is empty;
        None if the answer has another shape.

    Example:
        >>> probabilities_in({"utterances": [
        ...     {"start": 0, "end": 1, "probabilities": {"anger": 1.0}},
        ...     {"start": 1, "end": 4, "probabilities": {"anger": 0.0}}]})
        {'anger': 0.25}
    """
    if isinstance(content, Mapping):
        for name in ("utterances", "predictions"):
            if isinstance(content.get(name), list):
                return _mean(content[name])
        own = content.get("probabilities")
        if isinstance(own, Mapping) and own:
            return {str(label): float(value) for label, value in own.items()}
        return None if content.get("prediction") is None else probabilities_in(content["prediction"])
    return _mean(content) if isinstance(content, list) else None


def _mean(utterances: list[Any]) -> dict[str, float] | None:
    """The mean over utterances; those that were not judged do not count."""
    if not utterances:
        return {}
    answered = [(each, found) for each in utterances if (found := probabilities_in(each))]
    if not answered:
        return {} if all(isinstance(each, Mapping) and "start" in each for each in utterances) else None
    weights = np.array([float(each.get("end", 1)) - float(each.get("start", 0)) for each, _ in answered])
    labels = answered[0][1]
    values = np.array([[found.get(label, 0.0) for label in labels] for _, found in answered])
    means = np.average(values, axis=0, weights=weights.clip(min=1e-6))
    return dict(zip(labels, means.tolist(), strict=True))


def _wav(waveform: Waveform) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform.clip(-1, 1), audio.SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _form(name: str, content: bytes) -> tuple[bytes, str]:
    """A form (RFC 7578) with one file in the field `file`, and its content type."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
