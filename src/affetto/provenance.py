"""Where a number comes from: the code's commit and the machine, in words."""

import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

import torch

from affetto import __version__
from affetto.device import Precision, use_bf16

HEARD_DIGITS = 12
"""Hexadecimal digits of an audio file's SHA-256 that a checkpoint remembers of each clip that it was made from."""


def commit() -> str | None:
    """The commit of the working copy that this package runs from, "+" when it has changes; None outside one."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout

    try:
        # Fails in a repository that merely surrounds an installation.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD").strip() + ("+" if git("status", "--porcelain", "--", ".").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def machine(device: torch.device, precision: Precision) -> str:
    """The machine in words: cores, architecture, system, versions, precision; no names."""
    numbers = "bf16" if use_bf16(device, precision) else "fp32"
    return (
        f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}, {device.type} {numbers}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, affetto {__version__}"
    )


def together(origins: Iterable[str | None]) -> str | None:
    """Commits or machines of what several things come from, each once; None if none is known.

    Example:
        >>> together(["one; two", None, "two"])
        'one; two'
    """
    return "; ".join(sorted({one for each in origins if each for one in each.split("; ")})) or None
