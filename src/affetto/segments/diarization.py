"""How wrong a timeline is: the emotion diarisation error rate.

    Wang, Ravanelli & Yacoubi (2023). Speech emotion diarization: which emotion appears when? ASRU. arXiv:2306.12991,
    section 4.2.

Differs from the paper: its fourth error, emotions that overlap, cannot occur where a voice carries one at a time.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """A stretch with one emotion; `start` and `end` in seconds."""

    start: float
    end: float
    emotion: str


def error_rate(truth: Sequence[Turn], heard: Sequence[Turn], seconds: float, *, resting: str) -> dict[str, float]:
    """Seconds that are wrong, by how; their sum over `seconds` is the emotion diarisation error rate.

    Args:
        truth: turns that do not overlap.
        heard: the same of a timeline.
        seconds: that the recording lasts.
        resting: the emotion that is none; silence is none either.

    Returns:
        `false_alarm`: an emotion where there is none; `missed`: none where there is one; `confused`: another one.

    Example:
        >>> error_rate([Turn(0, 4, "anger")], [Turn(1, 3, "anger"), Turn(3, 6, "fear")], 10, resting="neutral")
        {'false_alarm': 2.0, 'missed': 1.0, 'confused': 1.0}
    """
    edges = sorted({0.0, float(seconds), *(edge for turn in (*truth, *heard) for edge in (turn.start, turn.end))})
    errors = {"false_alarm": 0.0, "missed": 0.0, "confused": 0.0}
    for start, end in itertools.pairwise(edges):
        middle = (start + end) / 2
        meant, found = _emotion(truth, middle, resting), _emotion(heard, middle, resting)
        if meant != found:
            kind = "false_alarm" if meant is None else "missed" if found is None else "confused"
            errors[kind] += end - start
    return errors


def _emotion(turns: Sequence[Turn], at: float, resting: str) -> str | None:
    emotion = next((turn.emotion for turn in turns if turn.start <= at < turn.end), None)
    return None if emotion == resting else emotion
