"""Windows of a stretch of speech, and utterances with one answer each from what was heard in windows that overlap.

Each moment's answer is the mean of the windows that it lies in. A change of emotion costs as much as `change` seconds
of full certainty, and of all ways to divide a stretch into utterances that one is taken whose utterances gather the
most probability times seconds, less the costs of its changes (dynamic programming after Viterbi, 1967; the cost is
that of Potts's model). An utterance's probabilities are the mean over its moments, so that its emotion, the one that
it was taken for, is its likeliest: were another one likelier, taking that would have gathered more at no further cost.
Nothing is drawn at random.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from affetto.errors import AudioError
from affetto.recognizer import Prediction

Span = tuple[int, int]
"""First sample, and the first after the last."""
Outcome = Prediction | AudioError


def windows(first: int, last: int, *, length: int, stride: int) -> list[Span]:
    """Windows that cover a stretch, in samples.

    Args:
        first: sample of the stretch.
        last: the first one after it.
        length: of a window; a stretch that is no longer is one window.
        stride: from one window to the next, at most; the last one ends where the stretch does.

    Example:
        >>> windows(0, 12, length=5, stride=5)
        [(0, 5), (5, 10), (7, 12)]
    """
    if last - first <= length:
        return [(first, last)]
    starts = [*range(first, last - length, stride), last - length]
    return [(start, start + length) for start in starts]


@dataclasses.dataclass(frozen=True)
class Moment:
    """A stretch in which nothing changes.

    Args:
        first, last: samples.
        answer: mean of the windows around it, as probabilities or ratings; None where none of them could be judged.
        heard: those windows.
    """

    first: int
    last: int
    answer: npt.NDArray[np.float64] | None
    heard: tuple[Outcome, ...]


def moments(spans: Sequence[Span], outcomes: Sequence[Outcome]) -> list[Moment]:
    """The stretches between the edges of windows."""
    edges = sorted({edge for span in spans for edge in span})
    found = []
    for first, last in itertools.pairwise(edges):
        heard = tuple(
            outcome for span, outcome in zip(spans, outcomes, strict=True) if span[0] <= first and last <= span[1]
        )
        answers = [_answer(outcome) for outcome in heard if isinstance(outcome, Prediction)]
        found.append(Moment(first, last, np.mean(answers, axis=0) if answers else None, heard))
    return found


def utterances(moments: Sequence[Moment], *, change: float) -> Iterator[tuple[int, int, Outcome]]:
    """Stretches with one answer each.

    Args:
        moments: one after the other.
        change: samples of full certainty that a change of emotion costs; infinite: there is none.

    Yields:
        First sample, last sample, and a prediction, whose file is "" and whose times are left as they are; or why
        nothing could be judged there.
    """
    for judged, group in itertools.groupby(moments, key=lambda moment: moment.answer is not None):
        stretch = list(group)
        if not judged:
            error = next(outcome for outcome in stretch[0].heard if isinstance(outcome, AudioError))
            yield stretch[0].first, stretch[-1].last, error
            continue
        for _, same in itertools.groupby(zip(_labels(stretch, change), stretch, strict=True), key=lambda pair: pair[0]):
            run = [moment for _, moment in same]
            yield run[0].first, run[-1].last, _mean(run)


def _labels(stretch: Sequence[Moment], change: float) -> list[int]:
    """A number a moment; where it changes, an utterance ends."""
    if any(isinstance(outcome, Prediction) and not outcome.probabilities for outcome in stretch[0].heard):
        return [0] * len(stretch) if np.isinf(change) else list(range(len(stretch)))
    answers = np.stack([moment.answer for moment in stretch if moment.answer is not None])
    seconds = np.array([moment.last - moment.first for moment in stretch], dtype=np.float64)
    return potts(answers * seconds[:, None], change)


def potts(gains: npt.NDArray[np.float64], change: float) -> list[int]:
    """The labels that gain the most, where each change costs something.

    Args:
        gains: of each label at each moment, (moments, labels).
        change: what a change costs.

    Returns:
        A label a moment; of equal ones those with fewer changes, then lower numbers.

    Example:
        >>> gains = np.array([[3.0, 1.0], [1.0, 2.0], [0.0, 9.0]])
        >>> potts(gains, 1.0), potts(gains, 100.0)
        ([0, 1, 1], [1, 1, 1])
    """
    best = gains[0].copy()
    came: list[npt.NDArray[np.int64]] = []
    stay = np.arange(gains.shape[1])
    for gain in gains[1:]:
        top = int(best.argmax())
        moves = best[top] - change > best
        came.append(np.where(moves, top, stay))
        best = np.where(moves, best[top] - change, best) + gain
    labels = [int(best.argmax())]
    for sources in reversed(came):
        labels.append(int(sources[labels[-1]]))
    return labels[::-1]


def _answer(prediction: Prediction) -> npt.NDArray[np.float64]:
    return np.array([*(prediction.probabilities or prediction.dimensions).values()])


def _mean(run: Sequence[Moment]) -> Prediction:
    """One prediction from moments, weighted by how long they last."""
    seconds = [moment.last - moment.first for moment in run]
    answer = np.average([moment.answer for moment in run if moment.answer is not None], axis=0, weights=seconds)
    heard = [outcome for moment in run for outcome in moment.heard if isinstance(outcome, Prediction)]
    return pooled(heard, answer)


def pooled(heard: Sequence[Prediction], answer: npt.NDArray[np.float64]) -> Prediction:
    """One prediction in the place of several, with what was noted of any of them.

    Args:
        heard: of the same model.
        answer: probabilities or ratings, in the order of the first's.
    """
    first = heard[0]
    values = [float(value) for value in answer]
    remarks: dict[str, Any] = {
        name: tuple(dict.fromkeys(remark for prediction in heard for remark in getattr(prediction, name)))
        for name, value in vars(first).items()
        if isinstance(value, tuple)
    }
    return dataclasses.replace(
        first,
        file="",
        probabilities=dict(zip(first.probabilities, values, strict=bool(first.probabilities))),
        dimensions=dict(zip(first.dimensions, values, strict=bool(first.dimensions))),
        **remarks,
    )
