import json
import threading
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import recall_score
from typer.testing import CliRunner

from affetto import audio, corpora
from affetto.cli import app
from affetto.corpora.distorted import Distorted
from affetto.distortions import DISTORTIONS
from affetto.errors import AudioError, CheckpointError, ConfigError, CorpusError
from affetto.progress import no_progress
from affetto.recognizer import Prediction
from affetto.stress import trials
from affetto.stress.listeners import EndpointListener, probabilities_in
from affetto.stress.page import page
from affetto.stress.trials import DEFAULT, Trial
from affetto.stress.verdicts import judge

SAMPLES = Path(__file__).parents[1] / "samples"
LABELS = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")


@pytest.fixture(scope="module")
def samples():
    return corpora.read("table", SAMPLES / "samples.csv")


class ByLoudness:
    """Knows every clip by heart, and takes those that are quieter than -40 dB of full scale for sadness."""

    name = "by loudness"

    def hear(self, corpus):
        for row in range(len(corpus)):
            recording = corpus.recording(row)
            loud = np.square(recording.waveform).mean() > 1e-4
            emotion = corpus.table["emotion"].iloc[row] if loud else "sadness"
            rest = 0.1 / (len(LABELS) - 1)
            probabilities = {label: 0.9 if label == emotion else rest for label in LABELS}
            yield Prediction(corpus.table.index[row][0], 0.0, recording.seconds, probabilities)


class ByLevel:
    """Rates arousal by level."""

    name = "by level"

    def hear(self, corpus):
        for row in range(len(corpus)):
            waveform = corpus.recording(row).waveform
            yield Prediction("", 0.0, 1.0, dimensions={"arousal": float(np.log10(np.square(waveform).mean()))})


def test_a_distorted_corpus_sounds_distorted_and_is_otherwise_the_same(samples):
    noisy = Distorted.of(samples, DISTORTIONS["white_noise"], 10)
    assert noisy.table is samples.table and noisy.speakers == samples.speakers
    clean, heard = samples.recording(2).waveform, noisy.recording(2).waveform
    snr = 10 * np.log10(np.var(clean) / np.var(heard - clean))
    assert snr == pytest.approx(10, abs=0.05)


def test_the_noise_of_a_clip_is_its_own_whatever_was_read_before(samples):
    noisy = Distorted.of(samples, DISTORTIONS["white_noise"], 10)
    first = [noisy.recording(row).waveform for row in range(3)]
    part = noisy.select(samples.table["emotion"] == samples.table["emotion"].iloc[2])
    assert np.array_equal(part.recording(0).waveform, first[2])
    assert not np.allclose(
        first[0][:1000] - samples.recording(0).waveform[:1000], first[1][:1000] - samples.recording(1).waveform[:1000]
    )


def test_features_of_distorted_clips_are_kept_apart(samples):
    names = [("gain", 10), ("gain", 20), ("white_noise", 10)]
    hashes = [Distorted.of(samples, DISTORTIONS[name], strength).file_hashes() for name, strength in names]
    keys = {tuple(each.values()) for each in (*hashes, samples.file_hashes())}
    assert len(keys) == 4 and hashes[0].keys() == samples.file_hashes().keys()


def test_what_is_left_silent_cannot_be_heard(samples):
    silent = Distorted.of(samples, DISTORTIONS["gain"], -120)
    with pytest.raises(AudioError, match="is silent"):
        silent.recording(0)


def test_agreement_and_drop_are_what_scikit_learn_says(samples):
    trial = Trial("gain", -30, 0.9, 0.05)
    found = judge(ByLoudness(), samples, [trial, Trial("dc", 0.2, 1.0, 0.0)], progress=no_progress)
    quiet, louder = found.verdicts
    truth = list(samples.table["emotion"])
    heard = []
    for row, emotion in enumerate(truth):
        level = np.square(samples.recording(row).waveform * 10**-1.5).mean()
        heard.append(emotion if level > 1e-4 else "sadness")
    recall = recall_score(truth, heard, average="macro", zero_division=0)
    assert 1 < quiet.changed == sum(a != b for a, b in zip(truth, heard, strict=True))
    assert quiet.agreement == pytest.approx(np.mean([a == b for a, b in zip(truth, heard, strict=True)]))
    assert quiet.drop == pytest.approx(1 - recall) and quiet.score == pytest.approx(recall)
    assert not quiet.passed and found.failed == (quiet,)
    assert louder.passed and louder.changed == 0 and found.score == 1.0


