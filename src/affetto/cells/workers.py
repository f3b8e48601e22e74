"""Processes that take cells side by side."""

import os
import sys
import time
from contextlib import suppress
from ctypes.util import find_library
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection

import torch

from affetto.cells import making
from affetto.cells.taking import POLL, take
from affetto.cells.work import Work
from affetto.errors import AffettoError, TrainingError
from affetto.progress import Progress, no_progress
from affetto.provenance import commit

# Two threads that wait for each other on a busy machine are slower than one; processes share cores better.
ONE_CORE = {"OMP_NUM_THREADS": "1"}
# Both allocators are told to keep the large blocks of every step, which they would hand back to the system and ask for
# anew: a third of a CNN's time. jemalloc is faster and keeps no gaps between blocks of ever other sizes
# (benchmarks/allocators.json).
JEMALLOC_CONF = "narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0,thp:always"
GLIBC = {"MALLOC_MMAP_THRESHOLD_": str(2**32 - 1), "MALLOC_TRIM_THRESHOLD_": str(2**32 - 1)}
RETIREMENT = 300.0
"""Seconds after which a worker process takes no further cell and another takes its place: under glibc batches of ever
other lengths leave gaps in its memory that are never given back, gigabytes an hour and worker."""


def environment() -> dict[str, str]:
    """Environment of worker processes: one thread, and an allocator that keeps what it has, jemalloc where it is."""
    jemalloc = find_library("jemalloc") if sys.platform == "linux" else None
    return {**ONE_CORE, **({"LD_PRELOAD": jemalloc, "MALLOC_CONF": JEMALLOC_CONF} if jemalloc else GLIBC)}


def finish(work: Work, *, jobs: int, progress: Progress = no_progress) -> None:
    """Train and test every cell that is not there yet.

    Args:
        work: what is to be done.
        jobs: processes that do it at once.
        progress: told of finished cells.

    Raises:
        ConfigError: if a cell that is there is another experiment's.
        CorpusError: if a second stage divides classes that the corpus does not have.
        AffettoError: whatever went wrong in a cell; those that are finished stay.
    """
    work.check_protocols()
    work.check_stages()
    work.check()
    missing = work.missing
    try:
        if jobs > 1 and len(missing) > 1:
            for experiment in {cell.experiment.name: cell.experiment for cell in missing}.values():
                work.bench(experiment, progress)  # features are computed here once, so that the workers find them
            _employ(work, min(jobs, len(missing)), progress)
        take(work, progress, wait=True)
    except AffettoError:
        with suppress(Exception):  # the first fault counts
            making.combine(work)
        raise
    making.combine(work)
    work.check()  # those of others, too


def _employ(work: Work, jobs: int, progress: Progress) -> None:
    """Let processes do the work; it ends when they have nothing left to take."""
    workers = [_Worker(work) for _ in range(jobs)]
    killed, before = 0, len(work.missing)
    try:
        while workers:
            time.sleep(POLL)
            missing = len(work.missing)
            killed, before = 0 if missing < before else killed, missing  # what counts is killed and nothing done
            progress("cells", len(work.trained) - missing, len(work.trained))
            for worker in [each for each in workers if not each.process.is_alive()]:
                workers.remove(worker)
                killed += worker.killed
                if killed >= jobs:
                    raise TrainingError("every worker process was killed; finished cells are kept, run it again")
                if worker.retired() or worker.killed:
                    workers.append(_Worker(work))
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()


class _Worker:
    """A process that takes cells, and what came of it.

    Args:
        work: what is to be done.
    """

    def __init__(self, work: Work) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_live, args=(work, theirs), daemon=True)
        added = {key: value for key, value in environment().items() if key not in os.environ}  # the user's stays
        os.environ.update(added)
        try:
            self.process.start()
        finally:
            for key in added:
                del os.environ[key]
        theirs.close()

    @property
    def killed(self) -> bool:
        """Whether it was ended by a signal; its cell is lost, and others take it."""
        return (self.process.exitcode or 0) < 0

    def retired(self) -> bool:
        """Whether it left before the work was done.

        Raises:
            TrainingError: what went wrong in it.
        """
        try:
            fault: str | None = self.connection.recv() if self.connection.poll() else None
        except EOFError:  # killed, or ended by an error that is not ours and stands on stderr
            fault = None
        if fault:
            raise TrainingError(fault)
        if (self.process.exitcode or 0) > 0:
            raise TrainingError(
                f"a worker process ended with exit code {self.process.exitcode}; finished cells are kept, run it again"
            )
        return fault == ""


def _live(work: Work, connection: Connection) -> None:
    """A worker's life: it works, and says what went wrong, or nothing ("") if it retires before the work is done."""
    torch.set_num_threads(1)
    # The code that this process has just loaded: the working copy may have changed since the command began.
    work = replace(work, origin={**work.origin, "commit": commit()})
    try:
        if not take(work, no_progress, wait=False, until=time.monotonic() + RETIREMENT):
            connection.send("")
    except AffettoError as error:
        connection.send(str(error))
    except KeyboardInterrupt:
        pass


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
