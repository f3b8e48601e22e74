import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import audmetric
import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import torch
import typer
import yaml
from safetensors.torch import load_file, save

import affetto
from affetto import checkpoint, cli, corpora, evaluation, pretrained, pretraining, runs
from affetto.corpora.transcripts import LAYOUT

SAMPLES = Path(__file__).parents[1] / "samples"
CLIP = SAMPLES / "03a07Nc.wav"
LABELS = ["anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness"]
TRUST = ["label_set", "reliable", "flags"]
COLUMNS = ["file", "start", "end", "emotion", "confidence", *LABELS, *TRUST]
COMMANDS = [
    [],
    ["demo"],
    ["predict"],
    ["timeline"],
    ["listen"],
    ["serve"],
    ["stress"],
    ["adapt"],
    ["transcribe"],
    ["pretrain"],
    ["train"],
    ["benchmark"],
    ["transfer"],
    ["calibrate"],
    ["evaluate"],
    ["misheard"],
    ["groups"],
    ["audit"],
    ["verify"],
    ["report"],
    ["protocols"],
    ["protocols", "list"],
    ["protocols", "show"],
    ["corpora"],
    ["corpora", "list"],
    ["corpora", "show"],
    ["corpora", "check"],
    ["corpora", "fetch"],
    ["corpora", "make"],
    ["corpora", "unspoken"],
    ["corpora", "mishear"],
    ["models"],
    ["models", "list"],
    ["models", "show"],
    ["models", "import-panns"],
    ["cache"],
    ["cache", "show"],
    ["cache", "clear"],
]


@dataclass
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines of stderr that report an error, less their first word."""
        return [line.removeprefix("error: ") for line in self.err.splitlines() if line.startswith("error: ")]

    @property
    def rows(self) -> list[dict[str, str]]:
        """Stdout as CSV."""
        return list(csv.DictReader(io.StringIO(self.out)))


Command = Callable[..., Answer]


@pytest.fixture
def here(capsys, monkeypatch, tmp_path) -> Command:
    """The command line inside this process, which is quick, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFFETTO_CACHE", str(tmp_path / "default-cache"))

    def call(*arguments: object, stdin: str = "") -> Answer:
        monkeypatch.setattr(sys, "argv", ["affetto", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        code = stopped.value.code
        assert code is None or isinstance(code, int)
        return Answer(code or 0, said.out, said.err)

    return call


def in_a_process(*arguments: object, stdin: str = "") -> Answer:
    done = subprocess.run(
        [sys.executable, "-c", "from affetto.cli import main; main()", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"},
        timeout=300,
    )
    assert "Traceback" not in done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=["here", pytest.param("process", marks=pytest.mark.slow)])
def run(request, here) -> Command:
    """The command line inside this process, and for real."""
    return here if request.param == "here" else in_a_process


def tone(rate: int = 16_000, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return 0.3 * np.sin(2 * np.pi * 200 * time) * np.sin(2 * np.pi * 3 * time)


# At the door


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_helps(command, run):
    answer = run(*command, "--help")
    assert answer.code == 0
    assert "Usage:" in answer.out
    assert answer.err == ""
    assert answer.out == run(*command, "-h").out


def test_no_command_is_without_a_test_of_its_help():
    found = [[]]
    for name, command in typer.main.get_command(cli.app).commands.items():
        found += [[name], *([name, below] for below in getattr(command, "commands", ()))]
    assert sorted(found) == sorted(COMMANDS)


def test_the_version_is_the_packages(run):
    answer = run("--version")
    assert (answer.code, answer.out, answer.err) == (0, f"affetto {affetto.__version__}\n", "")


@pytest.mark.parametrize("arguments", [["hark"], ["predict"], ["predict", "--loud", "a.wav"]], ids=" ".join)
def test_a_command_that_does_not_exist_or_lacks_something_is_a_usage_error(arguments, here):
    answer = here(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert "Usage:" in answer.err


def test_the_demo_hears_seven_samples(run):
    answer = run("demo")
    assert answer.code == 0
    assert answer.err == ""
    for clip in SAMPLES.glob("*.wav"):
        assert clip.stem in answer.out
    assert all(label in answer.out for label in LABELS)
    assert "7 of 7 as meant" in answer.out or "6 of 7 as meant" in answer.out


# predict


def test_results_go_to_stdout_and_nothing_else(run):
    answer = run("predict", CLIP, "--format", "csv")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[0] == ",".join(COLUMNS)
    assert len(answer.rows) == 1
    assert answer.rows[0]["file"] == str(CLIP)
    assert answer.rows[0]["emotion"] == "neutral"


@pytest.fixture
def tree(tmp_path) -> Path:
    """A folder with two clips, one more below it, and a letter."""
    root = tmp_path / "Aufnahmen für Anna"
    (root / "below").mkdir(parents=True)
    for name in ("grün 1.wav", "2.WAV", "below/3.flac"):
        soundfile.write(root / name, *soundfile.read(CLIP), format=Path(name).suffix[1:].upper())
    (root / "notes.txt").write_text("not a recording")
    return root


def test_files_folders_and_globs_are_found(here, tree):
    def files(*arguments: object) -> list[str]:
        answer = here("predict", *arguments, "-f", "csv")
        assert (answer.code, answer.err) == (0, "")
        return [Path(row["file"]).relative_to(tree).as_posix() for row in answer.rows]

    assert files(tree) == ["2.WAV", "grün 1.wav"]
    assert files(tree, "-r") == ["2.WAV", "below/3.flac", "grün 1.wav"]
    assert files(tree / "*.wav", tree / "below") == ["grün 1.wav", "below/3.flac"]
    assert files(tree / "**" / "*.flac") == ["below/3.flac"]


def test_a_list_of_paths_is_read_from_stdin(run, tree):
    listed = f"{tree / 'grün 1.wav'}\r\n\n{tree / '2.WAV'}\n"
    answer = run("predict", CLIP, "-", "-f", "csv", stdin=listed)
    assert (answer.code, answer.err) == (0, "")
    assert [Path(row["file"]).name for row in answer.rows] == [CLIP.name, "grün 1.wav", "2.WAV"]


def test_all_formats_say_the_same(here, tree):
    table, text, objects, lines = (
        here("predict", tree, CLIP, "-f", kind) for kind in ("table", "csv", "json", "jsonl")
    )
    assert all((answer.code, answer.err) == (0, "") for answer in (table, text, objects, lines))
    parsed = json.loads(objects.out)
    assert parsed == [json.loads(line) for line in lines.out.splitlines()]
    assert len(parsed) == len(text.rows) == 3
    for one, row in zip(parsed, text.rows, strict=True):
        assert list(row) == COLUMNS
        own = ["label_set", "reliable", "probabilities", "flags"]
        assert list(one) == ["file", "start", "end", "emotion", "confidence", *own]
        assert one["label_set"] == row["label_set"].split() and one["flags"] == row["flags"].split()
        assert str(one["reliable"]) == row["reliable"]
        assert (one["file"], one["emotion"]) == (row["file"], row["emotion"])
        assert one["confidence"] == pytest.approx(float(row["confidence"]), abs=1e-5)
        assert one["probabilities"] == pytest.approx({label: float(row[label]) for label in LABELS}, abs=1e-5)
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert float(row["start"]) == 0
        assert float(row["end"]) == pytest.approx(soundfile.info(CLIP).duration, abs=1e-4)
        assert max(LABELS, key=lambda label: float(row[label])) == row["emotion"]
    for name in ("grün 1.wav", "2.WAV", CLIP.name):
        assert name in table.out.replace("\n", "")


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_out_writes_a_file_in_the_format_of_its_ending(ending, here, tmp_path):
    answer = here("predict", CLIP, "--out", tmp_path / f"heard.{ending}")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert (tmp_path / f"heard.{ending}").read_text(encoding="utf-8") == here("predict", CLIP, "-f", ending).out


def test_out_holds_a_table_too_and_the_format_wins_over_the_ending(here, tmp_path):
    here("predict", CLIP, "-o", tmp_path / "heard", "-f", "table")
    assert CLIP.name in (tmp_path / "heard").read_text(encoding="utf-8")
    here("predict", CLIP, "-o", tmp_path / "heard.json", "-f", "csv")
    assert (tmp_path / "heard.json").read_text(encoding="utf-8").startswith("file,start,end")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "xml"], "--format xml; expected one of table, csv, json, jsonl"),
        (["--out", "heard.txt"], "--out heard.txt: the ending names no format; expected one of table, csv, json"),
        (["--out", "no/such/folder.csv"], "--out no/such/folder.csv: cannot be written (No such file or directory)"),
        (["--device", "tpu"], "--device tpu: expected auto, cpu, cuda or mps"),
        (["--precision", "int3"], "--precision int3: expected auto, fp32 or bf16"),
        (["--model", "whisper9"], "no model called 'whisper9' ships with affetto; those that do: "),
        (["--model", "./nowhere"], "./nowhere: no such folder; expected a model folder or a hub id"),
    ],
)
def test_a_wrong_option_is_one_line(arguments, words, here):
    answer = here("predict", CLIP, *arguments)
    assert (answer.code, answer.out) == (1, "")
    assert len(answer.err.splitlines()) == 1
    assert answer.errors[0].startswith(words)


