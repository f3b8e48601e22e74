"""A timeline as one HTML page that needs nothing beside it, and no network: a click plays the stretch.

The waveform, its cursor and its zoom are wavesurfer.js's, which lies in `vendor/`. The page's own policy
forbids it to load anything. Without its sound inside, a reader chooses the recording on their own computer.
"""

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
import soundfile
from markupsafe import Markup

from affetto import __version__, palette, pieces, report
from affetto.audio import SAMPLE_RATE
from affetto.errors import ConfigError
from affetto.files import write_whole
from affetto.segments import Timeline, Utterance
from affetto.views.envelope import Envelope, envelope, lanes
from affetto.views.summary import SHOWN, Summary, clock, percent, summarise

FOLDER = Path(__file__).parent
VENDORED = ("wavesurfer.min.js", "timeline.min.js")
POINTS_A_SECOND = 40
"""Of the waveform..."""
MOST_POINTS = 20_000
"""... but no more than so many."""
LONGEST_INSIDE = 2 * 3600.0
"""Seconds of sound that a page may hold; browsers stumble over pages much larger than the 50 MB that these make."""
MP3 = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": 0.8}
"""How it is coded: 40 kbit/s, which is enough to judge a voice at 16 kHz."""


def write_page(timeline: Timeline, path: Path, *, with_audio: bool = False) -> None:
    """Write a timeline as a page; its recording is read again for the waveform.

    Args:
        timeline: of a recording that lies where it says.
        path: of the page.
        with_audio: put the sound inside, as MP3. Without it the page holds an outline of the waveform and what was
            found, words included, but nothing that can be listened to.

    Raises:
        AudioError: if the recording is not there any more.
        ConfigError: if it is too long to be put inside.
    """
    if with_audio and timeline.seconds > LONGEST_INSIDE:
        raise ConfigError(
            f"--with-audio: {timeline.file} lasts {clock(timeline.seconds)}, and a page holds {clock(LONGEST_INSIDE)}; "
            "without it, the page asks its reader for the recording"
        )
    points = int(np.clip(POINTS_A_SECOND * timeline.seconds, 1, MOST_POINTS))
    sound = base64.b64encode(_mp3(timeline)).decode() if with_audio else ""
    write_whole(path, page(timeline, envelope(timeline.file, timeline, points), sound=sound).encode())


def page(timeline: Timeline, outline: Envelope, *, sound: str = "") -> str:
    """The page.

    Args:
        timeline: of one recording.
        outline: of its waveform, (channels, points, 2).
        sound: MP3 in base64; empty: none.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": clock, "percent": percent, "colour": palette.colour, "ink": _ink, "plain": _plain}
    summary = summarise(timeline)
    heard = {_kind(utterance) for utterance in timeline.judged}
    return environment.get_template("page.html.jinja").render(
        title=Path(timeline.file).name,
        damage=timeline.damage,
        summary=summary,
        largest={voice.name: voice.largest(SHOWN) for voice in summary.voices},
        emotions=[label for label in timeline.labels if label in heard],
        utterances=[_row(utterance) for utterance in timeline.utterances],
        data=_data(timeline, outline, summary),
        audio=Markup(sound),
        style=_text(Path(report.__file__).with_name("report.css"), FOLDER / "page.css"),
        vendor=_text(*(FOLDER / "vendor" / name for name in VENDORED)),
        licence=_text(FOLDER / "vendor" / "LICENSE"),
        script=_text(FOLDER / "player.js", FOLDER / "page.js"),
        version=__version__,
    )


def _text(*paths: Path) -> Markup:
    """Files of ours, as they are."""
    return Markup("\n".join(path.read_text(encoding="utf-8").strip() for path in paths))


def _kind(utterance: Utterance) -> str:
    heard = utterance.prediction
    return heard.emotion if heard is not None and heard.probabilities else ""


def _row(utterance: Utterance) -> dict[str, Any]:
    """What the list shows of an utterance."""
    heard = utterance.prediction
    ratings = {} if heard is None else heard.dimensions
    return {
        "start": round(utterance.start, 3),
        "end": round(utterance.end, 3),
        "voice": utterance.voice,
        "kind": _kind(utterance),
        "sure": heard.confidence if heard is not None and heard.probabilities else None,
        "ratings": ", ".join(f"{name} {rating:.2f}" for name, rating in ratings.items()),
        "reason": utterance.reason or "",
        "doubt": utterance.doubt,
        "words": utterance.words,
    }


def _data(timeline: Timeline, outline: Envelope, summary: Summary) -> dict[str, Any]:
    """What the script draws."""
    names = [voice.name for voice in summary.voices]
    found = []
    for utterance in timeline.utterances:
        row, kind = _row(utterance), _kind(utterance)
        colour = palette.colour(kind) if kind else "#8e9399"
        found.append(
            {
                "start": row["start"],
                "end": row["end"],
                "lane": names.index(utterance.voice),
                "kind": kind or ("" if row["ratings"] else "?"),
                "sure": round(row["sure"] or 0.0, 3),
                "colour": colour,
                "ink": palette.on(colour),
            }
        )
    return {"seconds": timeline.seconds, "peaks": _levels(lanes(timeline, outline)), "utterances": found}


def _levels(outlines: npt.NDArray[np.float32]) -> list[list[int]]:
    """Peaks of each lane in 127ths of the loudest, so that they take little place."""
    peaks = np.abs(outlines).max(axis=2)
    scaled: list[list[int]] = np.rint(127 * peaks / max(float(peaks.max()), 1e-6)).astype(int).tolist()
    return scaled


def _mp3(timeline: Timeline) -> bytes:
    """The recording as MP3 at 16 kHz, which every browser plays; two channels as they are, others as one."""
    split = pieces.header(timeline.file).channels == 2
    found = io.BytesIO()
    with soundfile.SoundFile(found, "w", SAMPLE_RATE, 2 if split else 1, **MP3) as file:
        for piece in pieces.pieces(timeline.file, channels="split" if split else "mix"):
            file.write(np.clip(piece, -1, 1))
    return found.getvalue()


def _ink(emotion: str) -> str:
    return palette.on(palette.colour(emotion))


def _plain(reason: str) -> str:
    return reason.replace("_", " ")
