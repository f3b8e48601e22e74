"""`CHANGES.md` of a results folder: every configuration that was ever scored on a whole protocol.

Who tries a hundred configurations and shows the best has shown luck. The list only grows: lines are added by the
evaluation, also for what was trained anew and came to other scores, and by hand for what was scored outside it; the
report prints their number beside the best one.
"""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from affetto.files import write_whole

NAME = "CHANGES.md"
HEAD = """\
# Everything that was scored

Every configuration whose mean over all folds of a protocol was ever looked at, in order; `affetto benchmark` adds a
line for each new one, and for one that was trained anew or with more seeds, and nothing is taken out. `settings` is the
fingerprint of all settings that a number depends on.

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
        seeds: how many the scores are the mean of.
        scores: WA and UA; of ratings the mean CCC and a dash.
    """

    protocol: str
    row: str
    settings: str
    seeds: str
    scores: tuple[str, str]


def remember(folder: Path, results: dict[str, Any]) -> None:
    """Add what a results file holds to the list, unless it is there."""
    path = folder / NAME
    line = line_of(results)
    commit = results["commit"] or "?"
    commits = ", ".join(each[:10] + ("+" if each.endswith("+") else "") for each in commit.split("; "))
    cells = (line.protocol, line.row, line.settings, line.seeds, *line.scores, commits)
    with filelock.FileLock(path.with_suffix(".lock")):  # other commands may be adding theirs
        if line not in read(folder):
            text = path.read_text(encoding="utf-8") if path.exists() else HEAD
            write_whole(path, f"{text}| {' | '.join(cells)} |\n".encode())


def line_of(results: dict[str, Any]) -> Line:
    """The line of what a results file holds."""
    settings, seeds = results["fingerprint"], str(len(results["seeds"]))
    return Line(results["protocol"], results["model"], settings, seeds, _means(results))


def _means(results: dict[str, Any]) -> tuple[str, str]:
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
    return [
        Line(protocol, row, settings, seeds, (first, second))
        for protocol, row, settings, seeds, first, second, *_ in cells[2:]
    ]


def tries(folder: Path, protocol: str) -> int:
    """How many configurations were scored under a protocol.

    One that was trained anew, and came to other scores with as many seeds, counts again; more seeds of it do not.
    """
    lines = [line for line in read(folder) if line.protocol == protocol]
    trained: dict[tuple[str, str], int] = {}
    for (row, settings, _), number in Counter((line.row, line.settings, line.seeds) for line in lines).items():
        trained[row, settings] = max(number, trained.get((row, settings), 0))
    return sum(trained.values())