def faulty(folder: Path) -> dict[Path, str]:
    """Files and folders that cannot be heard, with the words that say why."""
    samples = tone()
    with_nan = samples.copy()
    with_nan[99] = np.nan
    soundfile.write(folder / "short.wav", samples[:300], 16_000)
    soundfile.write(folder / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(folder / "nan.wav", with_nan, 16_000, subtype="FLOAT")
    soundfile.write(folder / "whole.wav", samples, 16_000)
    (folder / "truncated.wav").write_bytes((folder / "whole.wav").read_bytes()[:9_000])
    (folder / "letter.wav").write_text("dear model")
    (folder / "empty.wav").touch()
    (folder / "documents").mkdir()
    (folder / "documents" / "letter.txt").write_text("dear model")
    return {
        folder / "missing.wav": "no such file",
        folder / "letter.wav": "not audio that can be decoded",
        folder / "truncated.wav": "is truncated: 23044 bytes that its header promises are missing",
        folder / "empty.wav": "is empty (0 bytes)",
        folder / "short.wav": "lasts 19 ms, shorter than one frame of 25 ms",
        folder / "silent.wav": "is silent: no sample rises above -80 dBFS",
        folder / "nan.wav": "holds samples that are NaN or infinite",
        folder / "documents": "no audio files in this folder (-r looks below it)",
        folder / "*.mp3": "no file matches this pattern",
        folder / ("long" * 100): "cannot be read (File name too long)",
    }


def test_each_bad_input_is_one_line_and_the_others_go_on(run, tmp_path):
    faults = faulty(tmp_path)
    arguments = [CLIP, *faults, SAMPLES / "12b02Wd.wav"]
    answer = run("predict", *arguments, "-f", "csv")
    assert answer.code == 1
    assert [Path(row["file"]).name for row in answer.rows] == ["03a07Nc.wav", "12b02Wd.wav"]
    lines = answer.err.splitlines()
    assert len(lines) == len(faults)
    for path, reason in faults.items():
        assert [line for line in lines if line.startswith(f"error: {path}: {reason}")], (path, lines)


def test_only_bad_input_is_an_error_without_results(here, tmp_path):
    answer = here("predict", tmp_path / "a.wav", tmp_path / "b.wav", "-f", "csv")
    assert answer.code == 1
    assert answer.errors == [f"{tmp_path / name}: no such file" for name in ("a.wav", "b.wav")]
    assert answer.rows == []


def test_a_folder_without_audio_is_an_error_by_itself(here, tmp_path):
    (tmp_path / "documents").mkdir()
    answer = here("predict", tmp_path / "documents", "-r")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"error: {tmp_path / 'documents'}: no audio files in this folder\n"


def test_unusual_recordings_are_heard(run, tmp_path):
    samples, _ = soundfile.read(CLIP)
    soundfile.write(tmp_path / "phone.wav", soxr.resample(samples, 16_000, 8_000), 8_000)
    soundfile.write(tmp_path / "studio.wav", soxr.resample(samples, 16_000, 96_000), 96_000, subtype="PCM_24")
    soundfile.write(tmp_path / "surround.wav", np.stack([samples] * 6, axis=1), 16_000)
    soundfile.write(tmp_path / "Müller & Söhne, 3. Anruf.wav", samples, 16_000)
    names = ["phone.wav", "studio.wav", "surround.wav", "Müller & Söhne, 3. Anruf.wav"]
    answer = run("predict", *names, "-f", "csv")
    assert answer.code == 0
    assert [row["file"] for row in answer.rows] == names
    assert [row["emotion"] for row in answer.rows[1:]] == ["neutral"] * 3
    assert answer.err.splitlines() == [
        "note: phone.wav: 8000 Hz audio has nothing above 4000 Hz; models hear 16 kHz",
        "note: surround.wav: 6 channels were averaged into one",
    ]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes for a name")
def test_a_name_that_is_not_text_is_heard_and_given_back(tmp_path):
    name = os.fsencode(tmp_path) + b"/latin1-\xfc.wav"
    Path(os.fsdecode(name)).write_bytes(CLIP.read_bytes())
    program = [sys.executable, "-c", "from affetto.cli import main; main()", "predict", "-", "-f", "csv"]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(program, input=name + b"\n", capture_output=True, env=strict)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[1].startswith(name + b",0.000000,")


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_fault(tmp_path):
    program = [sys.executable, "-c", "from affetto.cli import main; main()", "predict", str(SAMPLES), "-f", "csv"]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    errors = process.stderr.read()
    process.wait(timeout=120)
    process.stderr.close()
    assert b"Traceback" not in errors


# Damaged models


@pytest.fixture
def copied(tmp_path) -> Path:
    """A copy of the shipped model."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in pretrained.folder(pretrained.DEFAULT).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_models_folder_recognises(here, copied):
    assert here("predict", CLIP, "-m", copied, "-f", "csv").out == here("predict", CLIP, "-f", "csv").out


def test_a_corrupt_model_is_one_line(run, copied):
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1_000_000])
    for command in (["predict", CLIP, "-m", copied], ["evaluate", copied, "--corpus", SAMPLES / "samples.csv"]):
        answer = run(*command)
        assert (answer.code, answer.out) == (1, "")
        assert len(answer.err.splitlines()) == 1
        assert answer.errors[0].startswith(f"{copied}: a safetensors file is damaged (")


def test_a_model_that_hears_otherwise_than_it_should_is_one_line(run, copied):
    weights = load_file(copied / "model.safetensors")
    changed = {**weights, "classifier.bias": weights["classifier.bias"] + torch.arange(7.0)}
    (copied / "model.safetensors").write_bytes(save({name: tensor.clone() for name, tensor in changed.items()}))
    answer = run("predict", CLIP, "-m", copied)
    assert (answer.code, answer.out) == (1, "")
    assert len(answer.err.splitlines()) == 1
    assert answer.errors[0].startswith(f"{copied}: does not give its golden answer (off by ")


# evaluate


def test_the_samples_are_scored_without_a_warning(run, tmp_path):
    answer = run("evaluate", pretrained.DEFAULT, "--corpus", SAMPLES / "samples.csv", "--out", tmp_path / "heard.csv")
    assert (answer.code, answer.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "heard.csv").read_text(encoding="utf-8"))))
    assert list(rows[0]) == [*COLUMNS, "truth"]
    right = sum(row["emotion"] == row["truth"] for row in rows)
    assert len(rows) == 7
    assert f"WA {100 * right / 7:.2f} %" in answer.out


def test_a_model_that_knows_the_clips_is_not_believed(run, emodb_root, tmp_path):
    names = ["03a01Fa.wav", "03a07Nc.wav"]  # the second is one of the samples, which the model has not heard
    lines = [f"{emodb_root / 'wav' / name},{emotion}" for name, emotion in zip(names, ["joy", "neutral"], strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,emotion", *lines]))
    answer = run("evaluate", pretrained.DEFAULT, "--corpus", tmp_path / "labels.csv")
    assert answer.code == 0
    assert answer.err.startswith("warning: the model was trained on 1 of these 2 files; these scores say nothing")


def test_evaluate_names_what_it_leaves_out_and_what_it_cannot_hear(here, tmp_path):
    lines = ["file,emotion", f"{CLIP},neutral", f"{CLIP.parent / '12b02Wd.wav'},surprise", "gone.wav,anger"]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    answer = here("evaluate", pretrained.DEFAULT, "--corpus", tmp_path / "labels.csv")
    assert answer.code == 1
    assert answer.err.splitlines() == [
        "note: 1 utterances left out: the model does not know surprise",
        "error: gone.wav: no such file",
    ]
    assert "WA 100.00 %" in answer.out


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["file,emotion", "a.wav,surprise"], "has no utterance of what the model gives: anger, boredom"),
        (["file,emotion", "a.wav,anger"], "none of its 1 utterances can be heard"),
        (["file,label", "a.wav,anger"], "has no column 'emotion'; found file, label"),
    ],
)
def test_a_corpus_that_cannot_be_scored_is_refused(lines, words, here, tmp_path):
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    answer = here("evaluate", pretrained.DEFAULT, "--corpus", tmp_path / "labels.csv")
    assert (answer.code, answer.out) == (1, "")
    assert words in answer.errors[-1]


def test_a_folder_that_is_no_corpus_is_refused(here, tmp_path):
    answer = here("evaluate", pretrained.DEFAULT, "--corpus", tmp_path)
    assert answer.code == 1
    (line,) = answer.errors
    assert line.startswith(f"{tmp_path}: is no corpus that is known (")
    assert f"emodb: no wav files under {tmp_path}; expected" in line
    assert "; table: " in line


# train and benchmark


@pytest.fixture
def tiny(tiny_probe, tmp_path) -> Path:
    """Settings of an experiment on the synthetic emotions that takes a second."""
    content = {
        "name": "tiny",
        "corpus": "table",
        "protocol": "speaker-4fold",
        "model": tiny_probe,
        "training": {"epochs": 5, "batch_size": None, "optimizer": "adam", "learning_rate": 0.05},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_model_is_trained_and_then_recognises(run, tiny, synthetic, tmp_path):
    answer = run("train", tiny, "--corpus", synthetic, "--set", "training.epochs=20")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == f"checkpoint: {Path('runs') / 'tiny' / 'checkpoint'}\n"
    target = tmp_path / "runs" / "tiny" / "checkpoint"
    assert checkpoint.describe(target)["provenance"]["experiment"]["training"]["epochs"] == 20
    assert list((tmp_path / "default-cache").rglob("*.safetensors"))
    heard = run("predict", synthetic.parent / "dia_anger_0.wav", "-m", target, "-f", "csv")
    labels = ["anger", "happiness", "sadness"]
    assert list(heard.rows[0]) == ["file", "start", "end", "emotion", "confidence", *labels, "flags"]
    scored = run("evaluate", target, "--corpus", synthetic)
    assert "warning: the model was trained on 96 of these 96 files" in scored.err


# Words


@pytest.fixture
def reading(tiny_bert, tmp_path) -> Path:
    """Settings of an experiment on the synthetic emotions' words that takes a second."""
    content = {
        "name": "reading",
        "corpus": "table",
        "protocol": "speaker-4fold",
        "model": {"name": "bert", "encoder": tiny_bert},
        "training": {"epochs": 2, "learning_rate": 0.01},
    }
    path = tmp_path / "reading.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_model_of_words_is_trained_and_says_what_it_needs(run, reading, spoken, tmp_path):
    answer = run("train", reading, "--corpus", spoken)
    assert answer.code == 0
    assert (
        answer.err.splitlines()[0]
        == "note: 3 of 96 utterances have no transcript or an empty one; it is heard as no words"
    )
    clip = spoken.parent / "ann_anger_1.wav"
    model = ["-m", tmp_path / "runs" / "reading" / "checkpoint", "-f", "csv"]
    mute = run("predict", clip, *model)
    assert (mute.code, mute.rows) == (1, [])
    assert mute.errors == [
        f"{clip}: has no transcript, and reading hears words; give --transcripts FILE, or --asr MODEL"
    ]
    words = tmp_path / "words.csv"
    words.write_text(f"file,transcript\n{clip},leave me\n", encoding="utf-8")
    heard = run("predict", clip, spoken.parent / "ben_anger_1.wav", *model, "--transcripts", words)
    assert (heard.code, len(heard.rows), len(heard.errors)) == (1, 1, 1)
    assert "ben_anger_1.wav: has no transcript" in heard.errors[0]
    assert f"{words}: lacks 1 of 2 recordings, such as {spoken.parent / 'ben_anger_1.wav'}" in heard.err
    other = run("predict", clip, *model, "--transcripts", spoken)
    assert other.code == 0
    words.write_text("file,transcript\nann_anger_1.wav,leave me\n", encoding="utf-8")
    strange = run("predict", clip, *model, "--transcripts", words)
    told = f"{words}: has none of the recordings; its first line is of ann_anger_1.wav, theirs is {clip}"
    assert (strange.code, strange.out, strange.errors) == (1, "", [told])
    assert other.rows[0]["confidence"] != heard.rows[0]["confidence"]


def test_a_model_of_words_is_scored_where_there_is_no_sound(here, reading, spoken, toy_tree, tmp_path):
    text = toy_tree("emobank")
    common = ["--set", "corpus=emobank", "--set", "task={name: dimensions}", "--out", tmp_path / "read"]
    assert here("train", reading, "--corpus", text, *common).code == 0
    scored = here("evaluate", tmp_path / "read" / "checkpoint", "--corpus", text)
    assert scored.code == 0
    assert "warning: the model was trained on 6 of these 6 files" in scored.err
    rows = [line.split(",") for line in spoken.read_text(encoding="utf-8").splitlines()]
    there = [[f"gone/{row[0]}", *row[1:]] for row in rows[1:] if row[-1]]
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join(map(",".join, [rows[0], *there])) + "\n", encoding="utf-8")
    assert here("train", reading, "--corpus", spoken).code == 0
    scored = here("evaluate", tmp_path / "runs" / "reading" / "checkpoint", "--corpus", bare)
    assert (scored.code, scored.err) == (0, "")


