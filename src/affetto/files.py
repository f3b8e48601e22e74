"""Files that are written whole or not at all, and JSON that can be read in a diff."""

import json
import os
import re
from pathlib import Path
from typing import Any

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""Names that Windows keeps for devices."""


def is_safe_name(name: str) -> bool:
    """Whether a word can name a file on every system: letters, digits and `_+-.`, no device, no dot at an end.

    Example:
        >>> [is_safe_name(name) for name in ("cnn", "01-04", "../1", "NUL", "a.")]
        [True, True, False, False, False]
    """
    plain = re.fullmatch(r"\w(?:[\w.+-]*[\w+-])?", name) is not None
    return plain and name.partition(".")[0].lower() not in RESERVED


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a kill, meets the old one or the new one and nothing between."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def json_bytes(content: Any) -> bytes:
    """JSON with a line a value, but innermost lists and objects on one line.

    Raises:
        ValueError: if it holds NaN or infinity, which JSON does not know.

    Example:
        >>> print(json_bytes({"scores": {"wa": 0.5, "ua": 0.25}, "seeds": [0, 1]}).decode(), end="")
        {
         "scores": { "wa": 0.5, "ua": 0.25 },
         "seeds": [ 0, 1 ]
        }
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    innermost = re.compile(r"[\[{][^\[\]{}]*[\]}]")
    return (innermost.sub(lambda match: re.sub(r"\n\s*", " ", match[0]), text) + "\n").encode()
