"""The client, a server in a process of its own, and what happens when that is stopped or killed."""

import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from affetto.client import Client, ServerError
from affetto.messages import Problem
from affetto.recognizer import Recognizer
from affetto.resources import folder
from affetto.segments import timeline

CLIP = folder("samples") / "12b02Wd.wav"


@contextmanager
def server(*options):
    """A server at a free port; gives its process and address, and stops it."""
    command = [sys.executable, "-c", "from affetto.cli import main; main()", "serve", "--port", "0", *options]
    process = subprocess.Popen([*command, "--precision", "fp32"], stderr=subprocess.PIPE, text=True)
    # Nobody reads what it says later, and it must not wait for that.
    reading = threading.Thread(target=process.stderr.read)
    try:
        told = process.stderr.readline()
        address = re.search(r"http://\S+", told)
        assert address, told
        reading.start()
        with Client(address[0]) as client:
            for _ in range(600):
                if client.ready():
                    break
                time.sleep(0.1)
        yield process, address[0]
    finally:
        process.kill()
        process.wait()
        if reading.ident is not None:
            reading.join()
        process.stderr.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with server("--jobs", str(tmp_path_factory.mktemp("jobs")), "--requests", "1") as (_, address):
        yield address


@pytest.fixture
def client(address):
    with Client(address) as client:
        yield client


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.from_pretrained(precision="fp32")


@pytest.mark.slow
def test_a_client_gets_what_a_recognizer_gives(client, recognizer):
    found, expected = client.analyze(CLIP), timeline(CLIP, recognizer)
    assert found.file == CLIP.name and client.models()[0].labels == found.labels == recognizer.labels
    for got, want in zip(found.utterances, expected.utterances, strict=True):
        assert (got.start, got.end) == (want.start, want.end)
        assert got.probabilities == pytest.approx(want.prediction.probabilities, abs=1e-5)
    with CLIP.open("rb") as file:
        assert client.analyze(file).utterances == client.analyze(CLIP.read_bytes()).utterances == found.utterances


@pytest.mark.slow
def test_a_client_waits_for_a_job(client):
    job = client.submit(CLIP)
    assert client.wait(job.id, timeout=60).utterances == client.analyze(CLIP).utterances
    client.delete(job.id)
    with pytest.raises(ServerError, match="there is no such job: got .*; expected the id"):
        client.job(job.id)
    with pytest.raises(ServerError, match="the recording cannot be heard"):
        client.wait(client.submit(b"no sound").id, timeout=60)


@pytest.mark.slow
def test_a_client_tells_of_problems(client):
    with pytest.raises(ServerError) as told:
        client.analyze(b"no sound")
    assert told.value.status == 422 and told.value.problem.what == "the recording cannot be heard"
    with pytest.raises(ServerError, match="this server writes down no words"):
        client.stream(16_000, words=True)
    assert not Client("http://127.0.0.1:1").ready()


@pytest.mark.slow
def test_a_client_streams(client):
    samples, rate = soundfile.read(CLIP, dtype="int16")
    with client.stream(rate, update_interval=0.5) as stream:
        for chunk in np.array_split(samples, 30):
            stream.send(chunk.tobytes())
            time.sleep(len(chunk) / rate)  # as it is spoken: who comes all at once is told the end alone
        events = [*stream.finish()]
    kinds = [event.type for event in events]
    assert kinds[0] == "utterance.start" and kinds[-3:] == ["measurement.result", "utterance.end", "session.end"]
    assert "measurement.update" in kinds and stream.ready.labels == (*events[-3].probabilities,)


@pytest.mark.slow
def test_a_crowd_is_told_to_come_again_and_is_heard_when_it_does(client, address):
    """One recording at a time, ten at once."""
    waits: list[float | None] = []

    def ask():
        with Client(address) as own:
            while True:
                try:
                    own.analyze(CLIP)
                    return
                except ServerError as error:
                    assert error.status == 429
                    waits.append(error.retry_after)
                    time.sleep(0.05)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert waits and all(wait is not None and wait >= 1 for wait in waits)


@pytest.mark.slow
def test_a_server_that_is_stopped_lets_streams_end():
    samples, rate = soundfile.read(CLIP, dtype="int16")
    with server() as (process, address), Client(address) as client, client.stream(rate) as stream:
        stream.send(samples.tobytes())
        assert next(stream.events()).type == "utterance.start"
        process.send_signal(signal.SIGTERM)
        kinds = [event.type for event in stream.events()]
        assert kinds[-3:] == ["measurement.result", "utterance.end", "session.end"]
        assert process.wait(30) in (0, -signal.SIGTERM)


@pytest.mark.slow
def test_a_job_goes_on_after_a_kill(tmp_path, recognizer):
    samples, rate = soundfile.read(CLIP, dtype="int16")
    pause = np.zeros(rate, np.int16)
    path = tmp_path / "long.wav"
    soundfile.write(path, np.concatenate([samples, pause] * 165), rate)  # ten minutes
    with server("--jobs", str(tmp_path / "jobs")) as (process, address), Client(address) as client:
        job = client.submit(path)
        while (now := client.job(job.id)).progress < 0.4:
            assert now.state in ("waiting", "running")
            time.sleep(0.05)
        process.kill()
        process.wait()
    assert [*(tmp_path / "jobs").glob("*.journal/*.jsonl")]
    with server("--jobs", str(tmp_path / "jobs")) as (_, address), Client(address) as client:
        found = client.wait(job.id, timeout=240)
    expected = timeline(path, recognizer)
    assert found.file == "long.wav" and len(found.utterances) == len(expected.utterances) >= 150
    for got, want in zip(found.utterances, expected.utterances, strict=True):
        assert (got.start, got.end) == (want.start, want.end)
        assert got.probabilities == pytest.approx(want.prediction.probabilities, abs=1e-5)


def test_a_problem_is_one_line():
    error = ServerError(429, Problem(what="too much", got="10", expected="1"), 2.0)
    assert str(error) == "too much: got 10; expected 1" and error.retry_after == 2.0
