import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from affetto import ConfigError, Recognizer, corpora, experiment, models
from affetto.audio import SAMPLE_RATE
from affetto.baseline import ENOUGH_CLIPS, ENOUGH_SECONDS, MOST_CLIPS, Baseline, Growing
from affetto.batch import Padded
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.checkpoint import Checkpoint, save
from affetto.cli import app
from affetto.models.linear_probe import EVEN, PRIOR_CLIPS, PRIOR_CLIPS_OF_LOGITS, LinearProbe
from affetto.tasks import CategoriesSettings

SETTINGS = {
    "name": "linear_probe",
    "encoder": {"outputs": [1, 2], "width": 16, "heads": 2, "inner": 16},
    "pooling": "loud_mean",
    "levelled": True,
    "baseline": True,
}
LABELS = ("anger", "neutral", "sadness")


def checkpoint(**settings) -> Checkpoint:
    """A probe with random weights everywhere, that has a training's mean and deviation."""
    torch.manual_seed(0)
    parsed = models.parse_settings({**SETTINGS, **settings}, source="test")
    model = models.get("linear_probe").create(parsed, len(LABELS))
    torch.nn.init.normal_(model.classifier.weight)
    torch.nn.init.normal_(model.classifier.bias)
    model.standardize.mean.normal_()
    model.standardize.deviation.uniform_(0.5, 2)
    return Checkpoint(model.eval(), parsed, CategoriesSettings().of(LABELS, {}), {"name": "tiny"})


def clip(seed: int, seconds: float = 1.0) -> tuple[np.ndarray, int]:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * rng.uniform(90, 400) * time) * (1.2 + np.sin(2 * np.pi * rng.uniform(2, 6) * time))
    return (0.1 * tone + 0.01 * rng.standard_normal(len(time))).astype(np.float32), SAMPLE_RATE