def test_transcripts_of_a_table_join_any_corpus(here, reading, synthetic, spoken, tmp_path):
    bare = here("train", reading, "--corpus", synthetic)
    assert (bare.code, len(bare.errors)) == (1, 1)
    assert bare.errors[0].startswith("table: no utterance has a transcript, and the model hears words; give a table")
    words = tmp_path / "words.csv"
    words.write_text("\n".join(spoken.read_text().splitlines()[:-2]) + "\nx.wav,joy,ann,hey\n", encoding="utf-8")
    answer = here("benchmark", reading, "--corpus", synthetic, "--transcripts", words, "--jobs", 1)
    assert answer.code == 0
    assert answer.err.splitlines()[:3] == [
        f"note: {words}: lacks 2 of 96 utterances, such as dia_sadness_6.wav",
        f"note: {words}: lines of no utterance here: 1, such as of x.wav",
        "note: 5 of 96 utterances have no transcript or an empty one; it is heard as no words",
    ]
    scored = here("evaluate", tmp_path / "none", "--corpus", synthetic, "--transcripts", tmp_path / "gone.csv")
    assert scored.errors == [f"table: {tmp_path / 'gone.csv'} is not a file; expected e.g. {LAYOUT}"]


def test_an_asr_writes_a_table_that_others_read(run, reading, spoken, tiny_english, tmp_path):
    corpus = tmp_path / "some.csv"
    lines = Path(SAMPLES / "samples.csv").read_text(encoding="utf-8").splitlines()[:3]
    rows = [lines[0], *(f"{SAMPLES / line}" for line in lines[1:])]
    corpus.write_text("\n".join(rows) + "\n", encoding="utf-8")
    table = tmp_path / "words.csv"
    arguments = ["transcribe", "--model", tiny_english, "--to", table]
    answer = run(*arguments, "--corpus", corpus)
    assert (answer.code, answer.err) == (0, f"transcripts: {table}\n")
    found = re.fullmatch(r"word error rate (\d+\.\d) % of 13 words in 2 utterances \(in lower case, .*\)\n", answer.out)
    assert found
    assert float(found[1]) > 50  # an English ear for German
    before = table.read_bytes()
    assert run(*arguments, "--corpus", corpus).out == answer.out
    assert table.read_bytes() == before
    assert run(*arguments, CLIP, tmp_path / "gone.wav").errors == [f"{tmp_path / 'gone.wav'}: no such file"]
    assert table.read_bytes() == before  # it knows the other clip already
    assert run("train", reading, "--corpus", spoken).code == 0
    model = ["-m", tmp_path / "runs" / "reading" / "checkpoint", "-f", "csv"]
    heard = run("predict", CLIP, *model, "--transcripts", table)
    again = run("predict", CLIP, *model, "--asr", tiny_english)
    assert (heard.code, heard.err) == (again.code, again.err) == (0, "")
    assert heard.out == again.out


