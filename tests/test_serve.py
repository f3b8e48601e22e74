"""The server, as those who ask it see it."""

import itertools
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from affetto.client import events
from affetto.encoders.weights import digest
from affetto.messages import Analysis, Job
from affetto.models.linear_probe import LinearProbe
from affetto.recognizer import Prediction, Recognizer
from affetto.resources import folder
from affetto.segments import timeline
from affetto.serve import examples
from affetto.serve.analysis import Options
from affetto.serve.app import create
from affetto.serve.batching import Line, SharedRecognizer, compute_with
from affetto.serve.jobs import Jobs
from affetto.serve.settings import Limits, ServeSettings
from affetto.stream import EmotionStream, StreamSettings

CLIP = folder("samples") / "12b02Wd.wav"


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.from_pretrained(precision="fp32")


def client_of(recognizer, **settings):
    return TestClient(create(recognizer, ServeSettings(**settings)), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(recognizer, tmp_path_factory):
    with client_of(recognizer, jobs=tmp_path_factory.mktemp("jobs")) as client:
        yield client


def pcm(path: Path) -> tuple[bytes, int]:
    samples, rate = soundfile.read(path, dtype="int16")
    return samples.tobytes(), rate


# Recordings


def test_an_upload_is_heard_as_the_command_hears_the_file(client, recognizer):
    found = client.post("/v1/analyze", files={"file": ("a b.wav", CLIP.read_bytes())}).json()
    expected = timeline(CLIP, recognizer)
    assert found["file"] == "a b.wav" and found["seconds"] == expected.seconds and found["labels"] == [*expected.labels]
    assert len(found["utterances"]) == len(expected.utterances) > 0
    for got, want in zip(found["utterances"], expected.utterances, strict=True):
        assert (got["start"], got["end"], got["emotion"]) == (want.start, want.end, want.prediction.emotion)
        assert got["probabilities"] == pytest.approx(want.prediction.probabilities, abs=1e-5)


def test_a_bare_body_is_heard_as_a_form(client):
    form = client.post("/v1/analyze", files={"file": ("", CLIP.read_bytes())})
    bare = client.post("/v1/analyze", content=CLIP.read_bytes(), headers={"content-type": "audio/wav"})
    assert bare.json()["utterances"] == client.post("/v1/analyze", content=CLIP.read_bytes()).json()["utterances"]
    assert form.status_code == 400 or form.json()["utterances"] == bare.json()["utterances"]


@pytest.mark.parametrize(
    ("accept", "kind", "begin"),
    [
        ("text/csv", "text/csv", "file,start,end,"),
        ("text/vtt", "text/vtt", "WEBVTT\n"),
        ("text/html, text/vtt;q=0.5, text/csv;q=0.9", "text/csv", "file,start,end,"),
        ("*/*", "application/json", "{"),
        ("application/*;q=0.1, text/vtt;q=0", "application/json", "{"),
    ],
)
def test_the_answer_is_what_is_accepted(client, accept, kind, begin):
    answer = client.post("/v1/analyze", files={"file": ("x.wav", CLIP.read_bytes())}, headers={"accept": accept})
    assert answer.headers["content-type"].startswith(kind) and answer.text.startswith(begin)


@pytest.mark.parametrize(
    ("asked", "status", "what", "got"),
    [
        ({"content": b"no sound"}, 422, "the recording cannot be heard", "not audio that can be decoded"),
        ({"content": b""}, 400, "the body is empty", "0 bytes"),
        ({"files": {"other": ("x.wav", b"x")}}, 400, "the form has no file", "other"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "the form cannot be read", ""),
        ({"content": b"x", "headers": {"accept": "image/png"}}, 406, "it cannot be given as this", "image/png"),
        ({"content": b"x", "params": {"window": "-1"}}, 422, "query.window is not valid", "-1"),
        ({"content": b"x", "params": {"window": "0.01"}}, 422, "the recording cannot be analysed", "--window 0.01"),
        ({"content": b"x", "params": {"channels": "left"}}, 422, "query.channels is not valid", "left"),
        ({"content": b"x", "params": {"chanels": "split"}}, 422, "the query has a name that is not known", "chanels"),
        ({"content": b"x", "params": {"words": "true"}}, 422, "this server writes down no words", "words=true"),
    ],
)
def test_a_problem_is_told_in_words(client, asked, status, what, got):
    answer = client.post("/v1/analyze", **asked)
    told = answer.json()
    assert answer.status_code == status and set(told) == {"what", "got", "expected"}
    assert told["what"] == what and got in told["got"] and told["expected"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"channels": "left"}, "'mix' or 'split'"),
        ({"words": "perhaps"}, "true or false"),
        ({"window": "-1"}, "0.0 or more"),
        ({"window": "long"}, "a number"),
        ({"chanels": "split"}, "words, channels, window, baseline"),
    ],
)
def test_what_would_have_been_valid_is_said_in_our_words(client, query, expected):
    assert client.post("/v1/analyze", content=b"x", params=query).json()["expected"] == expected


