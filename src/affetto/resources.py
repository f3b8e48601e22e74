"""Files that come with the package beside its code: sample clips and experiments."""

from pathlib import Path
from typing import Literal


def folder(name: Literal["samples", "experiments"]) -> Path:
    """Where they lie: inside the installed package, or beside `src` in a working copy."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parents[2] / name
