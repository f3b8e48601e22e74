"""The outline of a recording's waveform: the lowest and the highest sample of each of some equal stretches."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from affetto import pieces
from affetto.audio import SAMPLE_RATE
from affetto.errors import AudioError
from affetto.segments import Timeline

Envelope = npt.NDArray[np.float32]


def envelope(path: str | Path, timeline: Timeline, bins: int) -> Envelope:
    """The outline of a timeline's recording, which is read piece by piece.

    Args:
        path: of the recording.
        timeline: of it; says how long it is, and whether its channels are apart.
        bins: stretches.

    Returns:
        (channels, bins, 2): lowest and highest sample, full scale 1.0; zeros behind damage.

    Raises:
        AudioError: if the recording is not there any more.
    """
    split = any(utterance.channel is not None for utterance in timeline.utterances)
    total = max(round(timeline.seconds * SAMPLE_RATE), 1)
    found = np.zeros((pieces.header(path).channels if split else 1, bins, 2), np.float32)
    done = 0
    try:
        for piece in pieces.pieces(path, channels="split" if split else "mix"):
            # A bin that begins within the piece; the one before it goes on.
            at = np.minimum((done + np.arange(len(piece))) * bins // total, bins - 1)
            starts = np.flatnonzero(np.diff(at, prepend=-1))
            if len(piece):
                low = np.minimum.reduceat(piece, starts, axis=0).T  # (channels, bins of the piece)
                high = np.maximum.reduceat(piece, starts, axis=0).T
                found[:, at[starts], 0] = np.minimum(found[:, at[starts], 0], low)
                found[:, at[starts], 1] = np.maximum(found[:, at[starts], 1], high)
            done += len(piece)
    except AudioError:
        if not done:
            raise
    return found


def lanes(timeline: Timeline, outline: Envelope) -> Envelope:
    """The outline of each voice: of its channel, or of a channel that several share what it says itself.

    Args:
        timeline: of one recording.
        outline: (channels, bins, 2).

    Returns:
        (voices, bins, 2), in the order of the timeline's voices; of a recording without speech, its outline.
    """
    middles = (np.arange(outline.shape[1]) + 0.5) * timeline.seconds / outline.shape[1]
    found = []
    for voice in timeline.voices:
        own = [utterance for utterance in timeline.utterances if utterance.voice == voice]
        channel = next((utterance.channel for utterance in own if utterance.channel is not None), 0)
        alone = len({u.voice for u in timeline.utterances if u.channel in (None, channel)}) == 1
        inside = np.full(len(middles), alone)
        for utterance in own:
            inside |= (middles >= utterance.start) & (middles <= utterance.end)
        found.append(np.where(inside[:, None], outline[channel], np.float32(0)))
    return np.stack(found) if found else outline[:1]