def test_an_average_of_voice_and_words_is_trained_and_served(here, tiny_probe, tiny_bert, spoken, tmp_path):
    content = {
        "corpus": "table",
        "protocol": "speaker-4fold",
        "training": {"epochs": 2, "learning_rate": 0.05},
        "rows": {
            "voice": {"model": tiny_probe},
            "words": {"model": {"name": "bert", "encoder": tiny_bert}},
            "both": {"average": ["voice", "words"]},
        },
    }
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert "expected one, see --row" in here("train", "table.yaml", "--corpus", spoken).errors[0]
    answer = here("train", "table.yaml", "--row", "both", "--corpus", spoken)
    assert (answer.code, answer.errors) == (0, [])
    clips = [spoken.parent / f"{name}_anger_1.wav" for name in ("ann", "ben")]
    run = tmp_path / "runs" / "both"
    rows = [
        here("predict", *clips, "-m", run / part / "checkpoint", "-f", "csv", "--transcripts", spoken).rows
        for part in ("voice", "words", "")
    ]
    for voice, words, both in zip(*rows, strict=True):
        for label in ("anger", "happiness", "sadness"):
            assert float(both[label]) == pytest.approx((float(voice[label]) + float(words[label])) / 2, abs=3e-6)
    mute = here("predict", clips[0], "-m", run / "checkpoint")
    assert mute.errors == [
        f"{clips[0]}: has no transcript, and both hears words; give --transcripts FILE, or --asr MODEL"
    ]
    assert "voice" in checkpoint.card(run / "checkpoint")


