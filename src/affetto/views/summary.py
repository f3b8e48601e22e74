"""A timeline in a few sentences: per voice the time in each emotion, turning points, and what was unusual for them.

What it says is how voices sound to a model, never what people feel, and it is for a person who then listens: every
statement names its seconds.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from affetto.segments import Timeline, Utterance
from affetto.segments.windows import potts

LASTING = 5.0
"""Seconds of speech by which another dominant emotion must explain better what follows, before a turn is believed..."""
LASTING_SHARE = 0.01
"""... and at least such a share of all that the voice says, so that of ten hours only long ones are turns."""
ENOUGH = 10
"""Judged utterances from which a voice has a usual way to sound."""
RISE = 0.3
"""Rise of a probability above a voice's usual that is worth a person's ear..."""
SPREAD = 2.0
"""... and by so many of its own standard deviations."""
SHOWN = 5
"""Departures that are told in words, the largest, and twice as many turns, the first; the JSON has them all."""

SOUNDS = "This is how the voices sound to a model, not what anybody feels; listen before you conclude."
FORBIDDEN = (
    "Not to be used to infer the emotions of employees, pupils or students (Article 5(1)(f) of the EU AI Act), "
    "for decisions about a person, or covertly."
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Turn:
    """A turning point: from here on another emotion dominates a voice.

    Args:
        at: seconds, where the first utterance of the new kind begins.
        before, after: the emotions.
    """

    at: float
    before: str
    after: str


@dataclass(frozen=True)
class Departure:
    """A stretch that is unlike a voice's usual.

    Args:
        start, end: seconds.
        emotion: whose probability rose most.
        probability: its mean there, weighted by time.
        usual: its mean over all that the voice says.
    """

    start: float
    end: float
    emotion: str
    probability: float
    usual: float


@dataclass(frozen=True)
class Voice:
    """What is said of one speaker or channel.

    Args:
        name: as the timeline has it; "" where nobody is told apart.
        seconds: of speech that were judged.
        shares: category -> share of these seconds in utterances of which it is the likeliest; they sum to 1. Empty if
            the model gives no categories, or nothing was judged.
        dimensions: dimension -> mean rating, weighted by time; empty if the model gives none.
        confidence: mean, weighted by time; None if the model gives no categories.
        turns: turning points.
        departures: stretches unlike the voice's usual, in their order; None if there is too little to know it.
    """

    name: str
    seconds: float
    shares: dict[str, float]
    dimensions: dict[str, float]
    confidence: float | None
    turns: tuple[Turn, ...]
    departures: tuple[Departure, ...] | None

    def largest(self, count: int) -> list[Departure]:
        """So many of the departures, those that rise most, in their order."""
        ranked = sorted(self.departures or (), key=lambda departure: departure.usual - departure.probability)
        return sorted(ranked[:count], key=lambda departure: departure.start)


@dataclass(frozen=True)
class Unjudged:
    """Speech without an answer, of one reason.

    Args:
        reason: as the timeline has it.
        seconds: together.
        stretches: (start, end) of each.
    """

    reason: str
    seconds: float
    stretches: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Summary:
    """What can be said of a recording.

    Args:
        file, seconds, model: of the timeline.
        silence: seconds in which nobody was found to speak.
        voices: in the order in which they are first heard.
        unjudged: longest first.
        note: how to take all this.
        forbidden: what it must not be used for.
    """

    file: str
    seconds: float
    model: str
    silence: float
    voices: tuple[Voice, ...]
    unjudged: tuple[Unjudged, ...]
    note: str = SOUNDS
    forbidden: str = FORBIDDEN

    def to_json(self) -> dict[str, Any]:
        """As JSON knows it: seconds rounded to milliseconds, the rest to four digits."""
        rounded: dict[str, Any] = _rounded(asdict(self))
        return rounded


def summarise(timeline: Timeline) -> Summary:
    """What can be said of a timeline."""
    unjudged: dict[str, list[Utterance]] = {}
    for utterance in timeline.utterances:
        if utterance.prediction is None:
            unjudged.setdefault(utterance.reason or "unknown", []).append(utterance)
    groups = [
        Unjudged(reason, sum(u.seconds for u in found), tuple((u.start, u.end) for u in found))
        for reason, found in unjudged.items()
    ]
    return Summary(
        timeline.file,
        timeline.seconds,
        timeline.model,
        sum(end - start for start, end in timeline.silences()),
        tuple(_voice(timeline, name) for name in timeline.voices),
        tuple(sorted(groups, key=lambda group: -group.seconds)),
    )


def _voice(timeline: Timeline, name: str) -> Voice:
    said = [utterance for utterance in timeline.judged if utterance.voice == name]
    lengths = np.array([utterance.seconds for utterance in said])
    total = float(lengths.sum())
    answers = [u.prediction for u in said if u.prediction is not None]
    if not total:
        return Voice(name, 0.0, {}, {}, None, (), None)
    if timeline.gives == "dimensions":
        ratings = np.array([[a.dimensions[label] for label in timeline.labels] for a in answers])
        means = dict(zip(timeline.labels, (lengths @ ratings / total).tolist(), strict=True))
        return Voice(name, total, {}, means, None, (), None)
    probabilities = np.array([[a.probabilities[label] for label in timeline.labels] for a in answers])  # (n, K)
    shares = {label: float(lengths[[a.emotion == label for a in answers]].sum()) / total for label in timeline.labels}
    confidence = float(lengths @ probabilities.max(axis=1)) / total
    turned = turns(said, probabilities, timeline.labels, lasting=max(LASTING, LASTING_SHARE * total))
    departed = departures(said, probabilities, timeline.labels)
    return Voice(name, total, shares, {}, confidence, turned, departed)


def turns(
    said: Sequence[Utterance], probabilities: Array, labels: Sequence[str], *, lasting: float
) -> tuple[Turn, ...]:
    """Turning points: where the dominant emotion changes, and stays changed.

    A voice's speech is divided into stretches of one dominant emotion each, so that the probability times seconds that
    these emotions gather, less `lasting` seconds a turn, is the most (`segments.windows.potts`, which finds utterances
    in the same way). So a turn is made only where another emotion gathers at least so many seconds more of what
    follows, and an outburst with a return after it, which is two turns, must gather twice as many.

    Args:
        said: utterances in order.
        probabilities: of each, (n, K).
        labels: the categories.
        lasting: seconds.
    """
    seconds = np.array([utterance.seconds for utterance in said])
    path = potts(seconds[:, None] * probabilities, lasting)
    return tuple(
        Turn(said[row].start, labels[path[row - 1]], labels[path[row]])
        for row in range(1, len(path))
        if path[row] != path[row - 1]
    )


def departures(said: Sequence[Utterance], probabilities: Array, labels: Sequence[str]) -> tuple[Departure, ...] | None:
    """Stretches that are unlike a voice's usual, which is its mean over the recording, weighted by time.

    An utterance departs if a probability rises above the usual by `RISE` and by `SPREAD` of the voice's own standard
    deviations; neighbours that depart to the same emotion are one stretch.

    Args:
        said: utterances in order.
        probabilities: of each, (n, K).
        labels: the categories.

    Returns:
        The stretches; None with fewer than `ENOUGH` utterances.
    """
    if len(said) < ENOUGH:
        return None
    weights = np.array([utterance.seconds for utterance in said])
    weights = weights / weights.sum()
    usual = weights @ probabilities
    spread = np.sqrt(weights @ (probabilities - usual) ** 2)
    rises = probabilities - usual
    strong = np.where((rises >= RISE) & (rises >= SPREAD * spread), rises, 0.0)
    kinds = np.where(strong.any(axis=1), strong.argmax(axis=1), -1)
    found = []
    for kind, group in itertools.groupby(range(len(said)), key=lambda row: int(kinds[row])):
        rows = list(group)
        if kind >= 0:
            mean = float(np.average(probabilities[rows, kind], weights=weights[rows]))
            found.append(Departure(said[rows[0]].start, said[rows[-1]].end, labels[kind], mean, float(usual[kind])))
    return tuple(found)


def in_words(summary: Summary) -> str:
    """The same in plain lines."""
    lines = [f"{summary.file}, {clock(summary.seconds)}, heard by {summary.model}. {summary.note}", ""]
    for voice in summary.voices:
        lines += [*voice_lines(voice), ""]
    if summary.unjudged:
        parts = (
            f"{group.reason.replace('_', ' ')} {clock(group.seconds)} ({len(group.stretches)})"
            for group in summary.unjudged
        )
        lines.append(f"Not judged: {', '.join(parts)}.")
    lines.append(f"Nobody found to speak: {clock(summary.silence)}.")
    lines += ["", summary.forbidden]
    return "\n".join(lines) + "\n"


def voice_lines(voice: Voice) -> list[str]:
    """What is said of a voice, its name first."""
    lines = [f"{voice.name or 'all speech'}: {clock(voice.seconds)} judged"]
    if voice.shares:
        heard = sorted(((share, label) for label, share in voice.shares.items() if share > 0), reverse=True)
        confidence = "" if voice.confidence is None else f"; mean confidence {100 * voice.confidence:.0f} %"
        lines.append(f"  sounds {', '.join(f'{label} {percent(share)}' for share, label in heard)}{confidence}")
    if voice.dimensions:
        lines.append(f"  rated {', '.join(f'{name} {mean:.2f}' for name, mean in voice.dimensions.items())} on average")
    lines += [f"  turns from {turn.before} to {turn.after} at {clock(turn.at)}" for turn in voice.turns[: 2 * SHOWN]]
    if len(voice.turns) > 2 * SHOWN:
        lines.append(f"  and {len(voice.turns) - 2 * SHOWN} further turns")
    if voice.departures is None and voice.shares:
        lines.append(f"  fewer than {ENOUGH} utterances: too little to know its usual sound")
    elif voice.departures is not None:
        largest = voice.largest(SHOWN)
        for departure in largest:
            lines.append(
                f"  unlike itself {clock(departure.start)} to {clock(departure.end)}: {departure.emotion} "
                f"{percent(departure.probability)}, usually {percent(departure.usual)}"
            )
        if more := len(voice.departures) - len(largest):
            lines.append(f"  and {more} smaller departures")
    return lines


def clock(seconds: float) -> str:
    """Seconds as a clock shows them, to whole ones.

    Example:
        >>> clock(64.2), clock(36_000)
        ('1:04', '10:00:00')
    """
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def percent(share: float) -> str:
    """A share in whole per cent.

    Example:
        >>> percent(0.254), percent(0.001)
        ('25 %', 'under 1 %')
    """
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, tuple | list) else value
