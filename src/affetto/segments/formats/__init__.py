"""Timelines in the formats of tables, captions, annotation and diarisation.

csv, jsonl, parquet, audformat      tables on (file, start, end): all that is known
vtt, srt                            captions for players: emotion, confidence, words
textgrid, eaf                       tiers for Praat and ELAN, a voice each
rttm                                turns for the tools of diarisation
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from affetto.errors import ConfigError
from affetto.files import write_whole
from affetto.segments.formats import captions, tables, tiers, turns
from affetto.segments.utterance import Timeline

Writer = Callable[[Sequence[Timeline]], bytes]
WRITERS: dict[str, Writer] = {
    "csv": tables.csv,
    "jsonl": tables.jsonl,
    "parquet": tables.parquet,
    "vtt": lambda timelines: captions.vtt(_one(timelines, "vtt")),
    "srt": lambda timelines: captions.srt(_one(timelines, "srt")),
    "textgrid": lambda timelines: tiers.textgrid(_one(timelines, "textgrid")),
    "eaf": lambda timelines: tiers.eaf(_one(timelines, "eaf")),
    "rttm": turns.rttm,
}
ENDINGS = {"textgrid": "TextGrid"}
"""Of file names, where they are not the format's own name."""
FORMATS = (*WRITERS, "audformat")
OF_ONE = ("vtt", "srt", "textgrid", "eaf")
"""Formats of which a file is about one recording."""
BINARY = ("parquet", "audformat")
"""Formats that are no text."""


def ending(kind: str) -> str:
    """What names of files of a format end in, with the dot; nothing for a folder in audformat."""
    if kind == "audformat":
        return ""
    return f".{ENDINGS.get(kind, kind)}"


def known(path: Path) -> str | None:
    """The format that a file's name ends in; None if it is none."""
    return next((kind for kind in WRITERS if path.suffix.lower() == f".{kind}"), None)


def render(timelines: Sequence[Timeline], kind: str) -> bytes:
    """Timelines as the content of one file.

    Args:
        timelines: of any number of recordings; of one, for the formats of `OF_ONE`.
        kind: of `FORMATS`, but "audformat", which is a folder.

    Raises:
        ConfigError: if one file cannot hold them.
    """
    return WRITERS[kind](timelines)


def write(timelines: Sequence[Timeline], kind: str, path: Path) -> None:
    """Write timelines to a file; to a folder, in audformat.

    Raises:
        ConfigError: if it cannot be written, or one file cannot hold them.
    """
    try:
        if kind == "audformat":
            tables.audformat(timelines).save(str(path), storage_format="csv")
        else:
            write_whole(path, render(timelines, kind))
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written ({error.strerror})") from error


def _one(timelines: Sequence[Timeline], kind: str) -> Timeline:
    if len(timelines) != 1:
        raise ConfigError(f"a file of {kind} is about one recording, and here are {len(timelines)}; give --out FOLDER/")
    return timelines[0]
