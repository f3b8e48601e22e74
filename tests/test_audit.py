"""Every kind of leak is planted once, and must be found; an honest division must pass."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.preprocessing
import soundfile
import torch

from affetto import audit, corpora, protocol, training
from affetto.audit import Audit
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.corpora import Corpus

HONEST = """\
fold,file,split,speaker,session,sentence
1,a1.wav,train,ann,s1,x
1,b1.wav,dev,ben,s2,y
1,c1.wav,test,cem,s3,z
2,b1.wav,train,ben,s2,y
2,a1.wav,dev,ann,s1,x
2,d1.wav,test,dia,s4,w
"""
CLEAN = ("clip", "dev = test", "speaker", "session", "sentence", "choice across folds", "coverage")


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
    found = audit.tuned(dealt, ("ben",), by_hand=True)
    assert (found.status, found.folds) == ("leak", ("ben",))
    assert audit.tuned(dealt, (), by_hand=False).status == "clean"


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


def features(folder: Path, values: np.ndarray) -> Path:
    files = ["a1.wav", "b1.wav", "c1.wav", "d1.wav"]
    path = folder / "features.csv"
    pd.DataFrame(values, columns=["f0", "f1", "f2"]).assign(file=files).to_csv(path, index=False)
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
