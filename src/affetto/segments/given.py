"""Speech that somebody else has found: tables, and diarisations in RTTM.

file,start,end,speaker          CSV; `file` and `speaker` may be missing, `channel` may be there
call.wav,0.5,4.25,anna

SPEAKER call 1 0.50 3.75 <NA> <NA> anna <NA> <NA>       RTTM: file without its ending, channel, start, duration
"""

import math
from pathlib import Path

from affetto import tables
from affetto.errors import ConfigError, CorpusError
from affetto.segments.regions import Region

LAYOUT = "regions.csv with the columns start, end and, if there are several, file, speaker, channel"
"""What errors say was expected."""
RTTM_FIELDS = 8
"""Up to the speaker's name; the two after it are often missing."""


def read(path: Path, file: str | Path) -> tuple[Region, ...]:
    """The regions of one recording.

    Args:
        path: a table, or RTTM if it ends in .rttm.
        file: the recording.

    Raises:
        ConfigError: if there are none of this recording, or a line is not as it should be.
    """
    by_file = _rttm(path) if path.suffix.lower() == ".rttm" else _table(path)
    recording = Path(file)
    names = {"", str(file), recording.as_posix(), recording.name, recording.stem}
    found = [region for name, regions in by_file.items() if name in names for region in regions]
    if not found:
        there = ", ".join(sorted(by_file)[:5]) or "nothing"
        raise ConfigError(f"{path}: has no speech of {recording.name}; found {there}")
    return tuple(found)


def _table(path: Path) -> dict[str, list[Region]]:
    """Regions by file; "" where the table does not name it."""
    try:
        columns, rows = tables.read(path, LAYOUT)
        for needed in ("start", "end"):
            if needed not in columns:
                found = ", ".join(columns)
                raise ConfigError(f"{path}: has no column '{needed}'; found {found}; expected {LAYOUT}")
        by_file: dict[str, list[Region]] = {}
        for number, row in rows:
            where = f"{path}, row {number}"
            start, end = (tables.seconds(row[column], where) for column in ("start", "end"))
            channel = _whole(row.get("channel", ""), where)
            region = _region(start, end, row.get("speaker") or None, channel, where)
            by_file.setdefault(row.get("file", "").replace("\\", "/"), []).append(region)
    except CorpusError as error:
        raise ConfigError(str(error)) from error
    return by_file


def _rttm(path: Path) -> dict[str, list[Region]]:
    """Regions by the file's name in the RTTM. Where all are of channel 1, it says nothing about channels."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as RTTM ({error})") from error
    turns: list[tuple[str, int, float, float, str, str]] = []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        where = f"{path}, line {number}"
        if len(fields) < RTTM_FIELDS:
            raise ConfigError(
                f"{where}: has {len(fields)} fields; expected SPEAKER file 1 start duration <NA> <NA> name"
            )
        try:
            channel, start, duration = int(fields[2]), float(fields[3]), float(fields[4])
        except ValueError as error:
            raise ConfigError(f"{where}: channel, start and duration are to be numbers ({error})") from error
        turns.append((fields[1], channel, start, start + duration, fields[7], where))
    mono = {channel for _, channel, *_ in turns} <= {1}
    by_file: dict[str, list[Region]] = {}
    for file, channel, start, end, name, where in turns:
        region = _region(start, end, name, None if mono else channel - 1, where)
        by_file.setdefault(file, []).append(region)
    return by_file


def _region(start: float | None, end: float | None, speaker: str | None, channel: int | None, where: str) -> Region:
    if start is None or end is None or not 0 <= start < end < math.inf:
        raise ConfigError(f"{where}: expected a start from 0 s on and an end after it, got {start} and {end}")
    if channel is not None and channel < 0:
        raise ConfigError(f"{where}: expected a channel from 0 on in tables, from 1 on in RTTM")
    return Region(start, end, speaker, channel)


def _whole(cell: str, where: str) -> int | None:
    if not cell:
        return None
    if not cell.isdecimal():
        raise ConfigError(f"{where}: '{cell}' is not a channel; expected 0 for the first")
    return int(cell)
