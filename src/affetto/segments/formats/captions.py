"""Timelines as captions for players: WebVTT (W3C) and SubRip."""

from affetto.segments.utterance import Timeline, Utterance


def vtt(timeline: Timeline) -> bytes:
    """WebVTT: a cue an utterance, its voice in a `<v>` span."""
    cues = ["WEBVTT\n"]
    for utterance in timeline.utterances:
        text = _escaped(caption(utterance))
        if utterance.voice:
            text = f"<v {_escaped(utterance.voice)}>{text}"
        cues.append(f"{_time(utterance.start, '.')} --> {_time(utterance.end, '.')}\n{text}\n")
    return "\n".join(cues).encode()


def srt(timeline: Timeline) -> bytes:
    """SubRip: the same, the voice before a colon."""
    cues = []
    for number, utterance in enumerate(timeline.utterances, start=1):
        text = caption(utterance)
        if utterance.voice:
            text = f"{_line(utterance.voice)}: {text}"
        cues.append(f"{number}\n{_time(utterance.start, ',')} --> {_time(utterance.end, ',')}\n{text}\n")
    return "\n".join(cues).encode()


def caption(utterance: Utterance) -> str:
    """What a viewer reads: the emotion and its probability in per cent, or the ratings; any doubt; what is said."""
    heard = answer(utterance)
    if utterance.doubt:
        heard = f"{heard} ({utterance.doubt})"
    words = _line(utterance.words or "")
    return f"{heard}\n{words}" if words else heard


def answer(utterance: Utterance) -> str:
    """`anger 98 %`; `valence 2.10, arousal 3.50`; `not judged: silent`."""
    if utterance.prediction is None:
        return f"not judged: {utterance.reason}"
    if utterance.prediction.probabilities:
        return f"{utterance.prediction.emotion} {100 * utterance.prediction.confidence:.0f} %"
    return ", ".join(f"{name} {rating:.2f}" for name, rating in utterance.prediction.dimensions.items())


def _time(seconds: float, point: str) -> str:
    """00:00:01.500, in whole milliseconds."""
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(text: str) -> str:
    """On one line, because an empty one ends a cue."""
    return " ".join(text.split())
