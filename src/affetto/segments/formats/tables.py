"""Timelines as tables: CSV, JSON lines, Parquet, audformat."""

import csv as csv_module
import io
import json
from collections.abc import Sequence
from typing import Any

import audformat as audformat_module
import pandas as pd

from affetto import __version__
from affetto.segments.utterance import Timeline

DIGITS = 6
"""After the point, of seconds and probabilities."""


def csv(timelines: Sequence[Timeline]) -> bytes:
    """One line an utterance, with the columns of the first timeline; an empty cell where there is nothing."""
    stream = io.StringIO()
    writer = csv_module.writer(stream, lineterminator="\n")
    for timeline in timelines[:1]:
        writer.writerow(timeline.columns)
    for timeline in timelines:
        writer.writerows([_cell(value) for value in row.values()] for row in timeline.rows())
    return stream.getvalue().encode("utf-8", errors="surrogateescape")


def jsonl(timelines: Sequence[Timeline]) -> bytes:
    """One object an utterance, with its probabilities or ratings under one key; null where there is nothing."""
    lines = []
    for timeline in timelines:
        for row in timeline.rows():
            flat = {name: _rounded(value) for name, value in row.items() if name not in timeline.labels}
            answer = {label: _rounded(row[label]) for label in timeline.labels}
            heard = None if None in answer.values() else answer
            lines.append(json.dumps({**flat, timeline.gives: heard}, ensure_ascii=False) + "\n")
    return "".join(lines).encode("utf-8", errors="surrogateescape")


def parquet(timelines: Sequence[Timeline]) -> bytes:
    """The columns of the CSV with their types."""
    stream = io.BytesIO()
    frame(timelines).to_parquet(stream, index=False)
    return stream.getvalue()


def frame(timelines: Sequence[Timeline]) -> pd.DataFrame:
    """One row an utterance, with the columns of the first timeline."""
    columns = list(timelines[0].columns) if timelines else []
    table = pd.DataFrame([row for timeline in timelines for row in timeline.rows()], columns=columns)
    text = ("file", "speaker", "emotion", "words", "reason", "flags")
    kinds = {name: "string" if name in text else "Int64" if name == "channel" else "float64" for name in columns}
    return table.astype(kinds)


def audformat(timelines: Sequence[Timeline]) -> "audformat_module.Database":
    """A database with one segmented table, `timeline`, and one for the recordings, `recordings`.

    Utterances of several voices at the same times would be one segment to audformat; the first is kept as it is, a
    later one ends a nanosecond earlier.
    """
    models = sorted({timeline.model for timeline in timelines})
    database = audformat_module.Database(
        "timeline",
        source=f"affetto {__version__}",
        usage="unrestricted",
        description=f"Emotion in recordings, as heard by {', '.join(models)}",
    )
    content = frame(timelines)
    index = audformat_module.segmented_index(content["file"].tolist(), *_distinct(content))
    table = database["timeline"] = audformat_module.Table(index)
    for name in content.columns[3:]:
        scheme = _scheme(name, timelines)
        database.schemes[name] = scheme
        table[name] = audformat_module.Column(scheme_id=name)
        table[name].set([None if pd.isna(value) else value for value in content[name]])
    files = audformat_module.filewise_index([timeline.file for timeline in timelines])
    recordings = database["recordings"] = audformat_module.Table(files)
    database.schemes["seconds"] = audformat_module.Scheme("float", minimum=0)
    recordings["seconds"] = audformat_module.Column(scheme_id="seconds")
    recordings["seconds"].set([timeline.seconds for timeline in timelines])
    return database


def _distinct(content: pd.DataFrame) -> tuple[list[pd.Timedelta], list[pd.Timedelta]]:
    """Starts and ends, such that no two rows of a file have both in common."""
    starts = [pd.Timedelta(round(start * 1e9), "ns") for start in content["start"]]
    ends = []
    taken: set[tuple[str, pd.Timedelta, pd.Timedelta]] = set()
    for file, start, end in zip(content["file"], starts, content["end"], strict=True):
        stop = pd.Timedelta(round(end * 1e9), "ns")
        while (file, start, stop) in taken:
            stop -= pd.Timedelta(1, "ns")
        taken.add((file, start, stop))
        ends.append(stop)
    return starts, ends


def _scheme(name: str, timelines: Sequence[Timeline]) -> "audformat_module.Scheme":
    """What a column may hold."""
    if name == "emotion":
        return audformat_module.Scheme("str", labels=list(timelines[0].labels))
    if name in ("speaker", "words", "reason", "flags"):
        return audformat_module.Scheme("str")
    if name == "channel":
        return audformat_module.Scheme("int", minimum=0)
    is_share = timelines[0].gives == "probabilities"
    return audformat_module.Scheme("float", **({"minimum": 0, "maximum": 1} if is_share else {}))


def _cell(value: Any) -> Any:
    return f"{value:.{DIGITS}f}" if isinstance(value, float) else "" if value is None else value


def _rounded(value: Any) -> Any:
    return round(value, DIGITS) if isinstance(value, float) else value
