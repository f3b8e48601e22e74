"""Which recordings are meant by arguments."""

import glob
import os
import sys
from pathlib import Path

from affetto.errors import AudioError, ConfigError


def sources_of(paths: list[str], *, recursive: bool) -> tuple[list[str], list[AudioError]]:
    """The files meant by arguments, and the arguments that mean none."""
    from affetto import audio

    if "-" in paths:
        lines = [line.rstrip("\r\n") for line in sys.stdin]
        at = paths.index("-")
        paths = [*paths[:at], *(line for line in lines if line), *paths[at + 1 :]]
    sources: list[str] = []
    faults: list[AudioError] = []
    for path in paths:
        if os.path.isdir(path):  # unlike Path's, it takes any text, however long
            found = [str(file) for file in audio.find(Path(path), recursive=recursive)]
            below = "" if recursive else " (-r looks below it)"
            if not found:
                faults.append(AudioError(path, "missing", f"no audio files in this folder{below}"))
        elif not os.path.exists(path) and glob.has_magic(path):
            found = sorted(file for file in glob.glob(path, recursive=True) if Path(file).is_file())
            if not found:
                faults.append(AudioError(path, "missing", "no file matches this pattern"))
        else:
            found = [path]
        sources += found
    return sources, faults


def listed(paths: list[str], column: str) -> tuple[list[str], list[str | None]]:
    """The files that a table of clips lists, from its own folder, and each one's speaker."""
    import pandas as pd

    if len(paths) != 1:
        raise ConfigError(f"--speaker-column: expected one CSV table with a column 'file', got {len(paths)} paths")
    [path] = paths
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is no CSV table ({error})") from error
    for name in ("file", column):
        if name not in table:
            raise ConfigError(f"{path}: has no column '{name}'; it has {', '.join(map(str, table))}")
    speakers = [name if isinstance(name, str) else None for name in table[column]]
    return [str(Path(path).parent / file) for file in table["file"]], speakers
