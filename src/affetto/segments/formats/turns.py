"""Timelines as turns of a diarisation: NIST's Rich Transcription Time Marked format.

What a diarisation names is whoever speaks; here the name is the emotion, after `voice:` where voices are told apart, so
that tools which score diarisations score this. What was not judged is no turn.
"""

from collections.abc import Sequence
from pathlib import Path

from affetto.segments.utterance import Timeline, Utterance


def rttm(timelines: Sequence[Timeline]) -> bytes:
    """One turn an utterance that has an emotion.

    Example:
        >>> rttm([])
        b''
    """
    lines = []
    for timeline in timelines:
        name = _word(Path(timeline.file).stem)
        for utterance in timeline.judged:
            channel = 1 if utterance.channel is None else utterance.channel + 1
            place = f"{name} {channel} {utterance.start:.3f} {utterance.seconds:.3f}"
            lines.append(f"SPEAKER {place} <NA> <NA> {_name(utterance)} {_sure(utterance)} <NA>\n")
    return "".join(lines).encode("utf-8", errors="surrogateescape")


def _name(utterance: Utterance) -> str:
    assert utterance.prediction is not None
    heard = utterance.prediction.emotion if utterance.prediction.probabilities else "rated"
    return _word(f"{utterance.voice}:{heard}" if utterance.voice else heard)


def _sure(utterance: Utterance) -> str:
    assert utterance.prediction is not None
    return f"{utterance.prediction.confidence:.3f}" if utterance.prediction.probabilities else "<NA>"


def _word(text: str) -> str:
    """Without white space, which parts fields."""
    return "_".join(text.split()) or "_"