def test_a_model_that_takes_no_baseline_says_so(client, monkeypatch):
    monkeypatch.setattr(LinearProbe, "takes_baseline", False)
    answer = client.post("/v1/analyze", content=b"x", params={"baseline": "running"})
    told = answer.json()
    assert (answer.status_code, told["what"]) == (422, "this model takes no baseline")
    assert "baseline=running" in told["got"] and told["expected"]


def test_addresses_that_are_none_are_told_of_in_the_same_words(client):
    assert client.get("/v1/analyze").json()["expected"] == "POST /v1/analyze"
    assert client.put("/v1/jobs/abc").json()["expected"] == "DELETE or GET /v1/jobs/abc"
    for answer, status in ((client.get("/v2"), 404), (client.get("/v1/analyze"), 405), (client.get("/docs"), 404)):
        assert answer.status_code == status and set(answer.json()) == {"what", "got", "expected"}


def test_what_is_too_large_or_too_long_is_refused(recognizer):
    with client_of(recognizer, limits=Limits(upload_bytes=50_000)) as client:
        for asked in ({"content": CLIP.read_bytes()}, {"content": iter([CLIP.read_bytes()])}):
            answer = client.post("/v1/analyze", **asked)
            assert answer.status_code == 413 and "at most 50000 bytes" in answer.json()["expected"]
        answer = client.post("/v1/analyze", files={"file": ("x.wav", CLIP.read_bytes())})
        assert answer.status_code == 413
    with client_of(recognizer, limits=Limits(upload_seconds=1)) as client:
        answer = client.post("/v1/analyze", content=CLIP.read_bytes())
        assert answer.status_code == 413 and answer.json()["got"] == "2.6 s"


def test_who_is_one_too_many_is_told_to_come_again(recognizer):
    with client_of(recognizer, limits=Limits(requests=0)) as client:
        answer = client.post("/v1/analyze", content=CLIP.read_bytes())
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1


def test_what_takes_too_long_is_given_up(recognizer):
    with client_of(recognizer, limits=Limits(request_seconds=0.001)) as client:
        answer = client.post("/v1/analyze", content=CLIP.read_bytes())
        assert answer.status_code == 503 and answer.json()["what"] == "it took too long"


def test_a_token_is_asked_for(recognizer, tmp_path):
    with client_of(recognizer, token="open sesame", jobs=tmp_path) as client:
        for method, address in (
            ("POST", "/v1/analyze"),
            ("GET", "/v1/models"),
            ("GET", "/v1/jobs/x"),
            ("GET", "/metrics"),
        ):
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic open sesame"}):
                answer = client.request(method, address, headers=headers)
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/healthz").status_code == 200
        found = client.get("/v1/models", headers={"authorization": "Bearer open sesame"}).json()
        assert found[0]["name"] == recognizer.checkpoint.name
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json({"type": "session.start", "sample_rate": 16_000})
            assert socket.receive_json()["what"] == "a token is needed"
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json({"type": "session.start", "sample_rate": 16_000, "token": "open sesame"})
            assert socket.receive_json()["type"] == "session.ready"


