"""Pretraining from a folder of recordings to an encoder that other models take on."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import torch.nn.functional as F
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save_file

from affetto import checkpoint, cli, corpora, models, pretrained, pretraining
from affetto.batch import pad
from affetto.corpora.speech import INFO
from affetto.errors import CheckpointError, ConfigError, CorpusError, TrainingError
from affetto.models.masked_frames import MaskedFramesModel
from affetto.pretraining import divide, load_pretrained, pretrain, save

CPU = torch.device("cpu")
COMMAND = [sys.executable, "-c", "from affetto.cli import main; main()"]
SAMPLE = Path(__file__).parents[1] / "samples" / "03a07Nc.wav"
FILES = {"config.json", "model.safetensors", "golden.safetensors", "README.md", "l1.png", "frames.png"}
SETTINGS: dict[str, Any] = {
    "name": "tiny",
    "speech": "Tones in noise that nobody said.",
    "model": {"encoder": {"preset": None, "width": 16, "layers": 1, "heads": 2}},
    "training": {"epochs": 3, "batch_size": 2, "learning_rate": 0.001, "crop": 1.0},
    "held_out": 0.4,  # talks/2024/b.flac alone, as the hash of its name will have it
}
TINY = {"width": 24, "layers": 1, "heads": 3}
TAKERS = {"speech_bert": {"name": "speech_bert", **TINY}, "fusion_convbert": {"name": "fusion_convbert", **TINY}}
every_taker = pytest.mark.parametrize("taker", TAKERS)


def write_settings(folder: Path, **changes: Any) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, **changes}))
    return path


@pytest.fixture
def speech(toy_tree) -> Path:
    """Four recordings of three types."""
    return toy_tree("speech")


@pytest.fixture
def run(speech, tmp_path) -> Callable[..., Path]:
    """Pretrains in `tmp_path / "run"`, by calling the function; returns the checkpoint's folder."""

    def call(folder: str = "run", *, progress=lambda *_: None, **changes: Any) -> Path:
        settings = pretraining.read(write_settings(tmp_path, **changes))
        corpus = corpora.read("speech", speech)
        return pretrain(settings, corpus, tmp_path / folder, device=CPU, precision="fp32", progress=progress)

    return call


@pytest.fixture
def command(capsys, monkeypatch, tmp_path) -> Callable[..., tuple[int, str, str]]:
    """The command line inside this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["affetto", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return stopped.value.code or 0, said.out, said.err

    return call


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A checkpoint with random weights, saved and never changed."""
    settings = pretraining.read(write_settings(tmp_path_factory.mktemp("settings")))
    torch.manual_seed(0)
    model = MaskedFramesModel(settings.model)
    provenance = {
        "name": "tiny",
        "held_out_l1": 0.75,
        "experiment": settings.config,
        "trained_on": {"title": "Tones in noise", "held_out_by": "files"},
    }
    task = pretraining.MaskedFrames(settings.task)
    folder = tmp_path_factory.mktemp("pretrained") / "tiny"
    save(pretraining.Pretrained(model.eval(), settings.model, task, provenance, "# tiny\n\nä card\n"), folder)
    return folder


@pytest.fixture
def copied(made, tmp_path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "copied"))


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    """A checkpoint's weights, in memory, so that the file may be written anew."""
    return load((folder / "model.safetensors").read_bytes())


# The command


