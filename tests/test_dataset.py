import csv
from pathlib import Path

import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from affetto import corpora, dataset
from affetto.batch import Padded, pad
from affetto.cache import FeatureCache
from affetto.corpora.distorted import Distorted
from affetto.dataset import Features, Recordings, Views, shuffled_batches
from affetto.distortions import named
from affetto.errors import AudioError, CorpusError
from affetto.frontend import PRESETS, LogMel
from affetto.models import SpeechModel
from affetto.tasks import Categories

CPU = torch.device("cpu")


class Envelope(nn.Module):
    """A stream that counts what it is given: mean loudness of each 10 ms, (T, 1)."""

    width = 1

    def __init__(self, fingerprint: str) -> None:
        super().__init__()
        self.fingerprint = fingerprint
        self.clips = 0

    def forward(self, waveforms: Padded) -> Padded:
        self.clips += len(waveforms)
        whole = waveforms.values[:, : waveforms.values.shape[1] // 160 * 160]
        frames = whole.reshape(len(whole), -1, 160).abs().mean(dim=2, keepdim=True)
        return Padded(frames, waveforms.lengths // 160)


@pytest.fixture
def table(toy_tree):
    """Three utterances in two files: anger, neutral, happiness."""
    return toy_tree("table")


@pytest.fixture
def features(table, tmp_path):
    """Makes features of the table through a fresh stream; returns both."""

    def make(fingerprint: str = "envelope", **settings) -> tuple[Features, Envelope]:
        corpus = corpora.read("table", table)
        stream = Envelope(fingerprint)
        arguments = {"cache": FeatureCache(tmp_path / "cache"), "device": CPU, "precision": "fp32", **settings}
        task = arguments.pop("task", Categories(corpus.categories))
        return Features(corpus, SpeechModel({"loudness": stream}), task, **arguments), stream

    return make


def test_each_clip_is_computed_once(features):
    first, stream = features()
    assert stream.clips == 3
    second, stream = features()
    assert stream.clips == 0
    for row in range(3):
        assert torch.equal(first.get(row, "loudness"), second.get(row, "loudness"))


def test_features_are_those_of_the_sound_itself_not_of_its_padding(features):
    found, _ = features()
    assert found.lengths[:2] == [60, 60]
    for row in range(3):
        waveform = torch.from_numpy(found.corpus.recording(row).waveform)
        alone = Envelope("").forward(Padded(waveform[None], torch.tensor([len(waveform)]))).values[0]
        torch.testing.assert_close(found.get(row, "loudness"), alone)


@pytest.fixture
def views(features, table, tmp_path):
    """The three utterances as they are, and half as loud; the task asks for classes."""
    clean, stream = features()
    quiet = Distorted.of(clean.corpus, named("gain"), -20.0)
    task, cache = Categories(clean.corpus.categories), FeatureCache(tmp_path / "cache")
    return Views([clean, Features(quiet, SpeechModel({"loudness": stream}), task, cache=cache, device=CPU)])


def test_copies_of_clips_stand_behind_them(views):
    assert len(views) == 3
    assert views.copies([2, 0]) == [2, 0, 5, 3]
    batch = views.batch([1, 4, 5])
    loud, quiet, other = batch.streams["loudness"].unbind()
    torch.testing.assert_close(quiet, loud / 10)
    assert not torch.allclose(other.mean(), quiet.mean(), rtol=1e-3)
    assert batch.targets.tolist() == [views.targets[row].item() for row in (1, 1, 2)]
    assert views.lengths == 2 * views.views[0].lengths


def test_a_copy_that_was_heard_is_a_clip_that_was_heard(views):
    views.heard = set()
    views.batch([4])
    assert views.heard == {1}
    views.heard = {0}
    assert views.heard == {0}
    views.batch([2])
    assert views.heard == {0, 2}


def test_a_speakers_copies_are_a_voice_of_their_own(views):
    views.views[0].corpus.table["speaker"] = "ann"
    loud, quiet = views.baselines([0, 3])
    assert torch.equal(loud.summaries, views.views[0].get(0, "loudness"))
    torch.testing.assert_close(quiet.summaries, loud.summaries / 10)


def test_a_renamed_file_is_a_hit(features, table):
    features()
    (table.parent / "calls" / "monday.wav").rename(table.parent / "calls" / "noon.wav")
    table.write_text(table.read_text().replace("monday", "noon"))
    _, stream = features()
    assert stream.clips == 0


def test_a_changed_byte_is_a_miss_for_that_file_alone(features, table):
    features()
    path = table.parent / "calls" / "tuesday.wav"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    _, stream = features()
    assert stream.clips == 1


def test_another_stretch_of_the_same_file_is_a_miss(features, table):
    features()
    table.write_text(table.read_text().replace("monday.wav,0,0.6", "monday.wav,0,0.5"))
    changed, stream = features()
    assert stream.clips == 1
    assert changed.lengths[0] == 50


def test_other_settings_and_another_precision_are_misses(features):
    features()
    _, stream = features("envelope, but squared")
    assert stream.clips == 3
    _, stream = features(precision="bf16")
    assert stream.clips == 3


def test_a_torn_file_is_computed_again(features, tmp_path):
    before, _ = features()
    torn = sorted((tmp_path / "cache").rglob("*.safetensors"))[0]
    content = torn.read_bytes()
    torn.unlink()  # `before` still looks into the old file
    torn.write_bytes(content[:50])
    after, stream = features()
    assert stream.clips == 1
    for row in range(3):
        assert torch.equal(before.get(row, "loudness"), after.get(row, "loudness"))


def test_affetto_cache_is_where_features_go(features, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFETTO_CACHE", str(tmp_path / "chosen"))
    features(cache=FeatureCache())
    assert len(list((tmp_path / "chosen").rglob("*.safetensors"))) == 3


def test_a_batch_holds_each_rows_features_and_target(features):
    found, _ = features()
    batch = found.batch([2, 0])
    stream = batch.streams["loudness"]
    assert stream.lengths.tolist() == [found.lengths[2], found.lengths[0]]
    for row, sequence in zip([2, 0], stream.unbind(), strict=True):
        assert torch.equal(sequence, found.get(row, "loudness"))
    labels = found.corpus.categories
    assert [labels[i] for i in batch.targets.tolist()] == ["happiness", "anger"]


def test_what_memory_cannot_hold_is_read_from_disk(features, monkeypatch):
    before, _ = features()
    monkeypatch.setattr(dataset, "MEMORY", 300)
    after, _ = features()
    for row in (2, 1, 0):
        assert torch.equal(before.get(row, "loudness"), after.get(row, "loudness"))


def test_a_clip_that_was_asked_for_was_heard(features):
    found, _ = features()
    found.heard.clear()
    found.get(2, "loudness")
    found.batch([0])
    assert found.heard == {0, 2}


@pytest.fixture
def standardised(synthetic, tmp_path):
    """Makes features of the synthetic emotions, less some rows, standardised by speaker."""

    def make(keep=lambda table: table.speaker != "nobody") -> Features:
        corpus = corpora.read("table", synthetic)
        corpus = corpus.select(keep(corpus.table))
        return Features(
            corpus,
            SpeechModel({"loudness": Envelope("envelope")}),
            Categories(("anger", "happiness", "sadness")),
            cache=FeatureCache(tmp_path / "cache"),
            device=CPU,
            precision="fp32",
            speaker_statistics=True,
        )

    return make


def frames(found: Features, speaker: str) -> torch.Tensor:
    rows = [row for row, name in enumerate(found.corpus.table.speaker) if name == speaker]
    return torch.cat([found.get(row, "loudness") for row in rows])


def test_each_speakers_frames_have_mean_0_and_deviation_1(standardised):
    found = standardised()
    for speaker in found.corpus.speakers:
        assert frames(found, speaker).mean().item() == pytest.approx(0, abs=1e-5)
        assert frames(found, speaker).std().item() == pytest.approx(1, abs=1e-5)


def test_other_speakers_and_labels_do_not_matter_to_a_speakers_statistics(standardised):
    alone = standardised(lambda table: table.speaker == "ann")
    assert torch.equal(frames(standardised(), "ann"), frames(alone, "ann"))
    less = standardised(lambda table: table.emotion != "anger")
    assert not torch.equal(frames(less, "ann")[-50:], frames(alone, "ann")[-50:])


def test_a_speaker_of_one_frame_has_nothing_to_be_compared_with(synthetic, tmp_path):
    class Mean(Envelope):
        def forward(self, waveforms: Padded) -> Padded:
            frames = super().forward(waveforms)
            return Padded(frames.values.mean(dim=1, keepdim=True), torch.ones_like(frames.lengths))

    corpus = corpora.read("table", synthetic)
    corpus = corpus.select((corpus.table.speaker != "ann") | ~corpus.table.speaker.duplicated())
    arguments = {"cache": FeatureCache(tmp_path), "device": CPU, "precision": "fp32", "speaker_statistics": True}
    found = Features(corpus, SpeechModel({"loudness": Mean("mean")}), Categories(corpus.categories), **arguments)
    assert frames(found, "ann").tolist() == [[0.0]]


def test_statistics_by_speaker_need_speakers(features):
    with pytest.raises(CorpusError, match="^table: statistics by speaker need a speaker in every row$"):
        features(speaker_statistics=True)


def test_progress_is_told_of_computed_clips(features):
    told = []
    features(progress=lambda *news: told.append(news))
    assert told == [("features", 1, 3), ("features", 2, 3), ("features", 3, 3)]
    features(progress=lambda *news: told.append(news))
    assert len(told) == 3, "they were computed again"


def test_an_emotion_outside_the_classes_is_refused(features):
    with pytest.raises(CorpusError, match="the corpus has happiness; this model's classes are anger, neutral"):
        features(task=Categories(("anger", "neutral")))


def test_a_clip_that_cannot_be_heard_stops_and_is_named(features, table):
    (table.parent / "calls" / "tuesday.wav").write_bytes(b"a letter")
    with pytest.raises(AudioError, match=r"^calls/tuesday\.wav: not audio"):
        features()


def test_a_missing_file_is_named(features, table):
    (table.parent / "calls" / "tuesday.wav").unlink()
    with pytest.raises(CorpusError, match=r"tuesday\.wav is missing"):
        features()


def test_many_clips_are_computed_in_several_goes(tmp_path, synthetic):
    corpus = corpora.read("table", synthetic)
    stream = Envelope("envelope")
    found = Features(
        corpus,
        SpeechModel({"loudness": stream}),
        Categories(corpus.categories),
        cache=FeatureCache(tmp_path),
        device=CPU,
        precision="fp32",
    )
    assert stream.clips == len(found) == 96
    with synthetic.open() as file:
        for row, line in enumerate(csv.DictReader(file)):
            samples = soundfile.info(Path(synthetic.parent) / line["file"]).frames
            assert found.lengths[row] == samples // 160


@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=200),
    size=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    pool=st.integers(1, 9),
)
def test_an_epoch_deals_each_row_once_in_batches_of_at_most_the_size(lengths, size, seed, pool):
    batches = list(shuffled_batches(lengths, size, generator=torch.Generator().manual_seed(seed), pool=pool))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)
    assert len(batches) == -(-len(lengths) // size)


def test_the_order_follows_the_generator_and_neighbours_are_alike_in_length():
    lengths = torch.randint(50, 500, (256,), generator=torch.Generator().manual_seed(0)).tolist()

    def epoch(seed: int) -> list[list[int]]:
        return list(shuffled_batches(lengths, 16, generator=torch.Generator().manual_seed(seed)))

    assert epoch(1) == epoch(1)
    assert epoch(1) != epoch(2)
    spread = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in epoch(1)]
    assert sum(spread) / len(spread) < 0.3 * (max(lengths) - min(lengths))