def test_pages_of_others_may_not_ask_unless_they_are_named(recognizer, client):
    origin = {"origin": "https://example.org"}
    assert "access-control-allow-origin" not in client.get("/v1/models", headers=origin).headers
    with client.websocket_connect("/v1/stream", headers=origin) as socket:
        assert socket.receive_json()["what"] == "this web page may not ask"
    with client.websocket_connect("/v1/stream", headers={"origin": "http://testserver"}) as socket:
        socket.send_json({"type": "session.start", "sample_rate": 16_000})
        assert socket.receive_json()["type"] == "session.ready"
    with client_of(recognizer, origins=("https://example.org",)) as named:
        headers = named.get("/v1/models", headers=origin).headers
        assert headers["access-control-allow-origin"] == "https://example.org"
        with named.websocket_connect("/v1/stream", headers=origin) as socket:
            socket.send_json({"type": "session.start", "sample_rate": 16_000})
            assert socket.receive_json()["type"] == "session.ready"


def test_no_sound_stays(client, caplog, capfd):
    for content in (CLIP.read_bytes(), b"no sound"):
        client.post("/v1/analyze", files={"file": ("secret name.wav", content)})
    assert [*client.app.state.service.folder.iterdir()] == []
    out, err = capfd.readouterr()
    assert "secret name" not in out + err + caplog.text


def test_the_examples_are_answers():
    Analysis.model_validate(examples.ANALYSIS["application/json"]["example"])
    Job.model_validate(examples.JOB["application/json"]["example"])


def test_a_stream_that_is_behind_gets_fewer_updates_and_all_results(client):
    """Ten times as fast as one can speak, so that sound waits."""
    sound, rate = pcm(CLIP)
    found = session(client, 20 * (sound + bytes(rate)), rate, 64_000, update_interval=0.25)
    results = [event for event in found if event.type == "measurement.result"]
    updates = [event for event in found if event.type == "measurement.update"]
    assert len(results) == 20 and updates and max(update.interval for update in updates) > 0.5


def test_the_state_is_told(client):
    assert client.get("/healthz").json() == client.get("/readyz").json() == {"status": "ok"}
    client.post("/v1/analyze", content=CLIP.read_bytes())
    text = client.get("/metrics").text
    assert 'affetto_requests_total{address="/v1/analyze",status="200"}' in text
    assert "affetto_batch_clips_bucket" in text and "affetto_clips_waiting 0.0" in text


def test_a_server_that_stops_takes_no_work(recognizer):
    with client_of(recognizer) as client:
        client.app.state.service.stopping.set()
        assert client.get("/healthz").status_code == 200
        for answer in (client.get("/readyz"), client.post("/v1/analyze", content=CLIP.read_bytes())):
            assert answer.status_code == 503 and "retry-after" in answer.headers


@pytest.mark.slow
def test_a_stream_ends_with_what_an_upload_gets_beside_the_running_baseline(tmp_path):
    """By another model, which takes one."""
    clips = [soundfile.read(path, dtype="int16")[0] for path in sorted(folder("samples").glob("*.wav"))[:4]]
    sound = np.concatenate([part for clip in clips for part in (clip, np.zeros(12_000, np.int16))])
    soundfile.write(tmp_path / "talk.wav", sound, 16_000)
    with client_of(Recognizer.from_pretrained("whisper4-emodb", precision="fp32")) as client:
        said = [event for event in session(client, sound.tobytes(), 16_000, 3_201) if "result" in event.type]
        asked = {"window": 0, "baseline": "running"}
        found = client.post("/v1/analyze", content=(tmp_path / "talk.wav").read_bytes(), params=asked).json()
    assert len(said) == len(found["utterances"]) >= 4
    for event, utterance in zip(said, found["utterances"], strict=True):
        assert (event.start, event.end) == (utterance["start"], utterance["end"])
        assert event.probabilities == pytest.approx(utterance["probabilities"], abs=1e-5)
    assert said[-1].baseline.seconds == pytest.approx(sum(event.end - event.start for event in said), abs=1e-3)


# Long recordings


def ended(client, identity):
    for _ in range(600):
        job = client.get(f"/v1/jobs/{identity}").json()
        if job["state"] in ("done", "failed"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)


def test_a_job_ends_with_what_an_upload_gets(client):
    upload = {"file": ("long.wav", CLIP.read_bytes())}
    answer = client.post("/v1/jobs", files=upload)
    assert answer.status_code == 202 and answer.json()["state"] in ("waiting", "running")
    job = ended(client, answer.json()["id"])
    assert job["state"] == "done" and job["progress"] == 1
    result = client.post("/v1/analyze", files=upload).json()
    for got, want in zip(job["result"]["utterances"], result["utterances"], strict=True):
        assert got["probabilities"] == pytest.approx(want["probabilities"], abs=1e-5)
    assert [
        path.name for path in client.app.state.service.jobs.folder.iterdir() if "jobs.sqlite" not in path.name
    ] == []
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 404


