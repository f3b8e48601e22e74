"""What a server has: a recogniser that all share, threads, limits, jobs."""

import asyncio
import functools
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from affetto.messages import Analysis, Model
from affetto.recognizer import Recognizer
from affetto.segments import Timeline
from affetto.serve import analysis
from affetto.serve.analysis import Options
from affetto.serve.batching import Line, SharedRecognizer, compute_with
from affetto.serve.jobs import Jobs
from affetto.serve.measures import Measures
from affetto.serve.problems import refused
from affetto.serve.settings import ServeSettings
from affetto.stream import EmotionStream, StreamSettings
from affetto.vad import SpeechDetector

T = TypeVar("T")

STREAM_WINDOW = 2.0
"""Seconds that updates are judged from: one more costs half as much again, and changes little."""
WORKERS = 4
"""Threads in which the network is run on a CPU, at most; a GPU has one."""


class AbandonedError(Exception):
    """Nobody waits for an answer any more."""


class Service:
    """All that the addresses of a server need.

    Args:
        recognizer: hears; the service's own from now on.
        settings: what is allowed.
    """

    def __init__(self, recognizer: Recognizer, settings: ServeSettings) -> None:
        self.settings, self.limits = settings, settings.limits
        recognizer.prepare()
        self.recognizer = recognizer
        self.measures = Measures()
        self.detector = SpeechDetector()
        workers = min(WORKERS, torch.get_num_threads()) if recognizer.device.type == "cpu" else 1
        self.line = Line(self.measures.batches.observe, workers=workers)
        self.urgent = SharedRecognizer(recognizer, self.line, urgent=True)
        self.patient = SharedRecognizer(recognizer, self.line, urgent=False)
        most = self.limits.streams + self.limits.requests + 4
        # What these compute themselves is too little to be worth several cores.
        self.threads = ThreadPoolExecutor(most, "affetto serves", initializer=compute_with, initargs=(1,))
        self.stopping = asyncio.Event()
        self.streams = 0
        self.requests = 0
        self._folder = TemporaryDirectory(prefix="affetto-")
        self.folder = Path(self._folder.name)
        self.jobs: Jobs | None = None
        if settings.jobs is not None:
            self.jobs = Jobs(settings.jobs, self._job, keep=self.limits.result_seconds)
        self.measures.streams.set_function(lambda: self.streams)
        self.measures.waiting.set_function(lambda: self.line.waiting)
        self.measures.jobs.set_function(lambda: self.jobs.open if self.jobs else 0)

    @property
    def model(self) -> Model:
        """What it hears with."""
        checkpoint = self.recognizer.checkpoint
        return Model(
            name=checkpoint.name,
            labels=self.recognizer.labels,
            gives=checkpoint.task.gives,
            senses=tuple(sorted(self.recognizer.senses)),
            words=self.recognizer.asr is not None,
            baseline=checkpoint.model.takes_baseline,
            card=checkpoint.card,
        )

    def check_token(self, shown: str | None) -> None:
        """See that who asks may.

        Raises:
            RefusedError: if not.
        """
        wanted = self.settings.token
        if wanted is not None and not secrets.compare_digest((shown or "").encode(), wanted.encode()):
            got = "none" if not shown else "another one"
            raise refused(401, "a token is needed", got=got, expected="Authorization: Bearer TOKEN")

    def check_running(self) -> None:
        """See that the server takes work.

        Raises:
            RefusedError: if it stops.
        """
        if self.stopping.is_set():
            raise refused(503, "the server stops", got="a request", expected="none", retry_after=10)

    def check_words(self, wanted: bool) -> None:
        """See that words can be had if they are wanted.

        Raises:
            RefusedError: if not.
        """
        if wanted and self.recognizer.asr is None:
            raise refused(
                422, "this server writes down no words", got="words=true", expected="a server started with --asr"
            )

    def check_baseline(self, wanted: bool) -> None:
        """See that the model can judge beside a baseline if that is wanted.

        Raises:
            RefusedError: if not.
        """
        if wanted and not self.recognizer.checkpoint.model.takes_baseline:
            expected = "a model that was trained to take one, such as whisper4-emodb"
            raise refused(422, "this model takes no baseline", got="baseline=running", expected=expected)

    @contextmanager
    def request(self) -> Iterator[None]:
        """A place among those that are analysed.

        Raises:
            RefusedError: if there is none.
        """
        self.check_running()
        if self.requests >= self.limits.requests:
            got = f"{self.requests} recordings at the same time"
            expected = f"at most {self.limits.requests}"
            raise refused(429, "there is too much to do", got=got, expected=expected, retry_after=1)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    async def analyse(self, path: Path, options: Options) -> Timeline:
        """A recording's timeline.

        Raises:
            AudioError: if it cannot be heard.
            RefusedError: if it is too long, or it takes too long.
        """
        gone = threading.Event()

        def progress(_: float, __: float | None) -> None:
            if gone.is_set():
                raise AbandonedError

        def work() -> Timeline:
            analysis.check_length(path, self.limits.upload_seconds)
            return analysis.analyse(path, self.patient, options, detector=self.detector, progress=progress)

        try:
            async with asyncio.timeout(self.limits.request_seconds):
                timeline = await self.run(work)
        except TimeoutError as error:
            gone.set()
            got, expected = f"no answer after {self.limits.request_seconds:g} s", "less to do, or a job"
            raise refused(503, "it took too long", got=got, expected=expected, retry_after=10) from error
        self.measures.audio.labels("request").inc(timeline.seconds)
        return timeline

    def stream(self, sample_rate: int, update: float, *, words: bool) -> EmotionStream:
        """A new stream."""
        settings = StreamSettings(update=update, window=STREAM_WINDOW, words=words)
        return EmotionStream(self.urgent, sample_rate, settings, detector=self.detector)

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """What is done in another thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, functools.partial(work, *args))

    def close(self) -> None:
        """Stop, when nobody asks any more."""
        if self.jobs is not None:
            self.jobs.close()
        self.threads.shutdown(cancel_futures=True)
        self.line.close()
        self._folder.cleanup()

    def _job(
        self, path: Path, name: str, options: Options, journal: Path, progress: Callable[[float], None]
    ) -> Analysis:
        """What is heard in a long recording."""

        def told(done: float, total: float | None) -> None:
            progress(done / total if total else 0.0)

        timeline = analysis.analyse(path, self.patient, options, detector=self.detector, progress=told, journal=journal)
        self.measures.audio.labels("job").inc(timeline.seconds)
        return analysis.message(analysis.named(timeline, name))