# Words


class Letters(nn.Module):
    """A stream of words: how often each of a, b, c is in what was said, (1, 3); counts what it is given."""

    hears = "words"
    width = 3
    fingerprint = "letters"

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def forward(self, words: list[str]) -> Padded:
        self.texts += words
        counts = torch.tensor([[[text.count(letter) for letter in "abc"]] for text in words], dtype=torch.float32)
        return Padded(counts, torch.ones(len(words), dtype=torch.int64))


@pytest.fixture
def bimodal(table, tmp_path):
    """Makes features of the table with words of its utterances; returns also what was heard of them."""

    def make(*words: str | None, streams=(Letters,), **settings) -> tuple[Features, Letters]:
        corpus = corpora.read("table", table)
        corpus = corpora.Corpus(corpus.info, corpus.root, corpus.table.assign(transcript=list(words)))
        made = {kind.__name__: kind() if kind is Letters else kind("envelope") for kind in streams}
        arguments = {"cache": FeatureCache(tmp_path / "cache"), "device": CPU, "precision": "fp32", **settings}
        return Features(corpus, SpeechModel(made), Categories(corpus.categories), **arguments), made["Letters"]

    return make


def test_words_are_heard_once_however_often_they_are_said(bimodal):
    found, stream = bimodal("a cab", "", "a cab")
    assert sorted(stream.texts) == ["", "a cab", "a cab"]  # both were missing when it looked
    assert [found.get(row, "Letters").tolist() for row in range(3)] == [[[2, 1, 1]], [[0, 0, 0]], [[2, 1, 1]]]
    _, stream = bimodal("a cab", "", "abc")
    assert stream.texts == ["abc"]


