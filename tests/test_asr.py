import hashlib
from pathlib import Path

import numpy as np
import pytest

from affetto import audio, corpora
from affetto.asr import FasterWhisper, normalise, word_error_rate
from affetto.errors import CheckpointError, ConfigError

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="module")
def whisper(whisper_base) -> FasterWhisper:
    return FasterWhisper(whisper_base, language="de", device="cpu")


def test_whisper_base_is_the_one_that_was_published(whisper_base):
    digest = hashlib.sha256((whisper_base / "model.bin").read_bytes()).hexdigest()
    assert digest == "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"


def test_german_is_written_down_nearly_as_it_was_said(whisper):
    corpus = corpora.read("table", SAMPLES / "samples.csv")
    corpus = corpus.select(corpus.table.speaker < "14")
    heard = [whisper.transcribe(corpus.recording(row).waveform) for row in range(len(corpus))]
    rate, words = word_error_rate([text or "" for text in corpus.transcripts], heard)
    assert words == sum(len(text.split()) for text in corpus.table.text)
    assert rate < 0.25
    again = whisper.transcribe(corpus.recording(0).waveform)
    assert again == heard[0]
    # Processors round int8 sums differently; both are what is said.
    assert heard[0] in ("In 7 Stunden wird es soweit sein.", "In sieben Stunden wird es so weit sein.")


def test_a_model_says_who_it_is(whisper, tiny_english):
    assert whisper.name == "faster-whisper base-d01c3014 de"
    english = FasterWhisper(tiny_english, device="cpu")
    assert (english.language, english.name.split()[-1]) == ("en", "en")


def test_noise_is_no_speech_or_little(tiny_english):
    noise = 1e-3 * np.random.default_rng(0).standard_normal(audio.SAMPLE_RATE).astype(np.float32)
    assert len(FasterWhisper(tiny_english, device="cpu").transcribe(noise).split()) <= 5


def test_models_and_languages_that_are_not_there_are_refused(tiny_english, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match=r"has no model\.bin; expected a Whisper model in CTranslate2's format"):
        FasterWhisper(tmp_path)
    with pytest.raises(CheckpointError, match=r"^basis: no such folder, and no model that can be had \(Invalid model"):
        FasterWhisper("basis")
    with pytest.raises(ConfigError, match=r"^--language de: .* knows en$"):
        FasterWhisper(tiny_english, language="de")
    (tmp_path / "model.bin").write_bytes(b"a letter")
    with pytest.raises(CheckpointError, match=r"no model that can be had"):
        FasterWhisper(tmp_path)


@pytest.mark.parametrize(("module", "use"), [("faster_whisper", lambda: FasterWhisper("base")), ("jiwer", None)])
def test_without_the_extra_the_message_names_it(module, use, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ConfigError, match=r"pip install 'affetto\[asr\]'"):
        use() if use else word_error_rate(["a"], ["b"])


# Word error rates


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's  Twenty-One, o’clock!", "it's twenty-one o'clock"),
        ("[LAUGHTER] well... [BREATHING]", "well"),
        ("Ça va, Zoë?", "ça va zoë"),
        (" -- ' - ", ""),
        ("ﬁne", "fine"),
        ("3.5 km", "3 5 km"),
    ],
)
def test_words_are_counted_without_case_punctuation_and_events(text, words):
    assert normalise(text) == words


def edits(gold: list[str], heard: list[str]) -> int:
    """Levenshtein's distance, by the book."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(gold, start=1):
        before, row = row, [i]
        for j, other in enumerate(heard, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
    return row[-1]


def test_the_word_error_rate_is_edits_over_words_of_all_together():
    rng = np.random.default_rng(0)
    gold = [" ".join(rng.choice(list("abcd"), rng.integers(1, 9))) for _ in range(50)]
    heard = [" ".join(rng.choice(list("abcd"), rng.integers(0, 9))) for _ in range(50)]
    wrong = sum(edits(a.split(), b.split()) for a, b in zip(gold, heard, strict=True))
    total = sum(len(text.split()) for text in gold)
    assert word_error_rate(gold, heard) == (pytest.approx(wrong / total), total)


def test_where_nothing_was_said_nothing_counts():
    assert word_error_rate(["yes", "[LAUGHTER]", ""], ["yes", "ha ha", "what"]) == (0.0, 1)
    rate, words = word_error_rate(["[SIGH]"], ["oh"])
    assert np.isnan(rate)
    assert words == 0