def test_a_job_that_fails_says_why(client):
    identity = client.post("/v1/jobs", content=b"no sound").json()["id"]
    job = ended(client, identity)
    assert job["state"] == "failed" and job["problem"]["what"] == "the recording cannot be heard"


def test_a_server_without_a_folder_takes_no_jobs(recognizer):
    with client_of(recognizer) as client:
        answer = client.post("/v1/jobs", content=CLIP.read_bytes())
        assert answer.status_code == 404 and "--jobs FOLDER" in answer.json()["expected"]


def test_too_many_jobs_are_refused(recognizer, tmp_path):
    with client_of(recognizer, jobs=tmp_path, limits=Limits(jobs=0)) as client:
        answer = client.post("/v1/jobs", content=CLIP.read_bytes())
        assert answer.status_code == 429 and "retry-after" in answer.headers


def recording(folder: Path, content: bytes = b"sound") -> Path:
    path = folder / "upload.audio"
    path.write_bytes(content)
    return path


def test_jobs_survive_that_the_server_stops(tmp_path):
    """The first one is stopped in the middle; both are done by the next server, the old one first."""

    begun, done = threading.Event(), []

    def endless(path, name, options, journal, progress):
        begun.set()
        while True:
            progress(0.5)
            time.sleep(0.01)

    def work(path, name, options, journal, progress):
        done.append((path.read_bytes(), name, options))
        return Analysis(file=name, seconds=1, model="m", labels=(), utterances=())

    jobs = Jobs(tmp_path, endless, keep=60)
    first = jobs.add(recording(tmp_path, b"one"), "one.wav", Options(window=0))
    second = jobs.add(recording(tmp_path, b"two"), "two.wav", Options(channels="split"))
    assert begun.wait(60)
    jobs.close()

    jobs = Jobs(tmp_path, work, keep=60)
    for _ in range(100):
        if jobs.open == 0:
            break
        time.sleep(0.05)
    assert done == [(b"one", "one.wav", Options(window=0)), (b"two", "two.wav", Options(channels="split"))]
    assert jobs.find(first.id).result.file == "one.wav" and jobs.find(second.id).state == "done"
    jobs.close()


def test_a_job_that_is_deleted_stops(tmp_path):
    begun, stopped = threading.Event(), threading.Event()

    def endless(path, name, options, journal, progress):
        begun.set()
        try:
            while True:
                progress(0.5)
                time.sleep(0.01)
        finally:
            stopped.set()

    jobs = Jobs(tmp_path, endless, keep=60)
    job = jobs.add(recording(tmp_path), "x", Options())
    assert begun.wait(60) and jobs.delete(job.id) and stopped.wait(60)
    assert jobs.find(job.id) is None and not [*tmp_path.glob("*.recording")]
    jobs.close()


def test_old_results_and_lost_recordings_are_forgotten(tmp_path):

    jobs = Jobs(tmp_path, lambda *_: Analysis(file="", seconds=1, model="m", labels=(), utterances=()), keep=0.0)
    job = jobs.add(recording(tmp_path), "x", Options())
    until = time.monotonic() + 60
    while jobs.open:
        assert time.monotonic() < until
        time.sleep(0.01)
    jobs.close()
    (tmp_path / "0123.recording").write_bytes(b"of no job")
    jobs = Jobs(tmp_path, lambda *_: None, keep=0.0)
    assert jobs.find(job.id) is None and not [*tmp_path.glob("*.recording")]
    jobs.close()


# Streams


def session(client, sound, rate, chunk, **start):
    with client.websocket_connect("/v1/stream") as socket:
        socket.send_json({"type": "session.start", "sample_rate": rate, **start})
        for first in range(0, len(sound), chunk):
            socket.send_bytes(sound[first : first + chunk])
        socket.send_json({"type": "session.end"})
        found = []
        while not found or found[-1].type not in ("session.end", "error"):
            found.append(events.validate_json(socket.receive_text()))
    return found


