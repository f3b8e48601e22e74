"""`CHANGES.md` of a results folder: every configuration that was ever scored on a whole protocol.

Who tries a hundred configurations and shows the best has shown luck. The list only grows: lines are added by the
evaluation, and by hand for what was scored outside it; the report prints their number beside the best one.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from affetto.files import write_whole

NAME = "CHANGES.md"
HEAD = """\
# Everything that was scored

Every configuration whose mean over all folds of a protocol was ever looked at, in order; `affetto benchmark` adds a
line for each new one, and nothing is taken out. `settings` is the fingerprint of all settings that a number depends on.

| protocol | row | settings | seeds | WA | UA | commit or place |
| --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Line:
    """One configuration that was scored.

    Args:
        protocol: its id.
        row: what the configuration is called.
        settings: its fingerprint, or words for one that was scored outside.
    """

    protocol: str
    row: str
    settings: str


def remember(folder: Path, results: dict[str, Any]) -> None:
    """Add what a results file holds to the list, unless the same settings are there under the same protocol."""
    path = folder / NAME
    line = Line(results["protocol"], results["model"], results["fingerprint"])
    commit = results["commit"] or "?"
    first, second = _means(results)
    commits = ", ".join(each[:10] + ("+" if each.endswith("+") else "") for each in commit.split("; "))
    cells = (*vars(line).values(), str(len(results["seeds"])), first, second, commits)
    with filelock.FileLock(path.with_suffix(".lock")):  # other commands may be adding theirs
        if line not in read(folder):
            text = path.read_text(encoding="utf-8") if path.exists() else HEAD
            write_whole(path, f"{text}| {' | '.join(cells)} |\n".encode())


def _means(results: dict[str, Any]) -> tuple[str, str]:
    """WA and UA; of ratings, the mean CCC alone."""
    means = results["fold_mean"]
    if results["task"] == "categories":
        return f"{100 * means['wa']:.2f}", f"{100 * means['ua']:.2f}"
    return f"CCC {math.nan if means['ccc'] is None else means['ccc']:.3f}", "\N{EN DASH}"


def read(folder: Path) -> list[Line]:
    """The list of a results folder; empty if there is none."""
    path = folder / NAME
    if not path.exists():
        return []
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [Line(*row[:3]) for row in cells[2:]]


def tries(folder: Path, protocol: str) -> int:
    """How many configurations were scored under a protocol."""
    return len({(line.row, line.settings) for line in read(folder) if line.protocol == protocol})