@pytest.fixture
def recognizer() -> Recognizer:
    return Recognizer(checkpoint(), device="cpu", precision="fp32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six clips of two speakers, and the table that lists them."""
    with (tmp_path / "clips.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "speaker"])
        for seed in range(6):
            soundfile.write(tmp_path / f"{seed}.wav", *clip(seed))
            table.writerow([f"{seed}.wav", "ada" if seed < 4 else "ben"])
    return tmp_path


def test_a_clip_beside_a_baseline_is_what_numpy_makes_of_it(recognizer):
    clips = [clip(seed) for seed in range(5)]
    baseline, probe = recognizer.baseline(clips), recognizer.checkpoint.model
    mean, deviation = (each.double().numpy() for each in (probe.standardize.mean, probe.standardize.deviation))
    weight, bias = (each.detach().double().numpy() for each in (probe.classifier.weight, probe.classifier.bias))
    own = baseline.summaries.double().numpy()
    a, b = len(own) / (len(own) + PRIOR_CLIPS), len(own) / (len(own) + PRIOR_CLIPS_OF_LOGITS)
    centre = (1 - a) * mean + a * own.mean(0)
    spread = np.sqrt((1 - a) * deviation**2 + a * own.var(0))
    logits = (own - centre) / spread @ weight.T + bias
    usual = np.exp(np.log(logits.std(0)).mean())
    assert logits.std(0).min() > 0.1 * usual  # the floor plays no part
    relative = (logits - b * logits.mean(0)) * (usual / logits.std(0)) ** (EVEN * b)
    expected = np.exp(relative) / np.exp(relative).sum(1, keepdims=True)
    heard = [list(recognizer.predict(each, baseline=baseline).probabilities.values()) for each in clips]
    np.testing.assert_allclose(heard, expected, atol=1e-4)


def test_a_speaker_far_from_the_training_is_moved_onto_it(recognizer):
    probe = recognizer.checkpoint.model
    rows = torch.randn(4000, probe.standardize.mean.shape[0], generator=torch.Generator().manual_seed(1)) * 3 + 7
    baseline = Baseline(rows, torch.ones(4000), "x")
    streams = {"speech": Padded(rows[:, None], torch.ones(4000, dtype=torch.long))}
    moved = probe.moved(streams, [baseline] * 4000)["speech"].values[:, 0]
    torch.testing.assert_close(moved.mean(0), probe.standardize.mean, atol=0.05, rtol=0.02)
    torch.testing.assert_close(moved.std(0), probe.standardize.deviation, atol=0.05, rtol=0.02)


def test_a_saved_baseline_is_the_same_and_another_models_is_refused(recognizer, tmp_path):
    baseline = recognizer.baseline([clip(seed) for seed in range(3)])
    baseline.save(tmp_path / "ada.baseline")
    found = Baseline.load(tmp_path / "ada.baseline")
    assert torch.equal(found.summaries, baseline.summaries)
    assert (found.clips, found.seconds, found.heard_by) == (3, pytest.approx(3.0), baseline.heard_by)
    other = Recognizer(checkpoint(pooling="mean"), device="cpu")
    with pytest.raises(ConfigError, match="made with another model"):
        other.predict(clip(0), baseline=found)
    (tmp_path / "text").write_text("nothing of the kind")
    with pytest.raises(ConfigError, match="holds no speaker's baseline"):
        Baseline.load(tmp_path / "text")
    with pytest.raises(ConfigError, match="holds no speaker's baseline"):
        Baseline.load(tmp_path / "missing")


def test_a_model_that_takes_none_says_so(folder):
    plain = Recognizer(checkpoint(baseline=False), device="cpu")
    for ask in (lambda: plain.baseline([clip(0)]), plain.running):
        with pytest.raises(ConfigError, match="tiny takes no speaker's baseline"):
            ask()


def test_a_baseline_of_nothing_is_refused(recognizer):
    with pytest.raises(ConfigError, match="one clip or more"):
        recognizer.baseline([])


def test_enough_asks_for_clips_and_for_seconds():
    def made(clips: int, seconds: float) -> Baseline:
        return Baseline(torch.zeros(clips, 2), torch.full((clips,), seconds / clips), "x")

    assert made(ENOUGH_CLIPS, ENOUGH_SECONDS + 0.01).enough
    assert not made(ENOUGH_CLIPS - 1, 10 * ENOUGH_SECONDS).enough
    assert not made(10 * ENOUGH_CLIPS, ENOUGH_SECONDS - 0.5).enough


def test_the_earliest_clips_are_forgotten_when_there_are_too_many():
    first = Baseline(torch.zeros(MOST_CLIPS, 1), torch.ones(MOST_CLIPS), "x")
    both = first.and_then(Baseline(torch.ones(2, 1), torch.ones(2), "x"))
    assert (both.clips, both.summaries.sum().item()) == (MOST_CLIPS, 2)
    with pytest.raises(ConfigError, match="another model"):
        first.and_then(Baseline(torch.ones(2, 1), torch.ones(2), "y"))


def test_a_baseline_that_grows_is_that_of_the_latest_clips_and_changes_none_that_was_given_out():
    rows = torch.randn(3 * MOST_CLIPS, 2)
    known, growing = Baseline(rows[:5], torch.ones(5), "x"), Growing(Baseline(rows[:5], torch.ones(5), "x"))
    given = []
    for row in rows[5:]:
        growing.add(row, 0.5)
        known = known.and_then(Baseline(row[None], torch.tensor([0.5]), "x"))
        given.append((growing.baseline, known))
    for got, want in given:
        assert got.heard_by == "x" and torch.equal(got.summaries, want.summaries)
        assert torch.equal(got.lengths, want.lengths)
    many = Growing(Baseline(rows, torch.ones(len(rows)), "x"))
    many.add(rows[0], 1.0)
    assert torch.equal(many.baseline.summaries, torch.cat([rows[1 - MOST_CLIPS :], rows[:1]]))


def test_a_running_baseline_gives_what_the_clips_so_far_give_once_they_are_enough(recognizer, monkeypatch):
    monkeypatch.setattr("affetto.baseline.ENOUGH_CLIPS", 3)
    monkeypatch.setattr("affetto.baseline.ENOUGH_SECONDS", 1.0)
    clips = [clip(seed, 0.5 + 0.3 * (seed % 3)) for seed in range(5)]
    running = recognizer.running()
    assert (running.seconds, running.enough) == (0.0, False)
    assert running.hear([]) == []
    heard = [*running.hear(clips[:2]), *running.hear(clips[2:])]
    assert running.seconds == pytest.approx(sum(len(samples) for samples, _ in clips) / SAMPLE_RATE)
    for n, prediction in enumerate(heard, start=1):
        counts = recognizer.baseline(clips[:n]) if n >= 3 else None
        expected = recognizer.predict(clips[n - 1], baseline=counts)
        assert prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
    assert heard[4].probabilities != pytest.approx(recognizer.predict(clips[4]).probabilities, abs=1e-3)


def test_each_clip_of_many_is_judged_beside_its_own_speakers(recognizer):
    clips = [clip(seed, 0.5 + 0.2 * seed) for seed in range(4)]
    ada, ben = recognizer.baseline(clips[:2]), recognizer.baseline(clips[2:])
    heard = list(recognizer.predict_all(clips, baselines=[ada, None, ben, ada]))
    for source, baseline, prediction in zip(clips, (ada, None, ben, ada), heard, strict=True):
        expected = recognizer.predict(source, baseline=baseline).probabilities
        assert prediction.probabilities == pytest.approx(expected, abs=1e-5)


def test_silence_and_level_before_a_clip_do_not_change_what_is_heard(recognizer):
    samples, rate = clip(3, 1.5)
    spoken = np.concatenate([np.zeros(3_200), samples, np.zeros(3_200)]).astype(np.float32)
    quiet = np.concatenate([np.zeros(16_000), 0.05 * samples, np.zeros(8_000)]).astype(np.float32)
    first, second = (recognizer.predict((each, rate)).probabilities for each in (spoken, quiet))
    assert first == pytest.approx(second, abs=1e-3)


# Training


def prepared(tiny_probe, synthetic, tmp_path, **settings) -> Bench:
    content = {
        "name": "tiny",
        "corpus": "table",
        "protocol": "speaker-4fold",
        "model": {**tiny_probe, "pooling": "loud_mean", "levelled": True, "baseline": True},
        "training": {"epochs": 20, "batch_size": None, "optimizer": "adam", "learning_rate": 0.05},
        **settings,
    }
    corpus = corpora.read("table", synthetic)
    parsed = experiment.from_config(content, source="test")
    return Bench.prepare(parsed, corpus, cache=FeatureCache(tmp_path), device=torch.device("cpu"), precision="fp32")


def test_every_clip_is_learned_as_it_is_and_beside_its_speakers_training_clips(
    tiny_probe, synthetic, tmp_path, monkeypatch
):
    bench = prepared(tiny_probe, synthetic, tmp_path)
    rows = list(range(0, len(bench.corpus), 3))
    seen = []

    honest = LinearProbe.forward

    def watched(self, streams):
        seen.append(streams["speech"].values[:, 0])
        return honest(self, streams)

    monkeypatch.setattr(LinearProbe, "forward", watched)
    [(model, _)] = bench.train(bench.experiment, rows, [], seed=0)
    plain = torch.cat([bench.features.get(row, "speech") for row in rows])
    speakers = bench.corpus.table["speaker"].iloc[rows].tolist()
    moved = []
    for row, speaker in zip(plain, speakers, strict=True):
        own = torch.stack([each for each, name in zip(plain, speakers, strict=True) if name == speaker])
        one = {"speech": Padded(row[None, None], torch.ones(1, dtype=torch.long))}
        moved.append(model.moved(one, [Baseline(own, torch.ones(len(own)), "")])["speech"].values[0])
    torch.testing.assert_close(seen[0], torch.cat([plain, *moved]))


def test_a_transductive_test_judges_each_clip_beside_all_its_speakers(tiny_probe, synthetic, tmp_path):
    plain = prepared(tiny_probe, synthetic, tmp_path)
    beside = prepared(tiny_probe, synthetic, tmp_path, speaker_statistics=True)
    speakers = plain.corpus.table["speaker"].to_numpy()
    test = np.flatnonzero(speakers == speakers[0]).tolist()
    train = np.flatnonzero(speakers != speakers[0]).tolist()
    [(model, _)] = beside.train(beside.experiment, train, [], seed=0)
    own = Baseline(torch.cat([plain.features.get(row, "speech") for row in test]), torch.ones(len(test)), "")
    streams = plain.features.batch(test).streams
    with torch.inference_mode():
        expected = model.judge(streams, [own] * len(test)).softmax(dim=1)
    torch.testing.assert_close(beside.test(model, test), expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(plain.test(model, test), expected, atol=1e-3)


# The commands


def run(*arguments: str):
    return CliRunner().invoke(app, [*arguments, "--device", "cpu"])


@pytest.fixture
def model(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("model")
    save(checkpoint(), path)
    return str(path)


def shares(output: str) -> list[list[float]]:
    rows = list(csv.DictReader(line for line in output.splitlines() if "," in line))
    return [[float(row[label]) for label in LABELS] for row in rows]


def test_predict_takes_a_folder_a_saved_baseline_and_a_column_of_speakers(folder, model):
    recognizer = Recognizer.from_pretrained(model, device="cpu")
    ada = recognizer.baseline([folder / f"{seed}.wav" for seed in range(4)])
    (folder / "ada").mkdir()
    for seed in range(4):
        (folder / f"{seed}.wav").rename(folder / "ada" / f"{seed}.wav")
    clip_path, saved = str(folder / "5.wav"), str(folder / "ada.baseline")
    expected = list(recognizer.predict(clip_path, baseline=ada).probabilities.values())
    whole = run(
        "predict", clip_path, "-m", model, "-f", "csv", "--baseline", str(folder / "ada"), "--save-baseline", saved
    )
    again = run("predict", clip_path, "-m", model, "-f", "csv", "--baseline", saved)
    assert (whole.exit_code, again.exit_code) == (0, 0), whole.output + again.output
    assert "clips 4, 4 s; from 12 clips and 30 s on it helps, less may harm" in " ".join(whole.stderr.split())
    for done in (whole, again):
        np.testing.assert_allclose(shares(done.stdout), [expected], atol=1e-4)


def test_predict_beside_each_speakers_own_clips_of_a_table(folder, model):
    done = run("predict", str(folder / "clips.csv"), "-m", model, "-f", "csv", "--speaker-column", "speaker")
    assert done.exit_code == 0, done.output
    recognizer = Recognizer.from_pretrained(model, device="cpu")
    files = [folder / f"{seed}.wav" for seed in range(6)]
    ada, ben = recognizer.baseline(files[:4]), recognizer.baseline(files[4:])
    expected = [
        list(recognizer.predict(file, baseline=ada if number < 4 else ben).probabilities.values())
        for number, file in enumerate(files)
    ]
    np.testing.assert_allclose(shares(done.stdout), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ("clips.csv", [], "is a table; expected recordings"),
        ("clips.csv", ["--speaker-column", "who"], "has no column 'who'"),
        ("clips.csv", ["--speaker-column", "speaker", "--baseline", "x"], "give either --baseline or --speaker-column"),
        ("0.wav", ["--save-baseline", "x"], "there is no --baseline to save"),
        ("0.wav", ["--baseline", "nowhere"], "holds no speaker's baseline"),
    ],
)
def test_predict_says_what_is_wrong_with_a_baseline(folder, model, source, arguments, message):
    done = run("predict", str(folder / source), "-m", model, *arguments)
    assert done.exit_code != 0
    assert message in str(done.exception) + done.output


def test_evaluate_says_that_a_speakers_own_clips_are_transductive(folder, model):
    with (folder / "truth.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "speaker", "emotion"])
        table.writerows([f"{seed}.wav", "ada" if seed < 4 else "ben", LABELS[seed % 3]] for seed in range(6))
    found = folder / "found.csv"
    asked = ("evaluate", model, "--corpus", str(folder / "truth.csv"))
    done = run(*asked, "--baseline", "speaker", "--out", str(found))
    assert done.exit_code == 0, done.output
    assert "transductive" in done.stderr
    recognizer = Recognizer.from_pretrained(model, device="cpu")
    ada = recognizer.baseline([folder / f"{seed}.wav" for seed in range(4)])
    expected = list(recognizer.predict(folder / "2.wav", baseline=ada).probabilities.values())
    np.testing.assert_allclose(shares(found.read_text())[2], expected, atol=1e-4)
    wrong = run(*asked, "--baseline", "clips")
    assert "expected speaker" in str(wrong.exception) + wrong.output