def test_a_stream_says_what_is_said_without_a_server(client, recognizer):
    sound, rate = pcm(CLIP)
    found = session(client, sound, rate, 999)  # samples are cut in two
    stream = EmotionStream(recognizer, rate, StreamSettings())
    expected = [*stream.feed(np.frombuffer(sound, np.int16)), *stream.finish()]
    assert found[0].type == "session.ready" and found[0].labels == recognizer.labels
    assert found[-1].type == "session.end" and found[-1].seconds == pytest.approx(len(sound) / 2 / rate, abs=1e-3)
    kinds = ("utterance.start", "measurement.result", "utterance.end")
    got, want = ([event for event in each if event.type in kinds] for each in (found, expected))
    assert [event.type for event in got] == [event.type for event in want] and len(got) >= 3
    for one, other in zip(got, want, strict=True):
        assert one.start == other.start
        if one.type == "measurement.result":
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        (["hello"], "the first message is not valid"),
        ([b"\0\0"], "the first message is not valid"),
        ([{"type": "session.start"}], "sample_rate is not valid"),
        ([{"type": "session.start", "sample_rate": 1}], "sample_rate is not valid"),
        ([{"type": "session.start", "sample_rate": 16_000, "codec": "opus"}], "codec is not valid"),
        ([{"type": "session.start", "sample_rate": 16_000, "words": True}], "this server writes down no words"),
        ([{"type": "session.start", "sample_rate": 16_000}, {"type": "pause"}], "the message is not known"),
        ([{"type": "session.start", "sample_rate": 16_000}, bytes(1_000_002)], "the message is too large"),
    ],
)
def test_a_stream_says_what_is_wrong_and_ends(client, messages, what):
    with client.websocket_connect("/v1/stream") as socket:
        for message in messages:
            if isinstance(message, bytes):
                socket.send_bytes(message)
            else:
                socket.send_text(message if isinstance(message, str) else json.dumps(message))
        told = socket.receive_json()
        if told["type"] == "session.ready":
            told = socket.receive_json()
        assert told["type"] == "error" and told["what"] == what and told["got"] and told["expected"]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code in (1003, 1008)
    assert client.app.state.service.streams == 0


def test_streams_have_limits(recognizer):
    start = {"type": "session.start", "sample_rate": 16_000}
    with client_of(recognizer, limits=Limits(streams=1, stream_seconds=2, idle_seconds=0.5)) as client:
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json(start)
            assert socket.receive_json()["type"] == "session.ready"
            with client.websocket_connect("/v1/stream") as second:
                second.send_json(start)
                assert second.receive_json()["what"] == "there are too many streams"
                with pytest.raises(WebSocketDisconnect) as closed:
                    second.receive_json()
                assert closed.value.code == 1013
            assert socket.receive_json()["what"] == "the stream is idle"
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json(start)
            socket.send_bytes(bytes(3 * 32_000))
            assert [socket.receive_json()["type"] for _ in range(2)] == ["session.ready", "error"]
        assert client.app.state.service.streams == 0


# Batches


class _Clip:
    def __init__(self, seconds):
        self.seconds = seconds


def held():
    """Work that stands still with its first batch: what holds it, when it has begun, and the batches' lengths."""
    begun, go, batches = threading.Event(), threading.Event(), []

    def hear(clips):
        begun.set()
        assert go.wait(60)
        batches.append([clip.seconds for clip in clips])
        return [Prediction("", 0, clip.seconds) for clip in clips]

    return hear, begun, go, batches


def ask_beside(line, hear, clips, *, urgent):
    """Ask in a thread; returns when the clips are in the line, with the thread and where its answers will be."""
    answers, before = [], line.waiting
    thread = threading.Thread(target=lambda: answers.extend(line.ask(hear, clips, urgent=urgent)))
    thread.start()
    until = time.monotonic() + 60
    while line.waiting < before + len(clips):
        assert time.monotonic() < until
        time.sleep(0.001)
    return thread, answers