def test_clips_that_cannot_be_heard_any_more_count_as_wrong(samples):
    class Deaf(ByLoudness):
        def hear(self, corpus):
            for row, answer in enumerate(super().hear(corpus)):
                broken = isinstance(corpus, Distorted) and row < 2
                yield AudioError(answer.file, "silent", "is silent") if broken else answer

    [verdict] = judge(Deaf(), samples, [Trial("dc", 0.1, 0.5, 0.5)], progress=no_progress).verdicts
    assert (verdict.unheard, verdict.changed) == (2, 2)
    assert verdict.score == pytest.approx(5 / 7)


def test_one_clip_may_change_whatever_the_thresholds():
    from affetto.stress.verdicts import Verdict

    strict = Trial("gain", 0, 1.0, 0.0)
    assert Verdict(strict, 6 / 7, 1, 0, 6 / 7, 1 / 7).passed
    assert not Verdict(strict, 5 / 7, 2, 0, 5 / 7, 2 / 7).passed
    assert not Verdict(Trial("gain", 0, 0.5, 0.05), 0.9, 10, 0, 0.8, 0.06).passed, "the drop alone fails it"
    assert Verdict(Trial("gain", 0, 0.5, 0.05), 0.9, 10, 0, float("nan"), float("nan")).passed


def test_without_labels_agreement_alone_is_judged(tmp_path):
    for name in ("03a07Nc.wav", "08a02Fe.wav"):
        (tmp_path / name).write_bytes((SAMPLES / name).read_bytes())

    class Same(ByLoudness):
        def hear(self, corpus):
            for row in range(len(corpus)):
                yield Prediction(corpus.table.index[row][0], 0.0, 1.0, {"anger": 0.6, "fear": 0.4})

    found = judge(Same(), corpora.read("speech", tmp_path), [DEFAULT[0]], progress=no_progress)
    assert found.labelled == 0 and np.isnan(found.score) and found.verdicts[0].passed
    assert found.plain["score"] is None and found.plain["passed"]
    assert "no labels that the model knows" in page(found)


def test_ratings_agree_by_their_concordance(samples):
    gain, dc = judge(
        ByLevel(), samples, [Trial("gain", -20, 0.9, 0.1), Trial("phase", 180, 0.9, 0.1)], progress=no_progress
    ).verdicts
    before = np.array([each.dimensions["arousal"] for each in ByLevel().hear(samples)])
    x, y = before, before - 2.0  # 20 dB less is two less on this scale
    lin = 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert gain.agreement == pytest.approx(lin, abs=1e-4) and not gain.passed
    assert dc.agreement == pytest.approx(1.0, abs=1e-3) and dc.passed


def test_nothing_to_hear_is_said(samples):
    class Deaf:
        name = "deaf"

        def hear(self, corpus) -> Iterator[AudioError]:
            for _ in range(len(corpus)):
                yield AudioError("a.wav", "silent", "is silent")

    with pytest.raises(CorpusError, match="none of its 7 utterances can be heard .a.wav: is silent"):
        judge(Deaf(), samples, [DEFAULT[0]], progress=no_progress)


def test_the_default_trials_name_distortions_that_are_there_and_the_marks():
    assert {trial.distortion for trial in DEFAULT} <= set(DISTORTIONS)
    assert len({(trial.distortion, trial.strength) for trial in DEFAULT}) == len(DEFAULT)
    marked = {"telephone_band": 3400, "white_noise": 20, "resample_polyphase": 44_100, "resample_quick": 44_100}
    for name, strength in marked.items():
        [trial] = [each for each in DEFAULT if (each.distortion, each.strength) == (name, strength)]
        assert trial.drop == 0.05


def test_trials_and_thresholds_come_from_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "drop: 0.1\ntrials:\n  - {distortion: gain, strength: -20, drop: 0.5}\n  - {distortion: gsm, strength: 3}\n"
    )
    assert trials.read(path) == (Trial("gain", -20, 0.95, 0.5), Trial("gsm", 3, 0.8, 0.1))
    path.write_text("trials: [{distortion: echo, strength: 1}]")
    with pytest.raises(ConfigError, match="no distortion is called 'echo'"):
        trials.read(path)
    path.write_text("trials: [{distortion: gsm, strenght: 1}]")
    with pytest.raises(ConfigError, match="strength"):
        trials.read(path)
    with pytest.raises(ConfigError, match="--only echo: is not tried; what is: gain, dc"):
        trials.chosen(DEFAULT, ["echo"])
    assert trials.chosen(DEFAULT, ["room"]) == tuple(each for each in DEFAULT if each.distortion == "room")


