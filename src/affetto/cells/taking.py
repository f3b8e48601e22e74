"""Which cells a process takes, and how what it makes comes to lie on disk."""

import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import parent_process
from pathlib import Path

import filelock

from affetto.bench import Bench
from affetto.cells import making
from affetto.cells.cell import Cell
from affetto.cells.work import Work
from affetto.errors import AffettoError
from affetto.files import json_bytes, write_whole
from affetto.progress import Progress

POLL = 0.5
"""Seconds between looks at what other processes have finished."""


def take(work: Work, progress: Progress, *, wait: bool, until: float = math.inf) -> bool:
    """Take one cell after the other until none is left; wait for those that others are at, or leave them to them.

    Returns:
        Whether there was nothing more to take; False if the time (`time.monotonic`) was over before.
    """
    bench: Bench | None = None
    while missing := work.missing:
        if time.monotonic() > until:
            return False
        progress("cells", len(work.trained) - len(missing), len(work.trained))
        if (parent := parent_process()) is not None and not parent.is_alive():
            return True
        for first, *others in _alike(missing):
            with ExitStack() as claims:
                if claims.enter_context(_claim(first)):
                    mine = [first, *(cell for cell in others if claims.enter_context(_claim(cell)))]
                    if bench is None or bench.experiment is not first.experiment:
                        bench = work.bench(first.experiment, progress)
                    with _partial(work, mine) as partial:
                        for path, content in making.run(bench, mine, partial):
                            if not path.exists():  # a test was there before further ones were asked for
                                path.parent.mkdir(parents=True, exist_ok=True)
                                write_whole(path, json_bytes({**content, **work.origin}))
                    break
        else:
            if not wait:
                return True
            time.sleep(POLL)
    progress("cells", len(work.trained), len(work.trained))
    return True


@contextmanager
def _partial(work: Work, cells: Sequence[Cell]) -> Iterator[Path]:
    """A folder for the state of the one training of some cells, which goes with the block.

    It stays where the work is broken off; what it then holds is thrown away if another training comes. Its file
    `origin.json` says which training it is, and is as old as the time that was spent on it, breaks left out.
    """
    origin = json_bytes(
        {
            "fingerprint": cells[0].experiment.fingerprint,
            "manifest_sha256": cells[0].protocol.definition["manifest_sha256"],
            "folds_sha256": [cell.fold_sha256 for cell in cells],
            **cells[0].inputs,
            **work.origin,
        }
    )
    folder = cells[0].path.with_suffix(".partial")
    file, state = folder / "origin.json", folder / "state.pt"
    spent = 0.0
    if file.exists() and file.read_bytes() == origin:
        spent = max(state.stat().st_mtime - file.stat().st_mtime, 0.0) if state.exists() else 0.0
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_whole(file, origin)
    begun = time.time() - spent
    os.utime(file, (begun, begun))
    try:
        yield folder
    except AffettoError:  # which it would end with again
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _alike(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that one training makes, together; whoever claims the first of them may claim the others."""
    groups: list[list[Cell]] = []
    for cell in cells:
        group = next((group for group in groups if group[0].learns_as(cell)), None)
        if group is None:
            groups.append([cell])
        else:
            group.append(cell)
    return groups


@contextmanager
def _claim(cell: Cell) -> Iterator[bool]:
    """Whether a cell is ours to make; the claim ends with the block, or with the process."""
    cell.path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(cell.path.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        yield False
        return
    try:
        # Somebody may have finished it, and let go, between the look and the claim.
        yield not cell.is_finished
    finally:
        if cell.is_finished:
            # Nobody takes a finished cell, so nobody needs to be kept from it. Of an unfinished one the file must stay:
            # who waits for it and who comes later would each lock a file of their own.
            with suppress(OSError):  # Windows keeps files that are open
                cell.path.with_suffix(".lock").unlink()
        lock.release()
