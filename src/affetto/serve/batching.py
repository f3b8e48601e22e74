"""What many threads want heard at the same time is heard together, by a few.

A network is faster on eight clips at once than on eight after each other, and on as many cores it is faster one core a
batch than all cores on one: they need not wait for each other at the end of every product. So streams, requests and
jobs put their clips in a line, from which each of a few threads takes as many as make a batch: those of streams first,
for somebody waits for them, but always some of the others too.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from affetto.recognizer import Heard, Prediction, Recognizer

BATCH_SECONDS = 20.0
"""Sound in a batch, about."""
PATIENT_SHARE = 0.25
"""Of a batch that is kept for those who can wait, if there are any."""

Work = Callable[[Sequence[Heard]], Sequence[Any] | Tensor]
"""What is done with clips: from some, to something of each."""


@dataclass(frozen=True)
class _Waiting:
    """A clip with which something is to be done."""

    work: Work
    clip: Heard
    done: "Future[Any]" = field(default_factory=Future)


def compute_with(cores: int) -> None:
    """Have this thread compute with so many cores.

    torch keeps the number in two places, for the thread and for threads that have not computed yet; a thread that is
    told before it has computed takes the latter, which another one may have changed meanwhile.
    """
    torch.get_num_threads()  # counts as having computed
    torch.set_num_threads(cores)


class Line:
    """Clips that wait to be heard.

    Args:
        observe: told of each batch: how many clips it has.
        workers: threads that hear, each on an equal share of the cores that torch may use.
    """

    def __init__(self, observe: Callable[[int], None] | None = None, *, workers: int = 1) -> None:
        self.observe = observe
        self._cores = max(1, torch.get_num_threads() // workers)
        self._urgent: deque[_Waiting] = deque()
        self._patient: deque[_Waiting] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"affetto hears {i}", daemon=True) for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Clips that nobody has begun to hear."""
        return len(self._urgent) + len(self._patient)

    def ask(self, work: Work, clips: Sequence[Heard], *, urgent: bool) -> list[Any]:
        """What comes of some clips; waits until it does.

        Args:
            work: done with them, and with others for which the same is asked.
            clips: the clips.
            urgent: whether they go to the front.

        Raises:
            RuntimeError: if the line is closed.
        """
        asked = [_Waiting(work, clip) for clip in clips]
        with self._change:
            if self._closed:
                raise RuntimeError("the server stops")
            (self._urgent if urgent else self._patient).extend(asked)
            self._change.notify(len(asked))
        return [each.done.result() for each in asked]

    def close(self) -> None:
        """Hear what waits, and nothing more."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        compute_with(self._cores)
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self.waiting)
                batch = self._take()
            if not batch:
                return
            if self.observe is not None:
                self.observe(len(batch))
            for work in dict.fromkeys(each.work for each in batch):
                _do(work, [each for each in batch if each.work == work])

    def _take(self) -> list[_Waiting]:
        """The next batch; empty if nothing waits."""
        kept = PATIENT_SHARE * BATCH_SECONDS if self._patient else 0.0
        batch, left = _fill(self._urgent, BATCH_SECONDS - kept)
        more, _ = _fill(self._patient, left + kept)
        return batch + more


def _do(work: Work, batch: list[_Waiting]) -> None:
    try:
        found = work([each.clip for each in batch])
    except Exception as error:  # whoever waits is told; the thread goes on
        for each in batch:
            each.done.set_exception(error)
        return
    for each, result in zip(batch, found, strict=True):
        each.done.set_result(result)


def _fill(line: deque[_Waiting], seconds: float) -> tuple[list[_Waiting], float]:
    """Clips from the front of a line, one or more, until some seconds are full; and the seconds that are left."""
    taken: list[_Waiting] = []
    while line and (line[0].clip.seconds <= seconds or not taken):
        taken.append(line.popleft())
        seconds -= taken[-1].clip.seconds
    return taken, max(seconds, 0.0)


class SharedRecognizer(Recognizer):
    """A recogniser that others use at the same time: each thread's clips are heard in batches with everybody's.

    Args:
        recognizer: whose model, device and precision it has.
        line: where its clips wait.
        urgent: whether they go to the front.
    """

    def __init__(self, recognizer: Recognizer, line: Line, *, urgent: bool) -> None:
        vars(self).update(vars(recognizer))
        self.own, self.line, self.urgent = recognizer, line, urgent

    def judge(self, clips: Sequence[Heard]) -> list[Prediction]:
        """Predictions of some recordings, in their order."""
        if self.checkpoint.model.takes_baseline:
            return super().judge(clips)  # asks for summaries, so that all are made together
        return self.line.ask(self.own.judge, clips, urgent=self.urgent)

    def summaries(self, clips: Sequence[Heard]) -> Tensor:
        """What the model makes of each recording, (clips, D)."""
        return torch.stack(self.line.ask(self.own.summaries, clips, urgent=self.urgent))
