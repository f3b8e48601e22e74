"""Calibrating a checkpoint on disk, with the shipped model and what lies beside it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from affetto import ConfigError, checkpoint, cli, domain, pretrained, trust

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "emodb-loso10-v1"
CLIPS = sorted((ROOT / "samples").glob("*.wav"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """The shipped checkpoint as it was before anything was calibrated."""
    target = tmp_path / "model"
    shutil.copytree(pretrained.folder("whisper4-emodb"), target)
    config = json.loads((target / "config.json").read_text())
    del config["calibration"], config["domain"]
    (target / "config.json").write_text(json.dumps(config))
    (target / "domain.safetensors").unlink()
    return target


def test_the_command_calibrates_and_leaves_the_weights_alone(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}
    answer = CliRunner().invoke(cli.app, ["calibrate", str(folder), "--results", str(RESULTS / "whisper4.csv")])
    assert answer.exit_code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"} == before
    loaded, ships = checkpoint.load(folder), checkpoint.load(pretrained.folder("whisper4-emodb"))
    assert loaded.calibration == ships.calibration
    assert loaded.domain is None


def test_a_domain_is_fitted_on_folders_of_speech(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(domain, "RANK", 4)
    for name, clips in {"a": CLIPS[:4], "b": CLIPS[3:]}.items():
        (tmp_path / name).mkdir()
        for clip in clips:
            samples, rate = soundfile.read(clip)
            for half in (0, 1):
                part = samples[half * len(samples) // 2 :][: len(samples) // 2]
                soundfile.write(tmp_path / name / f"{clip.stem}{half}.wav", part, rate)
    speech = [f"--speech={name}={tmp_path / name}" for name in "ab"]
    answer = CliRunner().invoke(cli.app, ["calibrate", str(folder), *speech])
    assert answer.exit_code == 0, answer.output
    model = checkpoint.load(folder)
    assert model.domain is not None
    assert {name: each["clips"] for name, each in model.domain.fitted_on.items()} == {"a": 8, "b": 8}
    voices = trust.voices(model, sorted((tmp_path / "a").iterdir()), "a")
    assert voices.shape == (8, len(model.domain.mean))
    assert np.all(model.domain.distances(voices) < model.domain.threshold)
    checkpoint.save(model, tmp_path / "again")
    assert checkpoint.load(tmp_path / "again").domain.threshold == model.domain.threshold


def test_results_of_another_recipe_are_refused(folder):
    with pytest.raises(ConfigError, match="is of cnn, and .* holds whisper4"):
        trust.calibrate(folder, results=RESULTS / "cnn.csv")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --results, --speech or both"),
        (["--speech", "a=/nowhere/at/all"], "expected NAME=FOLDER, or NAME=GLOB"),
    ],
)
def test_what_says_nothing_is_refused(folder, arguments, words):
    answer = CliRunner().invoke(cli.app, ["calibrate", str(folder), *arguments])
    assert isinstance(answer.exception, ConfigError) and words in str(answer.exception)


def test_a_damaged_calibration_is_named(folder):
    trust.calibrate(folder, results=RESULTS / "whisper4.csv")
    config = json.loads((folder / "config.json").read_text())
    config["calibration"]["temperature"] = -1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(checkpoint.CheckpointError, match="expected a positive temperature"):
        checkpoint.load(folder)