def test_what_to_transcribe_is_said_once(here, tmp_path):
    arguments = ["transcribe", "--model", "base", "--to", tmp_path / "words.csv"]
    for more in ([], [CLIP, "--corpus", SAMPLES / "samples.csv"]):
        assert here(*arguments, *more).errors == ["give either recordings or --corpus"]


def test_a_benchmark_prints_its_scores_and_leaves_a_results_file(run, tiny, synthetic, tmp_path):
    common = ["--corpus", synthetic, "--cache", tmp_path / "c"]
    answer = run("benchmark", tiny, *common, "--results", tmp_path / "results", "--jobs", 1)
    path = tmp_path / "results" / "table-speaker4fold-v1" / "tiny.json"
    assert (answer.code, answer.err) == (0, f"results: {path}\n")
    results = json.loads(path.read_text())
    assert "with 95 % intervals over speakers" in " ".join(answer.out.split())
    said = re.sub(r"[^\w.\[\],-]+", "", answer.out)  # a narrow terminal breaks the lines of a cell
    for name in ("wa", "ua", "macro_f1"):
        low, high = results["intervals"]["fold_mean"][name]
        assert f"{100 * results['fold_mean'][name]:.2f}" in said
        assert f"{100 * low:.1f}," in said
        assert f"{100 * high:.1f}]" in said
    assert list((tmp_path / "c").rglob("*.safetensors"))
    assert not (tmp_path / "default-cache").exists()
    quoting = run("train", tiny, *common, "--results", path, "--out", "quoting")
    assert quoting.code == 0
    assert f"WA {100 * results['fold_mean']['wa']:.1f} %" in checkpoint.card(tmp_path / "quoting" / "checkpoint")