def test_words_that_nobody_knows_are_no_words(bimodal):
    found, stream = bimodal("a cab", None, "  ")
    assert sorted(stream.texts) == ["", "", "a cab"]
    assert found.get(1, "Letters").tolist() == found.get(2, "Letters").tolist() == [[0, 0, 0]]


def test_who_hears_words_alone_needs_no_sound(bimodal, table):
    for path in (table.parent / "calls").iterdir():
        path.unlink()
    found, _ = bimodal("a", "b", "c")
    assert found.lengths == [1, 1, 1]
    with pytest.raises(CorpusError, match="is missing"):
        bimodal("a", "b", "c", streams=(Letters, Envelope))


def test_sound_and_words_of_an_utterance_come_together(bimodal):
    found, _ = bimodal("a", "b", "c", streams=(Letters, Envelope))
    batch = found.batch([2, 0])
    assert batch.streams["Letters"].values.tolist() == [[[0, 0, 1]], [[1, 0, 0]]]
    assert batch.streams["Envelope"].lengths.tolist() == [found.lengths[2], 60]


def test_a_corpus_without_words_is_refused_where_words_are_heard(bimodal):
    with pytest.raises(
        CorpusError, match="^table: no utterance has a transcript, and .*; give a table of them with --tr"
    ):
        bimodal(None, "", None)