def test_what_is_asked_at_the_same_time_is_heard_together():
    hear, begun, go, batches = held()
    line = Line()
    first = threading.Thread(target=line.ask, args=(hear, [_Clip(0.1)]), kwargs={"urgent": True})
    first.start()
    assert begun.wait(60)
    asked = [ask_beside(line, hear, [_Clip(n), _Clip(n + 0.5)], urgent=bool(n % 2)) for n in range(5)]
    go.set()
    for thread, _ in [(first, []), *asked]:
        thread.join(60)
    assert batches[0] == [0.1] and sum(map(len, batches)) == 11 and len(batches) <= 4
    assert all([p.end for p in answers] == [n, n + 0.5] for n, (_, answers) in enumerate(asked))  # each his own
    line.close()
    with pytest.raises(RuntimeError, match="the server stops"):
        line.ask(hear, [_Clip(1)], urgent=True)


def test_two_workers_hear_two_batches_at_the_same_time():
    both = threading.Barrier(2, timeout=60)

    def hear(clips):
        both.wait()
        return [Prediction("", 0, clip.seconds) for clip in clips]

    line = Line(workers=2)
    threads = [threading.Thread(target=line.ask, args=(hear, [_Clip(20)]), kwargs={"urgent": True}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not both.broken
    line.close()


def test_workers_compute_with_their_share_whatever_other_threads_were_told():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    line = Line(workers=2)
    other = threading.Thread(target=compute_with, args=(1,))
    other.start()
    other.join()
    assert line.ask(lambda clips: [torch.get_num_threads() for _ in clips], [_Clip(1)] * 5, urgent=True) == [2] * 5
    line.close()
    torch.set_num_threads(before)


def test_who_waits_is_heard_first_and_nobody_waits_forever():
    hear, begun, go, order = held()
    line = Line()
    first = threading.Thread(target=line.ask, args=(hear, [_Clip(1.0)]), kwargs={"urgent": True})
    first.start()
    assert begun.wait(60)
    patient, _ = ask_beside(line, hear, [_Clip(9.0)] * 4, urgent=False)
    urgent, _ = ask_beside(line, hear, [_Clip(4.0)] * 10, urgent=True)
    go.set()
    for thread in (first, patient, urgent):
        thread.join(60)
    assert order[0] == [1.0]
    for batch in order[1:4]:
        assert 4.0 in batch and batch.count(9.0) == 1  # both go on
    assert sum(batch.count(9.0) for batch in order) == 4
    line.close()


def test_a_batch_that_fails_fails_for_those_in_it_alone():
    def hear(clips):
        if any(clip.seconds > 5 for clip in clips):
            raise ValueError("too much")
        return [Prediction("", 0, 0)] * len(clips)

    line = Line()
    with pytest.raises(ValueError, match="too much"):
        line.ask(hear, [_Clip(6)], urgent=True)
    assert len(line.ask(hear, [_Clip(1)], urgent=True)) == 1
    line.close()


def test_a_shared_recognizer_hears_what_its_own_does(recognizer):
    line = Line()
    shared = SharedRecognizer(recognizer, line, urgent=True)
    assert shared.labels == recognizer.labels
    got, want = shared.predict(CLIP), recognizer.predict(CLIP)
    assert got.probabilities == pytest.approx(want.probabilities, abs=1e-6) and got.file == want.file
    line.close()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_prepared_recognizer_hears_the_same(precision):
    samples, rate = soundfile.read(CLIP)
    clips = [(samples[:n], rate) for n in (17_000, 32_000, 41_234)]
    recognizer = Recognizer.from_pretrained(precision=precision)
    before = [[*recognizer.predict_all(some)] for some in (clips, clips[:1])]
    recognizer.prepare()
    after = [[*recognizer.predict_all(some)] for some in (clips, clips[:1])]
    for got, want in zip(itertools.chain(*after), itertools.chain(*before), strict=True):
        assert got.probabilities == pytest.approx(want.probabilities, abs=1e-5 if precision == "fp32" else 2e-2)
    assert digest(recognizer.checkpoint.model)
    parts = recognizer.checkpoint.model.streams["speech"].encoder.packed.layers[0]
    kept = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    assert parts.widen.weight.dtype == kept and parts.normal.weight.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_description_holds_under_requests_that_are_made_of_it(recognizer, tmp_path):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    app = create(recognizer, ServeSettings(jobs=tmp_path))
    with TestClient(app):
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        for operation in (result.ok() for result in schema.get_all_operations()):

            @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @schemathesis_given(operation)
            def answers(case):
                case.call_and_validate(checks=checks)

            answers()


def schemathesis_given(operation):
    from hypothesis import given

    return given(case=operation.as_strategy())