def test_a_benchmark_of_some_rows_of_a_table(here, tiny, synthetic, tmp_path, monkeypatch):
    content = yaml.safe_load(tiny.read_text())
    del content["name"]
    content["rows"] = {"a": {}, "b": {"training": {"epochs": 2}}, "both": {"average": ["a", "b"]}, "c": {}}
    tiny.write_text(yaml.safe_dump(content))
    common = ["--corpus", synthetic, "--results", tmp_path / "results", "--jobs", 1]
    folder = tmp_path / "results" / "table-speaker4fold-v1"
    assert here("benchmark", tiny, *common, "--row", "b").code == 0
    assert [path.stem for path in folder.glob("*.csv")] == ["b"]
    assert here("benchmark", tiny, *common, "--row", "both").code == 0
    assert sorted(path.stem for path in folder.glob("*.csv")) == ["b", "both"], "a is trained, and not asked for"
    answer = here("benchmark", tiny, *common, "--row", "d")
    assert answer.errors == [f"{tiny}: no row is called 'd'; the rows are a, b, both, c"]

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "benchmark", interrupted)
    answer = here("benchmark", tiny, *common)
    assert answer.code == 130
    assert "finished trainings are kept" in answer.err


@pytest.mark.parametrize(("room", "command"), [(runs, "train"), (pretraining, "pretrain")])
def test_an_interrupted_run_says_from_where_it_goes_on(room, command, here, tiny, synthetic, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, command, interrupted)
    arguments = {
        "train": (tiny, "--corpus", synthetic),
        "pretrain": ("speech_bert_small", "--corpus", synthetic.parent),
    }
    answer = here(command, *arguments[command])
    assert answer.code == 130
    assert "goes on from the last epoch" in answer.err


RATINGS = "task={name: dimensions, scale: [1, 5], names: [valence, arousal]}"


def test_ratings_are_learned_heard_and_scored_like_categories(here, tiny, rated, tmp_path):
    common = ["--corpus", rated, "--cache", tmp_path / "c", "--set", RATINGS]
    answer = here("benchmark", tiny, *common, "--results", tmp_path / "results", "--jobs", 1)
    path = tmp_path / "results" / "table-speaker4fold-v1" / "tiny.json"
    assert (answer.code, answer.err) == (0, f"results: {path}\n")
    results = json.loads(path.read_text())
    for name in ("ccc", "ccc_valence", "ccc_arousal"):
        assert f"{results['fold_mean'][name]:.3f}" in answer.out
    assert all(head in answer.out for head in ("CCC", "CCC valence", "CCC arousal"))
    assert here("verify", path, "--corpus", rated).code == 0
    trained = here("train", tiny, *common, "--results", path, "--set", "training.epochs=5")
    assert trained.code == 0, trained.err
    target = tmp_path / "runs" / "tiny" / "checkpoint"
    assert checkpoint.describe(target)["scales"] == {"valence": [1, 5], "arousal": [1, 5]}
    shown = " ".join(here("models", "show", target).out.split())
    assert "valence (1 to 5), arousal (1 to 5)" in shown
    assert f"CCC {results['fold_mean']['ccc_arousal']:.3f} (arousal)" in shown
    clips = [rated.parent / "dia_anger_0.wav", rated.parent / "dia_sadness_0.wav"]
    rows = here("predict", *clips, "-m", target, "-f", "csv").rows
    assert list(rows[0]) == ["file", "start", "end", "valence", "arousal", "flags"]
    assert all(0 < float(row[name]) < 6 for row in rows for name in ("valence", "arousal"))
    (nested, _) = map(json.loads, here("predict", *clips, "-m", target, "-f", "jsonl").out.splitlines())
    assert nested["dimensions"] == {name: pytest.approx(float(rows[0][name])) for name in ("valence", "arousal")}
    table = here("predict", *clips, "-m", target).out
    assert f"{float(rows[0]['arousal']):.2f}" in table
    scored = here("evaluate", target, "--corpus", rated, "--out", tmp_path / "scored.csv")
    assert scored.code == 0
    assert "warning: the model was trained on 96 of these 96 files" in scored.err
    frame = pd.read_csv(tmp_path / "scored.csv")
    assert f"{audmetric.concordance_cc(frame['arousal_truth'], frame['arousal']):.3f}" in scored.out
    assert "the corpus has no emotions; for ratings, say" in here("train", tiny, "--corpus", rated, "-o", "other").err


def test_further_corpora_are_tested_where_they_are_said_to_be(here, tiny, rated, rated_elsewhere, tmp_path):
    asked = "task: {name: dimensions, scale: [1, 5], names: [arousal]}\nfurther: [{corpus: table}]\nseeds: [0]\n"
    tiny.write_text(tiny.read_text() + asked)
    common = ["--corpus", rated, "--cache", tmp_path / "c", "--results", tmp_path / "results", "--jobs", 1]
    answer = here("benchmark", tiny, *common)
    assert "note: not tested on table: say where it is with --further table=PATH" in answer.err
    five = rated_elsewhere.with_name("five.csv")  # on the same scale, as a table states none
    lines = [line.split(",") for line in rated_elsewhere.read_text().splitlines()[1:]]
    five.write_text("".join(["file,arousal\n", *(f"{file},{1 + float(a) / 25:.3f}\n" for file, _, a, *_ in lines)]))
    answer = here("benchmark", tiny, *common, "--further", f"table={five}")
    assert answer.code == 0, answer.err
    path = tmp_path / "results" / "table-speaker4fold-v1-on-table-all" / "tiny.json"
    assert f"results: {path}" in answer.err
    assert here("verify", tmp_path / "results").code == 0
    assert here("report", tmp_path / "results").code == 0
    assert "Another corpus than the table of training" in (tmp_path / "results" / "REPORT.md").read_text()
    for text, words in (("emodb=x", "expected one of table, as NAME=PATH"), ("x", "expected one of table")):
        assert words in here("benchmark", tiny, *common, "--further", text).err