def test_a_folder_of_recordings_becomes_a_checkpoint(command, speech, tmp_path):
    settings = write_settings(tmp_path)
    code, out, err = command("pretrain", settings, "--corpus", speech, "--device", "cpu")
    folder = tmp_path / "runs" / "tiny"
    assert (code, out) == (0, "")
    assert "checkpoint: runs/tiny/checkpoint" in err.replace("\\", "/")
    assert {path.name for path in folder.iterdir()} == {
        "settings.yaml",
        "origin.yaml",
        "metrics.jsonl",
        "tensorboard",
        "checkpoint",
    }
    target = folder / "checkpoint"
    assert {path.name for path in target.iterdir()} == FILES
    for picture in ("l1.png", "frames.png"):
        assert (target / picture).read_bytes().startswith(b"\x89PNG")
    provenance = json.loads((target / "config.json").read_text())["provenance"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [epoch["l1"] for epoch in provenance["epochs"]] == pytest.approx([line["loss"] for line in lines], abs=1e-5)
    best = min(lines, key=lambda line: line["dev_loss"])
    assert (provenance["best_epoch"], provenance["held_out_l1"]) == (best["epoch"], best["dev_loss"])
    trained_on = provenance["trained_on"]
    assert (trained_on["recordings"], trained_on["held_out"], trained_on["held_out_by"]) == (3, 1, "files")
    assert provenance["steps"] == len(lines) * math.ceil(3 / SETTINGS["training"]["batch_size"])
    learned = [speech / name for name in ("talks/c.WAV", "talks/d.ogg", "a.wav")]
    hours = sum(soundfile.info(path).duration for path in learned) / 3600
    assert trained_on["hours"] == pytest.approx(hours, abs=1e-3)
    card = (target / "README.md").read_text()
    told = ("Tones in noise that nobody said.", "1 layers of width 16", "3 recordings", "file by file", "EU AI Act")
    for words in ("# tiny", *told):
        assert words in card

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, _, err = command("pretrain", settings, "--corpus", speech, "--device", "cpu")
    assert code == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_run_of_other_settings_or_other_speech_is_left_alone(run, speech, tmp_path):
    run()
    with pytest.raises(ConfigError, match=r"run: holds a run with other settings; give another folder with --out"):
        run(seed=1)
    (speech / "a.wav").rename(speech / "z.wav")
    with pytest.raises(ConfigError, match=r"run: holds a run with other data or precision; give another folder"):
        run()


def test_settings_that_cannot_be_are_refused(run, tmp_path):
    with pytest.raises(ConfigError, match=r"tiny\.yaml: .*encoder\.inputs is 80, the front end gives 160"):
        run(model={"encoder": {"inputs": 80}})
    with pytest.raises(ConfigError, match=r"tiny\.yaml: .*cannot name files"):
        run(name="a/b")
    with pytest.raises(
        ConfigError,
        match=r"^nothing: no such file, and no settings file .* 'nothing'; the ones that ship are .*speech_bert_small",
    ):
        pretraining.read("nothing")
    assert not (tmp_path / "run").exists()


def test_the_settings_that_ship_are_read_by_name():
    shipped = pretraining.read("speech_bert_small", ("training.epochs=2",))
    assert shipped.training.epochs == 2
    assert shipped.model.encoder.width == 256
    assert shipped.model.front_end == MaskedFramesModel.Settings().front_end


# Learning


def test_librispeech_is_pretrained_on_with_whole_readers_held_out(toy_tree, tmp_path):
    root = toy_tree("librispeech")
    settings = pretraining.read(write_settings(tmp_path, corpus="librispeech", held_out=0.6))  # reader 14
    corpus = corpora.read("librispeech", root)
    sides = divide(corpus, settings.held_out)
    readers = [set(corpus.table["speaker"].iloc[rows]) for rows in sides]
    assert not readers[0] & readers[1]
    checkpoint = pretrain(settings, corpus, tmp_path / "run", device=CPU, precision="fp32")
    told = json.loads((checkpoint / "config.json").read_text())["provenance"]["trained_on"]
    assert told["corpus"] == "librispeech"
    assert (told["recordings"], told["held_out"]) == tuple(map(len, sides))
    assert told["held_out_by"] == "speakers"
    assert "by speakers that it has never heard" in (checkpoint / "README.md").read_text()


def test_the_loss_falls(run, speech):
    """Of noise that swells and fades, whose frames stay as they are: how loud each is says nearly all of it."""
    rng = np.random.default_rng(0)
    seconds = np.arange(32_000) / 16_000
    for file in (path for path in speech.rglob("*.*") if path.suffix.lower() in (".wav", ".flac", ".ogg")):
        swelling = 10 ** (-1.5 * (1 + np.sin(2 * np.pi * (2 * seconds + rng.uniform()))))
        soundfile.write(file, 0.1 * swelling * rng.standard_normal(32_000), 16_000)
    training = {"epochs": 40, "batch_size": None, "learning_rate": 0.02}
    epochs = describe(run(task={"zeroed": 0.0, "replaced": 0.0}, training=training))["epochs"]
    assert len(epochs) == 40
    for losses in ([epoch["l1"] for epoch in epochs], [epoch["held_out_l1"] for epoch in epochs]):
        assert losses[-1] < 0.7 * losses[0]


def describe(folder: Path) -> dict[str, Any]:
    return checkpoint.describe(folder)["provenance"]


class KilledError(Exception):
    pass


def test_a_run_that_is_interrupted_ends_as_if_it_had_not_been(run, tmp_path):
    def kill(what, done, total):
        if (what, done) == ("epochs", 2):
            raise KilledError

    whole = run("whole")
    with pytest.raises(KilledError):
        run("torn", progress=kill)
    assert (tmp_path / "torn" / "state.pt").exists()
    assert not (tmp_path / "torn" / "checkpoint").exists()
    told = []
    torn = run("torn", progress=lambda *news: told.append(news))
    assert [news for news in told if news[0] == "epochs"] == [("epochs", 2, 3), ("epochs", 3, 3)]
    for file in ("../metrics.jsonl", "model.safetensors", "golden.safetensors", "README.md"):
        assert (torn / file).read_bytes() == (whole / file).read_bytes(), file
    assert not (tmp_path / "torn" / "state.pt").exists()


def test_a_run_that_is_interrupted_while_it_draws_is_not_finished(run, tmp_path, monkeypatch):
    def kill(*_):
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(pretraining, "_draw", kill)
        run()
    assert {path.name for path in run().iterdir()} == FILES


@pytest.mark.slow
def test_a_killed_process_is_taken_up_again_and_ends_with_the_same_weights(speech, tmp_path):
    write_settings(tmp_path, training={**SETTINGS["training"], "epochs": 40})

    def start(folder: str) -> "subprocess.Popen[bytes]":
        arguments = ["pretrain", "tiny.yaml", "--corpus", str(speech), "--out", folder, "--device", "cpu"]
        return subprocess.Popen([*COMMAND, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, env=os.environ)

    def finish(folder: str) -> None:
        process = start(folder)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()

    finish("whole")
    process = start("torn")
    log = tmp_path / "torn" / "metrics.jsonl"
    until = time.monotonic() + 120
    while not (log.exists() and len(log.read_text().splitlines()) >= 3):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < until, "no epoch ended within two minutes"
        time.sleep(0.005)
    process.kill()
    process.communicate()
    if sys.platform != "win32":
        assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "torn" / "checkpoint").exists()
    finish("torn")
    for file in ("metrics.jsonl", "checkpoint/model.safetensors", "checkpoint/golden.safetensors"):
        assert (tmp_path / "torn" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert not (tmp_path / "torn" / "state.pt").exists()


# What is held out


def test_a_long_recording_is_taken_in_stretches(tmp_path):
    rng = np.random.default_rng(0)
    sound = 0.1 * rng.standard_normal(16000 * 9)
    sound[16000 * 3 : 16000 * 6] = 0
    soundfile.write(tmp_path / "long.wav", sound, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", sound[:32000], 16000, subtype="FLOAT")
    corpus = corpora.read("speech", tmp_path)
    cut = pretraining.stretches(corpus, longest=4)
    assert [file for file, *_ in cut.table.index] == ["long.wav", "long.wav", "long.wav", "short.wav"]
    assert [cut.seconds(row) for row in range(4)] == [3, 3, 3, 2]
    np.testing.assert_allclose(cut.recording(2).waveform, sound[16000 * 6 :], atol=1e-7)
    assert pretraining.stretches(corpus, longest=9) is corpus
    assert list(cut.table.columns) == list(corpus.table.columns)


def damage(path: Path) -> None:
    """A file whose header is whole and whose sound is not."""
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(16000 * 4), 16000, format="FLAC")
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + bytes(len(whole) // 2))


def test_recordings_that_cannot_be_heard_are_left_out_when_their_turn_comes(run, speech):
    soundfile.write(speech / "silent.wav", np.zeros(32000), 16000)
    damage(speech / "damaged.flac")
    said = []
    told = json.loads((run(progress=lambda *words: said.append(words)) / "config.json").read_text())
    assert [words for words in said if words[0].startswith("left out")][:2] == [
        ("left out, as they cannot be heard", number, 6) for number in (1, 2)
    ]
    assert all(0 < epoch["l1"] < 2 for epoch in told["provenance"]["epochs"])


def test_where_nothing_that_is_held_out_can_be_heard_there_is_no_checkpoint(run, speech, tmp_path):
    [held_out] = [path for path in speech.rglob("*") if path.name == "b.flac"]
    soundfile.write(held_out, np.zeros(32000), 16000)
    with pytest.raises(TrainingError, match="none of the 1 recordings that are held out can be heard"):
        run()
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_recordings_that_are_too_short_to_strike_anything_out_are_refused_at_the_door(run, speech):
    for path in speech.rglob("b.flac"):
        soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(3200), 16000)
    with pytest.raises(CorpusError, match="no recording that is held out is long enough"):
        run()
    for path in [path for path in speech.rglob("*") if path.is_file()]:
        path.unlink()
    for number in range(9):
        path = speech / f"{number}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(number).standard_normal(3200), 16000)
    with pytest.raises(CorpusError, match="no recording to learn from is long enough"):
        run()


def test_a_damaged_recording_is_not_drawn(run, speech):
    held_out = [path for path in speech.rglob("b.flac")][0]
    for number in range(30):
        soundfile.write(held_out.with_name(f"{number}.wav"), np.zeros(32000), 16000)
    assert (run(training={**SETTINGS["training"], "epochs": 1}) / "frames.png").stat().st_size > 10_000


def test_long_recordings_are_pretrained_on(run, speech):
    soundfile.write(speech / "hour.wav", 0.1 * np.random.default_rng(0).standard_normal(16000 * 80), 16000)
    told = json.loads((run() / "config.json").read_text())["provenance"]["trained_on"]
    assert told["recordings"] + told["held_out"] == 5


def corpus_of(speakers: list[str | None]) -> corpora.Corpus:
    index = pd.MultiIndex.from_arrays(
        [
            [f"{row}.wav" for row in range(len(speakers))],
            pd.to_timedelta([0] * len(speakers)),
            pd.to_timedelta([None] * len(speakers)),
        ],
        names=["file", "start", "end"],
    )
    return corpora.Corpus(INFO, Path(), pd.DataFrame({"emotion": None, "speaker": speakers}, index=index, dtype=object))


@given(
    st.lists(st.none() | st.sampled_from([f"speaker {i}" for i in range(12)]), min_size=1, max_size=40),
    st.lists(st.none() | st.sampled_from([f"speaker {i}" for i in range(20)]), max_size=40),
    st.floats(0.1, 0.9),
)
def test_no_speaker_is_on_both_sides_and_more_speech_moves_nobody(speakers, more, held_out):
    few, many = ["speaker 2", "speaker 0", *speakers], ["speaker 2", "speaker 0", *speakers, *more]
    if not 0.0011 < held_out < 0.775:  # of these two, one is on each side of any share between
        return
    train, outside = divide(corpus_of(few), held_out)
    assert sorted(train + outside) == list(range(len(few)))
    voices = [{few[row] for row in side if few[row] is not None} for side in (train, outside)]
    assert not voices[0] & voices[1]
    more_train, more_outside = divide(corpus_of(many), held_out)
    assert set(train) <= set(more_train)
    assert set(outside) <= set(more_outside)


def test_about_the_share_of_speakers_is_held_out_or_of_files_where_speakers_are_unknown():
    for speakers in ([f"speaker {i}" for i in range(2000)], [None] * 2000):
        _, outside = divide(corpus_of(speakers), 0.05)
        assert len(outside) / 2000 == pytest.approx(0.05, abs=0.02)


def test_too_few_speakers_to_hold_some_out_are_refused():
    words = r"speech: 3 recordings of 1 speakers or files cannot be divided with held_out at 0\.05; give more speech or"
    with pytest.raises(CorpusError, match=words):
        divide(corpus_of(["ann"] * 3), 0.05)


# The checkpoint


def test_a_checkpoint_comes_back_as_it_was_saved(made, tmp_path):
    loaded = load_pretrained(made)
    assert loaded.settings.encoder.width == 16
    assert loaded.task == pretraining.MaskedFrames()
    assert loaded.provenance["name"] == "tiny"
    assert loaded.card == "# tiny\n\nä card\n"
    assert not loaded.model.training
    torch.manual_seed(0)
    drawn = MaskedFramesModel(loaded.settings)
    for name, tensor in drawn.trained_state.items():
        assert torch.equal(loaded.model.state_dict()[name], tensor.half().float())
    save(loaded, tmp_path / "again")
    for file in made.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_pretrained_model_fills_in_what_was_struck_out(made):
    loaded = load_pretrained(made)
    waveform = 0.1 * torch.randn(32_000, generator=torch.Generator().manual_seed(0))
    frames = [loaded.reconstruct(waveform, seed=seed) for seed in range(8)]
    assert sum(not struck[chosen].any() for _, struck, _, chosen in frames) >= 4  # eight of ten are zeroed
    true, struck, predicted, chosen = frames[1]
    assert true.shape == struck.shape == predicted.shape == (201, 160)
    assert chosen.sum() >= 7
    with torch.inference_mode():
        heard = loaded.model.streams["log_mel"](pad([waveform]))
    assert torch.equal(true, heard.values[0])
    assert torch.equal(struck[~chosen], true[~chosen])
    assert not torch.equal(chosen, frames[2][3])
    assert torch.equal(predicted, loaded.reconstruct(waveform, seed=1)[2])


@pytest.mark.parametrize("name", ["encoder.project.weight", "head.output.bias"])
def test_other_weights_than_those_of_the_golden_frames_are_noticed(name, copied):
    weights = weights_in(copied)
    weights[name] = weights[name] + 0.1 * torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(0))
    save_file(weights, copied / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"copied: does not give its golden frames \(off by"):
        load_pretrained(copied)


def test_a_damaged_or_foreign_checkpoint_is_refused_in_one_line(copied):
    weights = weights_in(copied)
    for damage in (
        lambda: (copied / "model.safetensors").write_bytes(b"a letter"),
        lambda: save_file({"encoder.norm.bias": torch.zeros(16)}, copied / "model.safetensors"),
        lambda: save_file({**weights, "head.output.bias": torch.zeros(3)}, copied / "model.safetensors"),
    ):
        damage()
        with pytest.raises(CheckpointError, match=r"copied: holds no pretrained model \([^\n]+\)$"):
            load_pretrained(copied)
    (copied / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"copied: has no model\.safetensors"):
        load_pretrained(copied)
    with pytest.raises(CheckpointError, match="holds no pretrained model"):
        load_pretrained(pretrained.DEFAULT)


def test_a_pretrained_encoder_does_not_pass_for_a_recogniser(made, command):
    words = "is a pretrained encoder, which recognises nothing by itself; name it as encoder.weights of an experiment"
    with pytest.raises(CheckpointError, match=words):
        checkpoint.load(made)
    code, out, err = command("predict", SAMPLE, "--model", made)
    assert (code, out) == (1, "")
    assert words in " ".join(err.split())
    assert "Traceback" not in err


def test_a_pretrained_encoder_that_ships_is_listed_and_shown(made, command, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "shipped" / "speech-tiny")
    shutil.copytree(pretrained.folder(pretrained.DEFAULT), tmp_path / "shipped" / pretrained.DEFAULT)
    monkeypatch.setattr(pretrained, "_FOLDER", tmp_path / "shipped")
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = command("models", "list")
    assert (code, err) == (0, "")
    row = next(line for line in out.splitlines() if "speech-tiny" in line)
    assert all(words in row for words in ("predicts masked frames", "Tones in noise", "L1 0.750 (unheard files)"))
    code, out, err = command("models", "show", "speech-tiny")
    assert (code, err) == (0, "")
    assert "ä card" in out
    content = {**TAKERS["speech_bert"], "encoder": {"weights": "speech-tiny"}}
    assert models.parse_settings(content, source="test").encoder.width == 16


SHIPPED = [
    name for name in pretrained.names() if checkpoint.is_pretrained(checkpoint.describe(pretrained.folder(name)))
]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_pretrained_encoder_that_ships_loads_and_is_small(name):
    folder = pretrained.folder(name)
    assert {path.name for path in folder.iterdir()} == FILES
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 30e6
    loaded = load_pretrained(name)
    assert loaded.provenance["held_out_l1"] < 0.8  # predicting the mean
    assert "the EU AI Act forbids it" in loaded.card.partition("## Forbidden uses")[2]


# Who takes the encoder on


def create(taker: str, encoder: dict[str, Any]):
    """A new model with random weights and three classes."""
    content = {**TAKERS[taker], "encoder": {"name": "speech_bert", **encoder}}
    torch.manual_seed(1)
    return models.get(taker).create(models.parse_settings(content, source="test"), 3)


@every_taker
def test_a_model_takes_sizes_and_weights_of_its_encoder_from_a_checkpoint(taker, made):
    model = create(taker, {"weights": str(made)})
    encoder = model.settings.encoder
    assert (encoder.inputs, encoder.width, encoder.layers, encoder.heads) == (160, 16, 1, 2)
    drawn = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_pretrained()
    stored = weights_in(made)
    filled = 0
    for name, tensor in model.state_dict().items():
        if name.startswith("encoder."):
            assert torch.equal(tensor, stored[name].float()), name
            filled += 1
        else:
            assert torch.equal(tensor, drawn[name]), name
    assert filled == sum(name.startswith("encoder.") for name in stored) == 20
    assert any(not torch.equal(drawn[name], stored[name].float()) for name in drawn if name in stored)
    again = models.parse_settings(model.settings.model_dump(mode="json"), source="test")
    assert again == model.settings


def test_a_pretraining_may_begin_from_a_checkpoint(made):
    settings = MaskedFramesModel.Settings.model_validate({"encoder": {"weights": str(made)}})
    torch.manual_seed(1)
    model = MaskedFramesModel(settings)
    model.load_pretrained()
    stored = {name: tensor.float() for name, tensor in weights_in(made).items()}
    begun = model.trained_state
    assert all(torch.equal(begun[name], tensor) for name, tensor in stored.items() if name.startswith("encoder."))
    assert not torch.equal(begun["head.dense.weight"], stored["head.dense.weight"])  # the head begins anew


def step(model: torch.nn.Module) -> None:
    """A step of training."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    waveforms = pad([0.1 * torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (16_000, 9_000)])
    F.cross_entropy(model.listen(waveforms), torch.tensor([0, 2])).backward()
    optimizer.step()


@pytest.mark.parametrize("trainable", [True, False])
@every_taker
def test_an_encoder_is_trained_further_or_frozen(taker, trainable, made):
    model = create(taker, {"weights": str(made), "trainable": trainable, "dropout": 0.5})
    model.load_pretrained()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    assert {module.training for module in model.encoder.modules()} == {trainable}
    assert model.classifier.training
    step(model)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("encoder.") for name in changed) is trainable
    assert "classifier.weight" in changed
    assert all((parameter.grad is not None) is trainable for parameter in model.encoder.parameters())
    frames = pad([torch.ones(30, 160)])
    assert torch.equal(model.encoder(frames).values, model.encoder(frames).values) is not trainable  # dropout
    assert not model.eval().encoder.training


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"width": 32}, r"project\.weight is \(16.*\), expected \(32"),
        ({"layers": 2}, r"lacks 16 tensors of a SpeechBert, such as layers\.1\."),
    ],
)
def test_an_encoder_of_another_size_is_refused(sizes, words, made):
    model = create("speech_bert", {"weights": str(made), **sizes})
    with pytest.raises(CheckpointError, match=words):
        model.load_pretrained()


def test_what_is_no_speech_bert_is_refused(copied):
    with pytest.raises(CheckpointError, match=r"whisper4-emodb: its config\.json describes no speech_bert"):
        create("speech_bert", {"weights": pretrained.DEFAULT})
    with pytest.raises(CheckpointError, match="no model called 'nothing' ships with affetto"):
        create("speech_bert", {"weights": "nothing"})
    (copied / "config.json").write_text("a letter")
    with pytest.raises(CheckpointError, match=r"copied: its config\.json describes no speech_bert"):
        create("speech_bert", {"weights": str(copied)})