def test_words_know_no_speaker(spoken, tmp_path):
    corpus = corpora.read("table", spoken)
    found = Features(
        corpus,
        SpeechModel({"letters": Letters(), "loudness": Envelope("envelope")}),
        Categories(corpus.categories),
        cache=FeatureCache(tmp_path),
        device=CPU,
        speaker_statistics=True,
    )
    assert found.get(1, "letters").tolist() == [[corpus.transcripts[1].count(letter) for letter in "abc"]]
    assert frames(found, "ann").mean().item() == pytest.approx(0, abs=1e-5)


# Recordings without labels


@pytest.fixture
def listener():
    """A model that hears log-mel frames."""
    return SpeechModel({"log_mel": LogMel(PRESETS["mel160"])})


@pytest.fixture
def heard(monkeypatch):
    """Rows whose sound was read."""
    rows: list[int] = []
    honest = corpora.Corpus.recording

    def recording(corpus, row):
        rows.append(row)
        return honest(corpus, row)

    monkeypatch.setattr(corpora.Corpus, "recording", recording)
    return rows


@pytest.mark.parametrize("name", ["speech", "table"])
def test_recordings_are_the_frames_of_the_models_stream(name, toy_tree, listener):
    corpus = corpora.read(name, toy_tree(name))
    data = Recordings(corpus, listener)
    frames = [listener.streams["log_mel"](pad([torch.from_numpy(corpus.recording(row).waveform)])) for row in range(3)]
    assert len(data) == len(data.lengths) == len(corpus)
    assert data.heard == set()
    batch = data.batch([2, 0])
    assert data.heard == {0, 2}
    assert list(batch.streams) == ["log_mel"]
    for row, got in zip((2, 0), batch.streams["log_mel"].unbind(), strict=True):
        assert torch.equal(got, frames[row].values[0])
        assert not got.requires_grad
    assert batch.targets.shape == (2, 0)
    for row, clip in enumerate(frames):
        assert abs(data.lengths[row] - clip.values.shape[1]) <= 1  # known before anything is decoded


@pytest.mark.parametrize(("kept", "again"), [(0, [0, 1, 2]), (1, [1, 2]), (2, [2]), (3, [])])
def test_no_more_stays_in_memory_than_is_allowed(kept, again, toy_tree, listener, heard):
    corpus = corpora.read("table", toy_tree("table"))
    roomy = Recordings(corpus, listener)
    frames = [roomy.get(row) for row in range(3)]
    sizes = [clip.numel() * 4 for clip in frames]
    data = Recordings(corpus, listener, memory=sum(sizes[:kept]))
    heard.clear()
    first = [data.get(row) for row in range(3)]
    assert heard == [0, 1, 2]
    heard.clear()
    second = [data.get(row) for row in range(3)]
    assert heard == again
    for clips in (first, second):
        assert all(torch.equal(clip, frames[row]) for row, clip in enumerate(clips))


def test_recordings_write_nothing_to_disk(toy_tree, listener, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFETTO_CACHE", str(tmp_path / "cache"))
    corpus = corpora.read("speech", toy_tree("speech"))

    def on_disk() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    before = on_disk()
    Recordings(corpus, listener).batch(range(len(corpus)))
    assert on_disk() == before


def test_recordings_listen_on_the_cpu_wherever_the_model_goes(toy_tree, listener):
    data = Recordings(corpora.read("speech", toy_tree("speech")), listener)
    listener.to("meta")
    assert data.get(0).device == CPU


def test_progress_is_told_of_lengths_and_a_missing_recording_is_named(toy_tree, listener):
    root = toy_tree("speech")
    corpus = corpora.read("speech", root)
    told = []
    Recordings(corpus, listener, progress=lambda *news: told.append(news))
    assert told == [("lengths", done, 4) for done in range(1, 5)]
    (root / "a.wav").unlink()
    with pytest.raises(AudioError, match=r"^a\.wav: "):
        Recordings(corpus, listener)
