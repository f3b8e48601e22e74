"""Long recordings, one after the other, in SQLite: what waits, what is done, and what came of it.

A recording lies in the folder until its job has ended, its result until it is deleted or has become old. A job that was
running when the server was killed waits again at its next start; its timeline's journal knows what was done.
"""

import json
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from affetto.errors import AffettoError
from affetto.messages import Analysis, Job, Problem
from affetto.serve.analysis import Options
from affetto.serve.problems import RefusedError, problem

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    progress REAL NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    ended REAL,
    name TEXT NOT NULL,
    options TEXT NOT NULL,
    result TEXT,
    problem TEXT
)
"""

Work = Callable[[Path, str, Options, Path, Callable[[float], None]], Analysis]
"""From a recording's path, name and options, its journal's folder, and who is told of progress, to what is heard."""


class DeletedError(Exception):
    """Nobody wants to know any more."""


class Jobs:
    """The jobs in a folder, and a thread that does them in their order.

    Args:
        folder: made if need be; no two servers may use one at the same time.
        work: analyses one recording.
        keep: seconds for which results are kept.
    """

    def __init__(self, folder: Path, work: Work, *, keep: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.work, self.keep = folder, work, keep
        self._change = threading.Condition()
        self._stopping = False
        self._base = sqlite3.connect(folder / "jobs.sqlite", check_same_thread=False, isolation_level=None)
        self._base.row_factory = sqlite3.Row
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute(SCHEMA)
        self._base.execute("UPDATE jobs SET state = 'waiting' WHERE state = 'running'")
        self._tidy()
        self._thread = threading.Thread(target=self._run, name="affetto jobs", daemon=True)
        self._thread.start()

    def add(self, path: Path, name: str, options: Options) -> Job:
        """Take a recording in, whose file becomes ours.

        Args:
            path: in `folder`.
            name: as its sender calls it.
            options: how it is to be analysed.
        """
        identity = uuid.uuid4().hex
        with self._change:  # or it would be tidied away before it is known
            path.rename(self._recording(identity))
            self._base.execute(
                "INSERT INTO jobs (id, state, created, name, options) VALUES (?, 'waiting', ?, ?, ?)",
                (identity, time.time(), name, json.dumps(asdict(options))),
            )
            self._change.notify()
        job = self.find(identity)
        assert job is not None
        return job

    def find(self, identity: str) -> Job | None:
        """A job; None if there is none."""
        with self._change:
            row = self._base.execute("SELECT * FROM jobs WHERE id = ?", (identity,)).fetchone()
        return None if row is None else _job(row)

    def delete(self, identity: str) -> bool:
        """Stop and forget a job; whether there was one."""
        with self._change:
            found = self._base.execute("DELETE FROM jobs WHERE id = ?", (identity,)).rowcount > 0
        self._remove(identity)
        return found

    @property
    def open(self) -> int:
        """Jobs that wait or run."""
        with self._change:
            count = self._base.execute("SELECT count(*) FROM jobs WHERE state IN ('waiting', 'running')").fetchone()[0]
        return int(count)

    def close(self) -> None:
        """Stop; what runs goes on when the folder is opened again."""
        with self._change:
            self._stopping = True
            self._change.notify()
        self._thread.join()
        self._base.close()

    def _run(self) -> None:
        while True:
            with self._change:
                row = self._next()
                while row is None and not self._stopping:
                    self._change.wait(timeout=60.0)
                    self._tidy()
                    row = self._next()
                if self._stopping or row is None:
                    return
                self._base.execute("UPDATE jobs SET state = 'running' WHERE id = ?", (row["id"],))
            self._do(row)

    def _next(self) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._base.execute(
            "SELECT * FROM jobs WHERE state = 'waiting' ORDER BY created, rowid LIMIT 1"
        ).fetchone()
        return row

    def _do(self, row: sqlite3.Row) -> None:
        identity, options = row["id"], Options(**json.loads(row["options"]))

        def progress(share: float) -> None:
            with self._change:
                if self._stopping:
                    raise DeletedError
                told = self._base.execute("UPDATE jobs SET progress = ? WHERE id = ?", (min(share, 1.0), identity))
            if told.rowcount == 0:
                raise DeletedError

        try:
            recording, journal = self._recording(identity), self._journal(identity)
            result = self.work(recording, row["name"], options, journal, progress)
        except DeletedError:
            return
        except AffettoError as error:
            self._end(identity, "failed", problem=problem(error))
        except RefusedError as error:
            self._end(identity, "failed", problem=error.problem)
        except Exception as error:  # one bad job does not stop the others
            told = Problem(what="the server failed", got=type(error).__name__, expected="a result")
            self._end(identity, "failed", problem=told)
        else:
            self._end(identity, "done", result=result)

    def _end(
        self, identity: str, state: str, *, result: Analysis | None = None, problem: Problem | None = None
    ) -> None:
        told = [None if each is None else each.model_dump_json() for each in (result, problem)]
        with self._change:
            self._base.execute(
                "UPDATE jobs SET state = ?, progress = 1, ended = ?, result = ?, problem = ? WHERE id = ?",
                (state, time.time(), *told, identity),
            )
        self._remove(identity)

    def _tidy(self) -> None:
        """Forget old results, and recordings of jobs that nobody knows."""
        self._base.execute("DELETE FROM jobs WHERE ended < ?", (time.time() - self.keep,))
        known = {row["id"] for row in self._base.execute("SELECT id FROM jobs WHERE ended IS NULL")}
        for path in [*self.folder.glob("*.recording"), *self.folder.glob("*.journal")]:
            if path.stem not in known:
                self._remove(path.stem)

    def _remove(self, identity: str) -> None:
        self._recording(identity).unlink(missing_ok=True)
        shutil.rmtree(self._journal(identity), ignore_errors=True)

    def _recording(self, identity: str) -> Path:
        return self.folder / f"{identity}.recording"

    def _journal(self, identity: str) -> Path:
        return self.folder / f"{identity}.journal"


def _job(row: sqlite3.Row) -> Job:
    read: dict[str, Any] = {
        "result": None if row["result"] is None else Analysis.model_validate_json(row["result"]),
        "problem": None if row["problem"] is None else Problem.model_validate_json(row["problem"]),
    }
    return Job(id=row["id"], state=row["state"], progress=row["progress"], created=row["created"], **read)
