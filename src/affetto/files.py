"""Files that are written whole or not at all, and JSON that can be read in a diff."""

import json
import os
import re
from pathlib import Path
from typing import Any


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