def test_a_matrix_across_corpora_is_run_shown_verified_and_reported(here, tiny, toy_tree, tmp_path):
    emodb, ravdess = toy_tree("emodb"), toy_tree("ravdess")
    both = ["--corpus", f"emodb={emodb}", "--corpus", f"ravdess={ravdess}"]
    common = [*both, "--cache", tmp_path / "c", "--results", tmp_path / "results", "--jobs", 1, "--set", "seeds=[0]"]
    answer = here("transfer", tiny, *common, "--classes", "anger,Sad", "--test", "ravdess=actors13to24")
    assert answer.code == 0, answer.err
    stem = tmp_path / "results" / "emodb-on-ravdess-actors13to24-anger-sadness"
    assert answer.err.count("results: ") == 4
    rows = {how: json.loads(Path(f"{stem}{how}-v1/tiny.json").read_text()) for how in ("", "-transductive")}
    for how, words in (("", "tiny, as is"), ("-transductive", "tiny, with each speaker's own baseline")):
        assert words in answer.out
        assert f"{100 * rows[how]['fold_mean']['ua']:.2f} [" in answer.out
    assert here("verify", tmp_path / "results", *both).code == 0
    apart = here("verify", tmp_path / "results", "--corpus", ravdess)
    assert apart.code == 0 and "was not compared with them" in apart.out
    answer = here("groups", f"{stem}-v1/tiny.json", "--by", "sex")
    assert answer.code == 0, answer.err
    heard = pd.read_csv(f"{stem}-v1/tiny.csv")
    women = heard[heard["speaker"].str.removeprefix("ravdess-").astype(int) % 2 == 0]
    assert f"{100 * (women['truth'] == women['prediction']).mean():.2f} [" in answer.out
    assert "equalised-odds gap: " in answer.out
    answer = here("groups", f"{stem}-v1/tiny.json", "--by", "age")
    assert answer.code == 1 and "nothing to compare by age" in answer.err
    assert here("report", tmp_path / "results").code == 0
    text = (tmp_path / "results" / "REPORT.md").read_text()
    assert "Learned on one corpus, heard on the next" in text and "Whom it serves less well" in text
    for arguments, words in (
        (["--test", "iemocap"], "iemocap: is not among the corpora that are given: emodb, ravdess"),
        (["--test", "ravdess="], "--test ravdess=: expected NAME=VALUE"),
        (["--corpus", f"emodb={emodb}"], "emodb is named twice"),
        (["--classes", "anger,boredom"], "ravdess: has no boredom"),
    ):
        assert words in here("transfer", tiny, *common, *arguments).err


def test_a_model_is_scored_by_groups_of_the_corpus(here, tiny, synthetic, tmp_path):
    assert here("train", tiny, "--corpus", synthetic, "-o", tmp_path / "run").code == 0
    corpus = synthetic.parent / "sexes.csv"
    lines = synthetic.read_text().splitlines()
    sexes = {"ann": "female", "ben": "male", "cem": "male", "dia": ""}
    corpus.write_text("\n".join(["file,emotion,speaker,sex", *(f"{x},{sexes[x.split(',')[2]]}" for x in lines[1:])]))
    model = tmp_path / "run" / "checkpoint"
    answer = here("evaluate", model, "--corpus", corpus, "-o", tmp_path / "p.csv", "--by", "sex", "--by", "speaker")
    assert answer.code == 0, answer.err
    heard = pd.read_csv(tmp_path / "p.csv")
    for name, own in heard.groupby(heard["file"].map(lambda file: Path(file).name[:3])):
        line = next(line for line in answer.out.splitlines() if re.search(rf"\b{name}\b", line))
        assert f"{100 * (own['emotion'] == own['truth']).mean():.2f}" in line
    assert "note: 24 clips left out: nobody says their sex" in answer.err
    assert (
        "--by shoes: the corpus has no such column" in here("evaluate", model, "--corpus", corpus, "--by", "shoes").err
    )


def test_an_audit_listens_to_a_training_of_ratings(here, tiny, rated):
    tiny.write_text(tiny.read_text() + "task: {name: dimensions, scale: [1, 5]}\ntuned_on: []\n")
    (told,) = (line for line in here("audit", tiny, "--corpus", rated).out.splitlines() if "tiny: normaliser" in line)
    assert "clean" in told


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.epoch=3", "unknown setting 'training.epoch'; did you mean 'epochs'?"),
        ("modle=cnn", "unknown setting 'modle'; did you mean 'model'?"),
        ("model.encoder.widht=3", "did you mean 'width'?"),
        ("training.epochs=many", "training.epochs: "),
        ("training.epochs", "--set training.epochs: expected key=value, such as training.epochs=3"),
        ("model={name: cnn41}", "no model is called 'cnn41'; the models are acrnn, bert, cnn, "),
        ("corpus=emodbb", "'emodbb'"),
        ("protocol=loso", "no protocol is called 'loso'; the protocols are "),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_nearest_known(setting, words, here, tiny, synthetic):
    answer = here("benchmark", tiny, "--corpus", synthetic, "--set", setting)
    assert (answer.code, answer.out) == (1, "")
    assert len(answer.err.splitlines()) == 1
    assert words in answer.errors[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "settings.yaml: no such settings file"),
        ("name: [", "settings.yaml, line 1: not valid YAML"),
        ("- a\n- b\n", "settings.yaml: expected settings as `key: value`, got list"),
        ("name: x\n", "settings.yaml: the setting 'model' is required"),
        ("!!python/object/apply:os.mkdir [trap]", "settings.yaml, line 1: not valid YAML"),
    ],
)
def test_a_settings_file_that_cannot_be_read_is_one_line(content, words, here, synthetic, tmp_path):
    if content is not None:
        (tmp_path / "settings.yaml").write_text(content)
    answer = here("train", "settings.yaml", "--corpus", synthetic)
    assert (answer.code, answer.out) == (1, "")
    assert len(answer.err.splitlines()) == 1
    assert answer.errors[0].startswith(words)
    assert not (tmp_path / "trap").exists()


