"""Every kind of leak is planted once, and must be found; an honest division must pass."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.preprocessing
import soundfile
import torch
from typer.testing import CliRunner

from affetto import audit, corpora, protocol, training
from affetto.audit import Audit
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.cli import app
from affetto.corpora import Corpus
from affetto.errors import ConfigError, ProtocolError
from affetto.experiment import ChooseSettings

HONEST = """\
fold,file,split,speaker,session,sentence
1,a1.wav,train,ann,s1,x
1,b1.wav,dev,ben,s2,y
1,c1.wav,test,cem,s3,z
2,b1.wav,train,ben,s2,y
2,a1.wav,dev,ann,s1,x
2,d1.wav,test,dia,s4,w
"""


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Audit]:
    """Audits a table of splits, given as text."""

    def run(text: str) -> Audit:
        path = tmp_path / "splits.csv"
        path.write_text(text)
        return audit.audit(audit.of_table(path))

    return run


def statuses(found: Audit) -> dict[str, str]:
    return {finding.check: finding.status for finding in found.findings}


def leak(found: Audit) -> audit.Finding:
    (only,) = found.leaks
    return only


def test_an_honest_table_has_no_leak(table):
    found = table(
        HONEST.replace("2,a1.wav,dev,ann,s1,x", "2,c2.wav,dev,cem,s3,z").replace("1,b1.wav,dev", "1,e1.wav,dev")
    )
    assert not found.leaks
    assert found.subject == "splits.csv"


def test_the_same_text_on_both_sides_is_found_where_there_is_no_sound(toy_tree):
    root = toy_tree("emobank")
    whole = protocol.create("official", corpora.read("emobank", root))
    found = statuses(audit.audit(audit.of_protocol(whole)))
    assert found["same text"] == "clean"
    assert "same sound" not in found
    path = root / "emobank.csv"
    path.write_text(path.read_text().replace("Sentence 4", "Sentence 0"))
    twice = protocol.create("official", corpora.read("emobank", root))
    told = leak(audit.audit(audit.of_protocol(twice)))
    assert told.check == "same text"
    assert told.detail.startswith("1 test clip is the very text of a clip in train or dev, such as doc0_5_20")


def test_without_a_corpus_nobody_listens_and_the_audit_says_so(table):
    found = statuses(table(HONEST))
    assert found["same sound"] == found["near-duplicate"] == "unknown"
    assert found["speaker"] == found["session"] == found["sentence"] == "clean"


@pytest.mark.parametrize(
    ("planted", "check", "words"),
    [
        ("1,c1.wav,train,cem,s3,z\n", "clip", "1 test clip is in train or dev as well, such as c1.wav"),
        ("1,c2.wav,train,cem,s9,v\n", "speaker", "50% of the test clips have a speaker that is in train or dev (cem)"),
        ("1,e1.wav,train,eve,s3,v\n", "session", "have a session that is in train or dev (s3)"),
        ("1,e1.wav,train,eve,s9,z\n", "sentence", "have a sentence that is in train or dev (z)"),
        ("1,c1.wav,dev,cem,s3,z\n", "dev = test", "the epoch with the best dev score was chosen on test"),
    ],
)
def test_a_planted_leak_is_found(table, planted, check, words):
    found = {finding.check: finding for finding in table(HONEST + planted).findings}
    assert found[check].status == "leak"
    assert words in found[check].detail
    assert found[check].folds == ("1",)


def test_dev_that_is_test_is_called_so(table):
    found = table("file,split,speaker\na.wav,train,ann\nb.wav,dev,ben\nb.wav,test,ben\n")
    assert {finding.check for finding in found.leaks} == {"clip", "dev = test", "speaker"}
    assert "dev is test" in next(f.detail for f in found.leaks if f.check == "dev = test")


def test_folds_that_are_each_others_dev_are_warned_of(table):
    found = table(
        "fold,file,split\n1,a.wav,train\n1,b.wav,dev\n1,c.wav,test\n2,a.wav,train\n2,c.wav,dev\n2,b.wav,test\n"
    )
    (warned,) = (finding for finding in found.findings if finding.check == "choice across folds")
    assert warned.status == "warning"
    assert "100% of the test clips are dev in another fold" in warned.detail


def test_speakers_are_read_from_names_that_state_them(table):
    found = table("file,split\nwav/03a01Fa.wav,train\nwav/03a02Na.wav,test\n")
    assert "(emodb 03)" in leak(found).detail


def test_a_missing_speaker_is_not_a_clean_one(table):
    found = table("file,split,speaker\na.wav,train,\nb.wav,test,ben\n")
    (speaker,) = (finding for finding in found.findings if finding.check == "speaker")
    assert (speaker.status, speaker.detail) == (
        "unknown",
        "no speaker of test is in train or dev; no speaker is known of 1 clip",
    )


@pytest.mark.parametrize(
    ("split", "words"),
    [("train", "has 2 clips to train and 0 to test on"), ("test", "has 0 clips to train and 2 to test on")],
)
def test_a_fold_with_one_side_only_is_refused(table, split, words):
    with pytest.raises(ProtocolError, match=rf"splits.csv, fold 3: {words}; an audit compares the two"):
        table(HONEST + f"3,a1.wav,{split},ann,s1,x\n3,b1.wav,{split},ben,s2,y\n")


def test_each_of_several_test_sets_is_a_fold(table):
    found = table("file,split,speaker\na.wav,train,ann\nb.wav,test1,ben\nc.wav,test2,ann\n")
    assert leak(found).folds == ("1-test2",)


def test_a_clip_in_train_and_dev_is_warned_of(table):
    found = {finding.check: finding for finding in table(HONEST + "1,a1.wav,dev,ann,s1,x\n").findings}
    assert (found["clip"].status, found["clip"].folds) == ("warning", ("1",))
    assert found["clip"].detail == "1 dev clip is in train as well, such as a1.wav; dev scores flatter"


def test_a_path_may_be_written_in_many_ways(table):
    found = table("file,split,speaker\nb.wav,train,\n./c/../b.wav,test,\n")
    assert "1 test clip is in train or dev as well, such as b.wav" in leak(found).detail


@pytest.mark.parametrize(
    ("times", "status", "words"),
    [
        (
            "2,5",
            "leak",
            "1 test clip is partly the same stretch of a file as a clip in train or dev, such as a.wav [2, 5] = "
            "a.wav [0, 3]",
        ),
        (",", "leak", "such as a.wav = a.wav [0, 3]"),
        (
            "3,5",
            "warning",
            "1 test clip is cut out of a file that train or dev have other stretches of, such as a.wav: the same room",
        ),
    ],
)
def test_stretches_of_one_file_on_both_sides_are_found(table, times, status, words):
    found = table(f"file,start,end,split\na.wav,0,3,train\nc.wav,,,train\na.wav,{times},test\nd.wav,,,test\n")
    (finding,) = (finding for finding in found.findings if finding.check == "recording")
    assert (finding.status, finding.folds) == (status, ("1",))
    assert words in finding.detail
    assert statuses(found)["clip"] == "clean"


def test_overlapping_stretches_in_train_and_dev_are_warned_of(table):
    found = table("file,start,end,split\na.wav,0,3,train\na.wav,2,5,dev\nd.wav,,,test\n")
    (finding,) = (finding for finding in found.findings if finding.check == "recording")
    assert finding.status == "warning"
    assert "1 dev clip is partly the same stretch of a file as a clip in train" in finding.detail


def test_a_shared_recording_is_expected_where_speakers_are_shared(tmp_path):
    (tmp_path / "splits.csv").write_text("file,start,end,split\na.wav,0,3,train\na.wav,3,5,test\n")
    division = audit.of_table(tmp_path / "splits.csv")
    found = audit.audit(audit.Division("x", division.folds, division.known, ("speaker",)))
    (finding,) = (finding for finding in found.findings if finding.check == "recording")
    assert finding.status == "shared"
    assert "to be expected where the protocol shares speakers" in finding.detail


def test_cells_and_names_of_files_are_never_compared(table):
    found = table("file,split,speaker\n03a01Fa.wav,train,03\n08a01Fa.wav,train,08\n03a02Na.wav,test,\n")
    (speaker,) = (finding for finding in found.findings if finding.check == "speaker")
    assert speaker.status == "unknown"
    assert speaker.detail == "no speaker of test is in train or dev; no speaker is known of 1 clip"


def test_without_dev_nothing_says_how_epochs_are_chosen(table):
    found = statuses(table("file,split\na.wav,train\nb.wav,test\n"))
    assert found["dev = test"] == "unknown"


@pytest.fixture
def printed(tmp_path: Path) -> Callable[..., str]:
    """What the command prints on a table of splits, on one line."""

    def run(text: str, *options: str, code: int) -> str:
        (tmp_path / "splits.csv").write_text(text)
        result = CliRunner().invoke(app, ["audit", str(tmp_path / "splits.csv"), *options])
        assert result.exit_code == code, result.output
        return " ".join(result.output.split())

    return run


def test_the_command_says_what_it_could_not_look_for(printed):
    assert "No leak found; 2 checks could not be made." in printed(HONEST, code=0)
    assert "1 leak found; 2 checks could not be made. Numbers under this division say too much." in printed(
        HONEST + "1,e1.wav,train,eve,s3,v\n", code=1
    )
    assert "No leaks." not in printed(HONEST, code=0)


def test_the_command_says_what_is_shared_by_design(capsys):
    from affetto.cli.numbers import _show

    _show(Audit("x", tuple(audit.Finding(kind, "shared", "", ()) for kind in ("speaker", "session", "sentence"))))
    printed = " ".join(capsys.readouterr().out.split())
    for what in ("voices", "sessions", "sentences"):
        assert f"By design, its numbers are about known {what} and say nothing about new ones." in printed


# With the sound at hand


def speech(rng: np.random.Generator, seconds: float = 2.5) -> np.ndarray:
    """Noise in syllables of changing colour: no two alike."""
    n = int(16_000 * seconds)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    parts = [
        np.fft.irfft(spectrum * np.exp(-0.5 * ((np.arange(len(spectrum)) / n * 16_000 - f) / 250) ** 2), n)
        for f in rng.uniform(300, 3300, 12)
    ]
    envelopes = [np.abs(np.interp(np.arange(n), np.linspace(0, n, 14), rng.standard_normal(14))) for _ in parts]
    mixed = sum(part * envelope for part, envelope in zip(parts, envelopes, strict=True))
    return 0.5 * mixed / np.abs(mixed).max()


@pytest.fixture
def recordings(tmp_path: Path) -> Callable[..., Corpus]:
    """A corpus of three speakers with four clips each; one of ben's may be made from one of ann's."""

    def make(guise: Callable[[np.ndarray], np.ndarray] | None = None) -> Corpus:
        rng = np.random.default_rng(0)
        rows = ["file,emotion,speaker"]
        for speaker in ("ann", "ben", "cem"):
            for number in range(4):
                file = f"{speaker}{number}.wav"
                wave = speech(rng)
                if guise and file == "ben0.wav":
                    wave = guise(soundfile.read(tmp_path / "ann0.wav")[0])
                soundfile.write(tmp_path / file, wave, 16_000)
                rows.append(f"{file},{'anger' if number % 2 else 'neutral'},{speaker}")
        (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
        return corpora.read("table", tmp_path / "labels.csv")

    return make


def audited(corpus: Corpus) -> Audit:
    return audit.audit(audit.of_protocol(protocol.create("leave-one-speaker-out", corpus)))


def test_recordings_of_their_own_pass(recordings):
    found = audited(recordings())
    assert not found.leaks
    assert statuses(found)["same sound"] == statuses(found)["near-duplicate"] == "clean"


def dealt_out(folder: Path, corpus: Corpus | None, rows: str) -> audit.Division:
    (folder / "splits.csv").write_text(rows)
    return audit.of_table(folder / "splits.csv", corpus)


def test_with_a_corpus_the_columns_of_the_table_still_count(recordings, tmp_path, printed):
    rows = "file,split,session,text\nann0.wav,train,1,x\nben0.wav,dev,2,y\n./cem0.wav,test,1,z\n"
    division = dealt_out(tmp_path, recordings(), rows)
    finding = leak(audit.audit(division))
    assert (finding.check, finding.detail) == (
        "session",
        "100% of the test clips have a session that is in train or dev (1)",
    )
    found = statuses(audit.audit(division))
    assert found["speaker"] == found["sentence"] == found["same sound"] == "clean"  # speakers are the corpus's
    assert "1 leak found." in printed(rows, "--corpus", str(tmp_path / "labels.csv"), code=1)


def test_speakers_of_the_table_are_not_mixed_with_the_corpus_s(recordings, tmp_path):
    rows = "file,split,speaker\nann0.wav,train,1\nben0.wav,dev,2\nann1.wav,test,\n"
    division = dealt_out(tmp_path, recordings(), rows)
    assert statuses(audit.audit(division))["speaker"] == "unknown"


def test_a_table_with_a_clip_that_the_corpus_lacks_is_refused(recordings, tmp_path):
    with pytest.raises(ProtocolError, match="table has no clip dia0.wav from 0 s; check the names"):
        dealt_out(tmp_path, recordings(), "file,split\nann0.wav,train\ndia0.wav,test\n")


def test_a_copy_in_train_and_dev_is_warned_of(recordings, tmp_path):
    rows = "file,split\nann0.wav,train\nben0.wav,dev\ncem0.wav,test\n"
    found = audit.audit(dealt_out(tmp_path, recordings(lambda wave: wave), rows))
    (finding,) = (finding for finding in found.findings if finding.check == "same sound")
    assert (finding.status, finding.folds) == ("warning", ("1",))
    assert finding.detail == (
        "1 dev clip is the very sound of a clip in train, such as ben0.wav = ann0.wav; dev scores flatter"
    )


def test_a_copy_under_another_name_is_found(recordings):
    finding = leak(audited(recordings(lambda wave: wave)))
    assert finding.check == "same sound"
    assert "ann0.wav = ben0.wav" in finding.detail
    assert finding.folds == ("ann", "ben")  # tested in one, learned from in the other, and the reverse


@pytest.mark.parametrize(
    "guise",
    [
        lambda wave: 0.3 * wave,
        lambda wave: wave + 0.01 * np.random.default_rng(1).standard_normal(len(wave)),
        lambda wave: np.concatenate([np.zeros(4000), wave]),
    ],
    ids=["softer", "noisy", "later"],
)
def test_a_copy_in_disguise_is_found(recordings, guise):
    finding = leak(audited(recordings(guise)))
    assert finding.check == "near-duplicate"
    assert "ben0.wav" in finding.detail and "ann0.wav" in finding.detail


def test_a_random_division_of_emodb_shares_every_speaker(emodb_root):
    corpus = corpora.read("emodb", emodb_root)
    dealt = protocol.create("emodb-random80", corpus)
    division = audit.of_protocol(dealt)
    found = audit.audit(audit.Division(dealt.id, division.folds, division.known))  # as if nobody had declared it
    assert {finding.check for finding in found.leaks} == {"speaker", "sentence"}
    assert all(finding.detail.startswith("100% of the test clips") for finding in found.leaks)
    declared = audit.audit(audit.Division(dealt.id, division.folds, division.known, dealt.shares))
    assert not declared.leaks
    assert statuses(declared)["speaker"] == "shared"


# Settings and normalisers


def test_settings_written_after_a_look_at_test_are_found(recordings):
    dealt = protocol.create("leave-one-speaker-out", recordings())
    found = audit.tuned(dealt, ("ben",))
    assert (found.status, found.folds) == ("leak", ("ben",))


def test_settings_are_clean_only_when_somebody_declares_it(recordings):
    dealt = protocol.create("leave-one-speaker-out", recordings())
    silent = audit.tuned(dealt, None)
    assert silent.status == "unknown"
    assert silent.detail == ("the experiment does not say whose scores were looked at when its settings were written")
    declared = audit.tuned(dealt, ())
    assert declared.status == "clean"
    assert declared.detail == "the experiment declares that nobody's scores were looked at"
    with pytest.raises(ConfigError, match="tuned_on: table has no speaker zoe; its speakers are ann, ben, cem"):
        audit.tuned(dealt, ("zoe", "ben"))


def test_settings_written_on_speakers_that_no_fold_tests_are_clean(recordings):
    dealt = protocol.create("leave-one-speaker-out", recordings())
    without = protocol.Protocol("x", dealt.corpus, dealt.folds[:1], rule="", dev_rule="")
    found = audit.tuned(without, ("ben",))
    assert (found.status, found.detail) == (
        "clean",
        "settings were written after looking at speakers ben, whom no fold tests",
    )


@pytest.fixture
def bench(tiny_experiment, synthetic, tmp_path) -> Bench:
    return Bench.prepare(
        tiny_experiment(epochs=3),
        corpora.read("table", synthetic),
        cache=FeatureCache(tmp_path),
        device=torch.device("cpu"),
        precision="fp32",
    )


def test_a_training_that_hears_test_clips_is_found(bench, monkeypatch):
    dealt = protocol.create("speaker-4fold", bench.corpus)
    assert audit.touched(dealt, bench).status == "clean"
    monkeypatch.setattr(training, "_chunks", lambda rows: [range(len(bench.corpus))])  # the normaliser sees everything
    found = audit.touched(dealt, bench)
    assert found.status == "leak"
    assert found.detail == "a training listened to 24 of its test clips"


def test_a_choice_of_settings_that_hears_test_clips_is_found(bench, monkeypatch):
    dealt = protocol.create("speaker-4fold", bench.corpus)
    grid = ChooseSettings(grid={"training.epochs": [2, 3], "training.learning_rate": [0.01]})
    choosing = replace(bench, experiment=bench.experiment.model_copy(update={"choose": grid}))
    found = audit.touched(dealt, choosing)
    assert found.status == "clean"
    assert found.detail == "a training with its choice of settings was watched in fold ann: it listened to no test clip"
    everyone = range(len(bench.corpus))
    monkeypatch.setattr(Bench, "_leaving_out", lambda self, rows: [(rows, everyone)])
    found = audit.touched(dealt, choosing)
    assert (found.status, found.detail) == ("leak", "choosing settings listened to 24 test clips")


def features(folder: Path, values: np.ndarray) -> Path:
    files = ["a1.wav", "b1.wav", "c1.wav", "d1.wav"]
    path = folder / "features.csv"
    pd.DataFrame(values, columns=[f"f{i}" for i in range(values.shape[1])]).assign(file=files).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("rows", "status", "words"),
    [
        ([0, 1], "clean", "its mean and deviation are those of train (and dev)"),
        ([0, 1, 2], "leak", "its mean and deviation are those of everything"),
        ([2], "leak", "its mean and deviation are those of test"),
        ([0, 3], "unknown", "it was fitted on none of the splits as they are"),
    ],
)
def test_a_normaliser_tells_by_its_numbers_what_it_was_fitted_on(tmp_path, rows, status, words):
    values = np.random.default_rng(0).standard_normal((4, 3))
    scaler = sklearn.preprocessing.StandardScaler().fit(values[rows])
    stored = tmp_path / "scaler.json"
    stored.write_text(json.dumps({"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}))
    (tmp_path / "splits.csv").write_text("".join(HONEST.splitlines(keepends=True)[:4]))
    division = audit.of_table(tmp_path / "splits.csv")
    found = audit.normaliser(division, features(tmp_path, values), stored)
    assert (found.status, found.detail) == (status, words)


def judged(folder: Path, values: np.ndarray, content: object, *, folds: int = 1) -> audit.Finding:
    """What is found of a normaliser's JSON on HONEST's first folds."""
    stored = folder / "scaler.json"
    stored.write_text(json.dumps(content))
    (folder / "splits.csv").write_text("".join(HONEST.splitlines(keepends=True)[: 1 + 3 * folds]))
    return audit.normaliser(audit.of_table(folder / "splits.csv"), features(folder, values), stored)


def moments(values: np.ndarray) -> dict[str, list[float]]:
    scaler = sklearn.preprocessing.StandardScaler().fit(values)
    return {"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}


VALUES = np.random.default_rng(0).standard_normal((4, 3))


def test_normalisers_are_kept_by_the_names_of_the_folds(tmp_path):
    of_train = moments(VALUES[:2])
    with pytest.raises(ConfigError, match="one such object a fold by the names 1; got fold1"):
        judged(tmp_path, VALUES, {"fold1": of_train})
    assert judged(tmp_path, VALUES, {"1": of_train}).status == "clean"
    half = judged(tmp_path, VALUES, {"1": of_train}, folds=2)
    assert (half.status, half.detail, half.folds) == ("unknown", "no normaliser is stored for it", ("2",))


def test_a_normaliser_that_fits_train_as_well_as_test_is_not_cleared(tmp_path):
    alike = np.stack([VALUES[0], VALUES[1], VALUES[0], VALUES[3]])  # of c, who is tested, as of a, who trains
    found = judged(tmp_path, alike, moments(alike[:1]))
    assert found.status == "unknown"
    assert found.detail == "cannot be told apart: train, test, train and test have the same mean and deviation"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1], r"expected an object with 'mean' and 'scale', or one a fold, got \[1\]"),
        ({"mean": [1.0, 2.0, 3.0], "scale": [1.0, 2.0]}, "as many numbers in 'mean' as in 'scale', got 3 and 2"),
        ({"mean": [1.0, 2.0]}, "expected 'mean' and 'scale', a list of numbers each"),
        ({"mean": 1.0, "scale": 1.0}, "as many numbers in 'mean' as in 'scale'"),
        ({"1": [1]}, "fold 1: expected 'mean' and 'scale'"),
        ({}, "got nothing"),
        ({"mean": [float("nan")] * 3, "scale": [1.0] * 3}, "what is not a number"),
        ({"mean": [1.0], "scale": [1.0]}, "the normaliser has 1 numbers, the features 3"),
    ],
)
def test_what_is_no_normaliser_is_refused(tmp_path, content, words):
    with pytest.raises(ConfigError, match=words):
        judged(tmp_path, VALUES, content)


def test_features_without_numbers_or_of_other_clips_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least one column of numbers, got file$"):
        judged(tmp_path, np.zeros((4, 0)), moments(VALUES))
    (tmp_path / "features.csv").write_text("file,f0\nz.wav,1\n")
    with pytest.raises(ConfigError, match="none of its files is a clip of splits.csv"):
        audit.normaliser(audit.of_table(tmp_path / "splits.csv"), tmp_path / "features.csv", tmp_path / "scaler.json")