@pytest.mark.parametrize(
    "content, expected",
    [
        ({"probabilities": {"anger": 0.7, "fear": 0.3}}, {"anger": 0.7, "fear": 0.3}),
        ({"prediction": {"probabilities": {"anger": 1}}}, {"anger": 1.0}),
        ([{"probabilities": {"anger": 0.2}}, {"probabilities": {"anger": 0.4}}], {"anger": 0.3}),
        ({"utterances": []}, {}),
        ({"utterances": [{"start": 0, "end": 1, "prediction": None, "reason": "too short"}]}, {}),
        ({"emotion": "anger"}, None),
        ("anger", None),
    ],
)
def test_answers_of_servers_are_taken_in_several_shapes(content, expected):
    got = probabilities_in(content)
    assert got == expected if not expected else got == pytest.approx(expected)


class Handler(BaseHTTPRequestHandler):
    """Takes a form as Python's own e-mail parser reads it; hears anger in what is loud."""

    def do_POST(self):  # noqa: N802, the name is http.server's
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body)
        [part] = form.get_payload()
        assert part.get_param("name", header="content-disposition") == "file"
        waveform = audio.read(part.get_payload(decode=True)).waveform
        anger = 0.9 if np.square(waveform).mean() > 1e-4 else 0.1
        status, answer = 200, {"utterances": [{"start": 0, "end": 1, "probabilities": {"anger": anger}}]}
        answer["utterances"][0]["probabilities"]["sadness"] = 1 - anger
        if self.path == "/deaf":
            status, answer = 422, {"detail": "no speech"}
        if self.path == "/odd":
            answer = {"answer": 42}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_server_is_put_to_trials(server, samples):
    found = judge(
        EndpointListener(f"{server}/v1/analyze"),
        samples,
        [Trial("gain", -20, 0.9, 0.05), Trial("phase", 180, 0.9, 0.05)],
        progress=no_progress,
    )
    assert [each.passed for each in found.verdicts] == [False, True]
    assert found.labelled == 2, "it knows anger and sadness alone"


def test_a_server_that_hears_nothing_or_answers_oddly_is_named(server, samples):
    assert all(isinstance(each, AudioError) for each in EndpointListener(f"{server}/deaf").hear(samples))
    with pytest.raises(CheckpointError, match=r"/odd: answers without probabilities; expected"):
        list(EndpointListener(f"{server}/odd").hear(samples))
    with pytest.raises(CheckpointError, match="gives no answer in JSON"):
        list(EndpointListener("http://127.0.0.1:9").hear(samples))


def test_the_command_judges_a_server_and_writes_page_and_json(server, tmp_path):
    run = CliRunner().invoke(app, ["stress", f"{server}/v1", "--only", "gain", "-o", str(tmp_path / "found.json")])
    assert run.exit_code == 1 and "1 of 2 trials failed" in run.stdout
    written = json.loads((tmp_path / "found.json").read_text())
    assert [trial["passed"] for trial in written["trials"]] == [False, True]
    run = CliRunner().invoke(app, ["stress", f"{server}/v1", "--only", "phase", "-o", str(tmp_path / "found.html")])
    assert run.exit_code == 0 and "0 of 2 trials failed" in run.stdout
    html = (tmp_path / "found.html").read_text()
    assert "All 2 trials passed" in html and "phase 180 degrees" in html
    assert "http" not in html.replace(server, "").replace("http://www.w3.org/", ""), "it needs nothing beside it"


def test_the_command_judges_the_model_that_ships(tmp_path):
    clips = ["--clips", str(SAMPLES), "--only", "phase"]
    run = CliRunner().invoke(app, ["stress", "whisper4-emodb", *clips])
    assert run.exit_code == 0, run.output
    assert "phase 90 degrees" in run.stdout and "0 of 2 trials failed" in run.stdout


def test_what_cannot_be_is_refused(tmp_path):
    for arguments, words in (
        (["--out", "found.pdf"], "ends in .html or .json"),
        (["--corpus", "a", "--clips", "b"], "give either --corpus or --clips"),
    ):
        run = CliRunner().invoke(app, ["stress", "whisper4-emodb", *arguments])
        assert isinstance(run.exception, ConfigError) and words in str(run.exception)