def test_training_on_a_clip_that_cannot_be_heard_names_it(here, tiny, tmp_path):
    faulty(tmp_path)
    (tmp_path / "labels.csv").write_text("file,emotion,speaker\nwhole.wav,anger,a\nletter.wav,fear,b\n")
    answer = here("train", tiny, "--corpus", tmp_path / "labels.csv")
    assert answer.code == 1
    assert len(answer.errors) == 1
    assert answer.errors[0].startswith("letter.wav: not audio that can be decoded")


# corpora, models, cache


def test_corpora_are_listed_and_shown(here):
    listed = here("corpora", "list")
    assert listed.code == 0
    for name in corpora.names():
        assert name in listed.out
        shown = here("corpora", "show", name)
        assert (shown.code, shown.err) == (0, "")
        assert corpora.get(name).info.licence in shown.out
    emodb = here("corpora", "show", "emodb").out
    assert all(word in emodb for word in ("535", "anger", "127", "23.74", "03 (male, 31)", "wav/03a01Fa.wav"))
    wrong = here("corpora", "show", "emodbb")
    assert wrong.code == 1
    assert "emodb" in wrong.errors[0]


def test_a_corpus_is_checked(here, tmp_path):
    samples = here("corpora", "check", "table", SAMPLES / "samples.csv")
    assert samples.code == 0
    assert "7 utterances, 7 speakers, no faults found" in samples.out
    faulty(tmp_path)
    (tmp_path / "labels.csv").write_text("file,emotion\nwhole.wav,anger\nsilent.wav,anger\ngone.wav,anger\n")
    found = here("corpora", "check", "table", tmp_path / "labels.csv")
    assert found.code == 1
    assert "2 findings in 3 utterances" in found.out
    assert all(word in found.out for word in ("silent.wav", "gone.wav", "missing"))
    assert here("corpora", "check", "emodb", tmp_path / "nowhere").code == 1


@pytest.mark.usefixtures("espeak")
def test_a_simulated_corpus_is_made_and_checked(here, small_emobank, tmp_path):
    made = here("corpora", "make", "simulated_a", "--emobank", small_emobank, "--to", tmp_path / "a", "--jobs", 2)
    assert (made.code, made.err) == (0, "")
    assert f"18 clips of 5 speakers in {tmp_path / 'a'}" in made.out
    assert all(word in made.out for word in ("ceilings", "voice", "words", "joint", "valence, CCC"))
    found = here("corpora", "check", "simulated_a", tmp_path / "a")
    assert {word in found.out for word in ("missing", "clipped", "silent", "duplicate")} == {False}  # only fewer clips
    wrong = here("corpora", "make", "emodb", "--emobank", small_emobank, "--to", tmp_path / "b")
    assert (wrong.code, wrong.errors[0]) == (
        1,
        "no simulated corpus is called 'emodb'; the simulated corpora are simulated_a, simulated_b",
    )


def test_ratings_are_shown_with_their_scale(here):
    shown = here("corpora", "show", "msp_podcast").out
    assert "valence 1 to 7, arousal 1 to 7, dominance 1 to 7" in shown
    assert "ratings" not in here("corpora", "show", "emodb").out


def test_models_are_listed_and_shown(here):
    from affetto import models

    listed = here("models", "list")
    assert (listed.code, listed.err) == (0, "")
    for name in (*pretrained.names(), *models.names()):
        assert name in listed.out
    card = here("models", "show", pretrained.DEFAULT)
    assert "Forbidden uses" in card.out
    assert "EU AI Act" in card.out
    cnn = here("models", "show", "cnn")
    assert all(word in cnn.out for word in ("Fusion-ConvBERT", "parameters", "Differs from the paper", '"dropout"'))
    assert "1,817,991 parameters for 7 classes" in cnn.out
    assert "79,681,988 parameters for 4 classes, 79,681,988 of them trained" in here("models", "show", "cnn14").out
    strange = here("models", "show", "cnn41")
    assert (strange.code, "architectures: acrnn, bert, cnn, " in strange.err) == (1, True)


def test_the_cache_is_shown_and_cleared(run, tiny, synthetic, tmp_path):
    run("train", tiny, "--corpus", synthetic, "--cache", tmp_path / "c")
    shown = run("cache", "show", "--cache", tmp_path / "c")
    assert shown.code == 0
    assert shown.out.splitlines()[0] == str(tmp_path / "c" / "features"), "whole, however long"
    assert "96" in shown.out
    assert "frozen mean" in shown.out
    cleared = run("cache", "clear", "--cache", tmp_path / "c")
    assert cleared.out.startswith("freed 0.0 MB in ")
    assert not list((tmp_path / "c").rglob("*.safetensors"))
    assert "frozen" not in run("cache", "show", "--cache", tmp_path / "c").out
    assert run("cache", "show").code == 0


# Without a side


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (["smell"], "--without smell: expected words or sound"),
        (["sound"], "cannot do without sound: it hears sound alone"),
        (["words"], "hears no words: there is nothing to do without"),
        (["sound", "words"], "--without sound --without words: expected one of them, something must be heard"),
    ],
)
def test_what_a_model_needs_cannot_be_left_out(here, without, words):
    answer = here("predict", SAMPLES, *(word for name in without for word in ("--without", name)))
    assert answer.code == 1
    assert words in answer.err
