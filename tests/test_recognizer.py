import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.special
import soundfile
import soxr
import torch

from affetto import (
    AudioError,
    CheckpointError,
    ConfigError,
    Prediction,
    Recognizer,
    audio,
    calibration,
    corpora,
    models,
    pretrained,
    runs,
)
from affetto.cache import FeatureCache
from affetto.checkpoint import Checkpoint, save
from affetto.recognizer import recognizer
from affetto.tasks import Categories

SAMPLES = Path(__file__).parents[1] / "samples"
CLIPS = sorted(SAMPLES.glob("*.wav"))
LABELS = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")


@pytest.fixture(scope="module")
def shipped() -> Recognizer:
    return Recognizer.from_pretrained(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def alone(shipped) -> list[Prediction]:
    """Each sample by itself, in float32."""
    return [shipped.predict(clip) for clip in CLIPS]


def distance(first: Prediction, second: Prediction) -> float:
    assert first.probabilities.keys() == second.probabilities.keys()
    return max(abs(first.probabilities[label] - second.probabilities[label]) for label in first.probabilities)


# The samples


def test_the_shipped_model_hears_at_least_six_of_the_seven_samples_as_meant(alone):
    corpus = corpora.read("table", SAMPLES / "samples.csv")
    meant = dict(zip(corpus.table.index.get_level_values("file"), corpus.table.emotion, strict=True))
    assert len(alone) == 7
    assert sum(heard.emotion == meant[Path(heard.file).name] for heard in alone) >= 6


def test_a_prediction_is_a_distribution_over_the_classes(shipped, alone):
    assert shipped.labels == LABELS
    for clip, heard in zip(CLIPS, alone, strict=True):
        assert tuple(heard.probabilities) == LABELS
        assert sum(heard.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert all(0 <= p <= 1 for p in heard.probabilities.values())
        assert heard.confidence == heard.probabilities[heard.emotion] == max(heard.probabilities.values())
        assert (heard.file, heard.start, heard.notes) == (str(clip), 0.0, ())
        assert heard.end == pytest.approx(soundfile.info(clip).duration)


# One recording, many formats


def pcm() -> tuple[np.ndarray, int]:
    return soundfile.read(CLIPS[0], dtype="int16")


SAME = {
    "str": lambda: str(CLIPS[0]),
    "bytes": lambda: CLIPS[0].read_bytes(),
    "stream": lambda: io.BytesIO(CLIPS[0].read_bytes()),
    "int16": lambda: pcm(),
    "float32": lambda: soundfile.read(CLIPS[0], dtype="float32"),
    "float64": lambda: soundfile.read(CLIPS[0], dtype="float64"),
    "int32": lambda: (pcm()[0].astype(np.int32) * 65_536, 16_000),
    "stereo": lambda: (np.stack([pcm()[0]] * 2, axis=1), 16_000),
    "channels first": lambda: (np.stack([pcm()[0]] * 2), 16_000),
    "flac": lambda: encoded("FLAC"),
    "aiff": lambda: encoded("AIFF"),
}


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, *pcm(), format=kind, subtype="PCM_16")
    return file.getvalue()


@pytest.mark.parametrize("source", SAME.values(), ids=SAME.keys())
def test_the_same_sound_in_any_lossless_form_gives_the_same_answer(source, shipped, alone):
    assert distance(shipped.predict(source()), alone[0]) < 1e-5


def test_an_open_file_is_a_source_and_arrays_have_no_name(shipped, alone):
    with CLIPS[0].open("rb") as stream:
        heard = shipped.predict(stream)
    assert distance(heard, alone[0]) < 1e-5
    assert heard.file == ""
    assert shipped.predict(pcm()).file == ""


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_a_higher_rate_gives_nearly_the_same_answer(rate, shipped, alone):
    for clip, expected in zip(CLIPS[:3], alone, strict=False):
        samples, _ = soundfile.read(clip)
        heard = shipped.predict((soxr.resample(samples, 16_000, rate, quality="VHQ"), rate))
        assert heard.emotion == expected.emotion
        assert distance(heard, expected) < 0.02
        assert heard.end == pytest.approx(expected.end, abs=1e-3)


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS")])
def test_lossy_forms_give_the_same_emotion(kind, subtype, shipped, alone):
    file = io.BytesIO()
    soundfile.write(file, *pcm(), format=kind, subtype=subtype)
    assert shipped.predict(file.getvalue()).emotion == alone[0].emotion


def test_what_is_odd_about_a_recording_is_noted(shipped):
    samples, _ = soundfile.read(CLIPS[0])
    low = shipped.predict((soxr.resample(samples, 16_000, 8_000), 8_000))
    assert low.notes == ("8000 Hz audio has nothing above 4000 Hz; models hear 16 kHz",)
    surround = shipped.predict((np.stack([samples] * 6, axis=1), 48_000))
    assert surround.notes == ("6 channels were averaged into one",)


# Many recordings


def test_a_batch_of_many_equals_many_batches_of_one(shipped, alone):
    together = list(shipped.predict_all(CLIPS))
    assert [heard.file for heard in together] == [str(clip) for clip in CLIPS]
    for single, batched in zip(alone, together, strict=True):
        assert batched.emotion == single.emotion
        assert distance(single, batched) < 1e-5


def test_in_bfloat16_labels_agree_and_probabilities_nearly(alone):
    rough = Recognizer.from_pretrained(device="cpu", precision="bf16")
    together = list(rough.predict_all(CLIPS))
    for single, one, batched in zip(alone, map(rough.predict, CLIPS), together, strict=True):
        assert single.emotion == one.emotion == batched.emotion
        assert distance(one, batched) < 0.02
        assert distance(single, batched) < 0.02


def test_small_batches_and_little_read_ahead_change_nothing(shipped, alone, monkeypatch):
    monkeypatch.setattr(recognizer, "BATCH_SECONDS", 5.0)
    monkeypatch.setattr(recognizer, "READ_AHEAD", 3)
    together = list(shipped.predict_all(CLIPS))
    assert [heard.file for heard in together] == [heard.file for heard in alone]
    assert all(distance(a, b) < 1e-5 for a, b in zip(alone, together, strict=True))


def test_the_order_is_that_of_the_sources(shipped, alone):
    order = [5, 0, 6, 2, 2]
    heard = list(shipped.predict_all([CLIPS[i] for i in order]))
    assert [prediction.file for prediction in heard] == [str(CLIPS[i]) for i in order]
    assert all(distance(prediction, alone[i]) < 1e-5 for prediction, i in zip(heard, order, strict=True))


def test_a_bad_file_in_the_middle_is_an_error_and_the_rest_go_on(shipped, alone, tmp_path):
    (tmp_path / "letter.wav").write_bytes(b"dear model")
    outcomes = list(shipped.predict_all([CLIPS[0], tmp_path / "letter.wav", tmp_path / "gone.wav", CLIPS[1]]))
    assert isinstance(outcomes[1], AudioError)
    assert outcomes[1].reason == "undecodable"
    assert str(outcomes[1]).startswith(str(tmp_path / "letter.wav"))
    assert outcomes[2].reason == "missing"
    assert distance(outcomes[0], alone[0]) < 1e-5
    assert distance(outcomes[3], alone[1]) < 1e-5


def test_nothing_but_bad_files_and_nothing_at_all(shipped, tmp_path):
    assert [outcome.reason for outcome in shipped.predict_all([tmp_path / "a.wav"])] == ["missing"]
    assert list(shipped.predict_all([])) == []


def test_sources_are_read_as_they_are_needed(shipped, monkeypatch):
    monkeypatch.setattr(recognizer, "READ_AHEAD", 2)
    taken = []

    def endless():
        while True:
            taken.append(CLIPS[0])
            yield CLIPS[0]

    outcomes = shipped.predict_all(endless())
    next(outcomes)
    assert len(taken) == 2


def test_one_bad_file_raises(shipped, tmp_path):
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        shipped.predict(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match=r"^<array>: is silent"):
        shipped.predict((np.zeros(16_000), 16_000))


def test_a_table_has_one_row_a_recording(shipped, alone, tmp_path):
    table = shipped.predict_table(CLIPS)
    trust = ["label_set", "reliable", "flags"]
    assert list(table.columns) == ["file", "start", "end", "emotion", "confidence", *LABELS, *trust]
    assert list(table.emotion) == [heard.emotion for heard in alone]
    assert list(shipped.predict_table([]).columns) == list(table.columns)
    with pytest.raises(AudioError, match=r"gone\.wav"):
        shipped.predict_table([CLIPS[0], tmp_path / "gone.wav"])


def test_utterances_of_a_corpus_are_heard_between_their_times(shipped, tmp_path):
    samples, _ = soundfile.read(CLIPS[4])
    path = tmp_path / "labels.csv"
    name = CLIPS[4].as_posix()
    path.write_text(f"file,start,end,emotion\n{name},0.5,1.5,sadness\ngone.wav,,,anger\n{name},,,sadness\n")
    part, missing, whole = shipped.predict_corpus(corpora.read("table", path))
    assert (part.start, part.end) == (0.5, pytest.approx(1.5))
    assert distance(part, shipped.predict((samples[8_000:24_000], 16_000))) < 1e-5
    assert isinstance(missing, AudioError)
    assert distance(whole, shipped.predict(CLIPS[4])) < 1e-5


# Words


@pytest.fixture(scope="module")
def reader(tiny_bert) -> Checkpoint:
    """A model that hears words alone, with random weights."""
    settings = models.parse_settings({"name": "bert", "encoder": tiny_bert}, source="test")
    torch.manual_seed(0)
    model = models.get("bert").create(settings, 3)
    model.load_pretrained()
    return Checkpoint(model.eval(), settings, Categories(("anger", "fear", "joy")), {"name": "reader"})


class Parrot:
    """An ASR that says how long a recording is."""

    name = "parrot"

    def transcribe(self, waveform) -> str:
        return f"about {len(waveform)} samples"


def test_words_that_are_given_are_heard(reader):
    listener = Recognizer(reader, device="cpu", precision="fp32")
    glad, sad = (listener.predict(CLIPS[0], words=words) for words in ("how nice", "oh dear, oh dear"))
    assert distance(glad, sad) > 1e-4
    assert glad.end == sad.end == pytest.approx(soundfile.info(CLIPS[0]).duration)
    with torch.inference_mode():
        expected = reader.model.listen(None, ["how nice"]).softmax(dim=1)[0].tolist()
    assert list(glad.probabilities.values()) == pytest.approx(expected, abs=1e-6)
    together = listener.predict_all([CLIPS[0], CLIPS[1]], words=["oh dear, oh dear", "how nice"])
    assert [distance(a, b) < 1e-6 for a, b in zip(together, (sad, glad), strict=True)] == [True, True]


def test_a_recording_without_words_is_an_error_that_says_what_to_give(reader):
    listener = Recognizer(reader, device="cpu")
    words = r"has no transcript, and reader hears words; give --transcripts FILE, or --asr MODEL$"
    with pytest.raises(AudioError, match=f"^{CLIPS[0]}: {words}") as caught:
        listener.predict(CLIPS[0])
    assert caught.value.reason == "no_words"
    with pytest.raises(AudioError, match=f"^<array>: {words}"):
        listener.predict(pcm())
    known, unknown, silent = listener.predict_all(CLIPS[:3], words=["well", None, ""])
    assert isinstance(unknown, AudioError)
    assert distance(known, silent) > 1e-4


def test_an_asr_writes_down_what_is_not_known(reader):
    listener = Recognizer(reader, device="cpu", precision="fp32", asr=Parrot())
    samples = len(audio.read(CLIPS[0]).waveform)
    known, heard = listener.predict_all([CLIPS[0]] * 2, words=["well", None])
    assert distance(heard, listener.predict(CLIPS[0], words=f"about {samples} samples")) < 1e-6
    assert distance(known, listener.predict(CLIPS[0], words="well")) < 1e-6


def test_a_corpuss_own_words_are_heard_and_need_no_sound(reader, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,emotion,transcript\ngone.wav,joy,how nice\nlost.wav,fear,oh dear\n")
    listener = Recognizer(reader, device="cpu", precision="fp32")
    glad, sad = listener.predict_corpus(corpora.read("table", path))
    assert (glad.file, glad.start, sad.file) == ("gone.wav", 0.0, "lost.wav")
    assert distance(glad, listener.predict(CLIPS[0], words="how nice")) < 1e-6
    assert distance(glad, sad) > 1e-4


@pytest.fixture(scope="module")
def either(tiny_bert, tmp_path_factory) -> Path:
    """The folder of a model that learned to do without words, and without a voice; with random weights."""
    content = {"name": "conditioned_cnn14", "encoder": {"width": 2}, "words": tiny_bert}
    settings = models.parse_settings({**content, "modality_dropout": {"words": 0.2, "voice": 0.2}}, source="test")
    torch.manual_seed(0)
    model = models.get("conditioned_cnn14").create(settings, 3)
    model.load_pretrained()
    torch.nn.init.normal_(model.classifier.weight)
    folder = tmp_path_factory.mktemp("either")
    save(Checkpoint(model.eval(), settings, Categories(("anger", "fear", "joy")), {"name": "either"}), folder)
    return folder


def test_who_can_do_without_hears_both_or_either(either):
    """Read from its folder, whose settings say what it can do without."""
    listener = Recognizer.from_pretrained(either, device="cpu", precision="fp32")
    whole = listener.predict(CLIPS[0], words="how nice")
    voice, words = listener.predict(CLIPS[0]), listener.predict(None, words="how nice")
    assert min(distance(whole, voice), distance(whole, words), distance(voice, words)) > 1e-4
    assert voice.notes == ("has no transcript, judged by the voice alone",)
    assert (words.file, words.end, words.notes) == ("", 0.0, ())
    with pytest.raises(AudioError, match="^<array>: has no recording, and either hears sound; give one$") as caught:
        listener.predict(None)
    assert caught.value.reason == "no_sound"

    mixed = [(CLIPS[0], "how nice"), (CLIPS[0], None), (None, "how nice"), (None, None), (CLIPS[1], "")]
    *known, unknown, silent = listener.predict_all([a for a, _ in mixed], words=[b for _, b in mixed])
    assert [distance(a, b) < 1e-5 for a, b in zip(known, (whole, voice, words), strict=True)] == [True] * 3
    assert isinstance(unknown, AudioError)
    assert distance(silent, listener.predict(CLIPS[1])) > 1e-4  # to hear that nothing is said is to hear words


def test_what_is_there_can_be_left_out(either, reader, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,emotion,transcript\ngone.wav,joy,how nice\n")
    both = Recognizer.from_pretrained(either, device="cpu", precision="fp32")
    deaf = Recognizer.from_pretrained(either, device="cpu", precision="fp32", without="sound")
    [read] = deaf.predict_corpus(corpora.read("table", path))
    for answer in (read, deaf.predict(CLIPS[0], words="how nice")):
        assert distance(answer, both.predict(None, words="how nice")) < 1e-5
    with pytest.raises(AudioError, match="has no transcript, and either hears words"):
        deaf.predict(CLIPS[0])
    wordless = Recognizer.from_pretrained(either, device="cpu", precision="fp32", without="words")
    answer = wordless.predict(CLIPS[0], words="how nice")
    assert (distance(answer, both.predict(CLIPS[0])) < 1e-5, answer.notes) == (True, ())
    with pytest.raises(ConfigError, match="reader cannot do without words: it hears words alone"):
        Recognizer(reader, device="cpu", without="words")


def test_who_hears_no_words_does_not_mind_them(shipped, alone):
    assert distance(shipped.predict(CLIPS[0], words="anything"), alone[0]) < 1e-6


# Where models come from


def test_a_model_saved_elsewhere_gives_the_same_answers(shipped, alone, tmp_path):
    shipped.save_pretrained(tmp_path / "mine")
    mine = Recognizer.from_pretrained(tmp_path / "mine", device="cpu", precision="fp32")
    assert mine.labels == shipped.labels
    assert distance(mine.predict(CLIPS[0]), alone[0]) < 1e-6
    assert distance(shipped.predict(CLIPS[0]), alone[0]) < 1e-6


def test_the_default_is_found_by_name(shipped):
    named = Recognizer.from_pretrained(pretrained.DEFAULT)
    assert named.checkpoint.name == shipped.checkpoint.name


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("whisper9", r"^no model called 'whisper9' ships with affetto; those that do: "),
        ("./nowhere", r"^\./nowhere: no such folder; expected a model folder or a hub id such as owner/model"),
    ],
)
def test_a_model_that_is_not_there_is_refused(source, words):
    with pytest.raises(CheckpointError, match=words):
        Recognizer.from_pretrained(source)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="--device tpu: expected auto, cpu, cuda or mps"):
        Recognizer.from_pretrained(device="tpu")


def test_a_predictions_row_is_flat():
    row = Prediction("a.wav", 0.0, 1.0, {"anger": 0.25, "fear": 0.75}).row
    assert row == {
        "file": "a.wav",
        "start": 0.0,
        "end": 1.0,
        "emotion": "fear",
        "confidence": 0.75,
        "anger": 0.25,
        "fear": 0.75,
        "flags": "",
    }
    assert list(pd.DataFrame([row]).columns) == list(row)


def test_a_model_of_ratings_gives_dimensions_and_no_emotion(tiny_experiment, rated, tmp_path):
    tried = tiny_experiment(epochs=2, task={"name": "dimensions", "scale": [1, 5], "names": ["arousal", "valence"]})
    folder = runs.train(
        tried, corpora.read("table", rated), tmp_path, cache=FeatureCache(tmp_path / "c"), device=torch.device("cpu")
    )
    model = Recognizer.from_pretrained(folder)
    clip = rated.parent / "ann_anger_0.wav"
    heard = model.predict(clip)
    assert list(heard.dimensions) == ["valence", "arousal"]
    assert heard.probabilities == {}
    with pytest.raises(AttributeError, match="no emotion: the model gives valence, arousal and no categories"):
        heard.emotion  # noqa: B018
    table = model.predict_table([clip, clip])
    assert list(table.columns) == list(model.columns) == ["file", "start", "end", "valence", "arousal", "flags"]
    assert table["arousal"].tolist() == pytest.approx([heard.dimensions["arousal"]] * 2, abs=1e-5)
    assert list(model.predict_table([]).columns) == list(model.columns)
    assert heard.notes == ()
    with torch.no_grad():
        model.checkpoint.model.classifier.bias += torch.tensor([0.0, 5.0])
    [note] = model.predict(clip).notes
    assert note == "arousal is rated far off the scale of 1 to 5: no answer to go by"


# Trust


def test_probabilities_shown_are_the_models_own_at_the_fitted_temperature(shipped, alone):
    model, fitted = shipped.checkpoint, shipped.checkpoint.calibration
    own = model.answers([audio.read(CLIPS[0]).waveform], device=shipped.device).numpy()
    tempered = scipy.special.softmax(np.log(np.clip(own, calibration.FLOOR, 1)) / fitted.temperature, axis=1)[0]
    assert list(alone[0].probabilities.values()) == pytest.approx(tempered, abs=1e-3)


def test_what_is_sure_and_without_flags_is_reliable(shipped, alone):
    for heard in alone:
        assert heard.reliable == (heard.confidence >= shipped.checkpoint.calibration.threshold and not heard.flags)
        assert heard.label_set[0] == heard.emotion
    loud, rate = soundfile.read(CLIPS[0])
    cut = shipped.predict((loud.clip(-0.05, 0.05), rate))
    assert "clipped" in cut.flags and cut.reliable is False


def test_noise_and_short_clips_are_flagged_and_speech_is_not(shipped, alone):
    assert all(not heard.flags for heard in alone)
    noise = shipped.predict((0.1 * np.random.default_rng(0).standard_normal(48_000), 16_000))
    assert set(noise.flags) >= {"not_speech", "out_of_domain"}
    assert noise.row["flags"] == " ".join(noise.flags)
    samples, rate = soundfile.read(CLIPS[0])
    assert "too_short" in shipped.predict((samples[: rate // 2], rate)).flags
    assert shipped.predict((1e-3 * samples, rate)).flags[:1] == ("silent",)


def test_what_is_provisional_is_never_called_reliable(shipped, alone):
    [heard] = shipped.predict_all([CLIPS[0]], flagged=False)
    assert heard.probabilities == pytest.approx(alone[0].probabilities, abs=1e-6)
    assert (heard.flags, heard.label_set, heard.reliable) == ((), (), None)


def test_a_model_without_calibration_shows_its_own_probabilities(shipped):
    plain = Recognizer(replace(shipped.checkpoint, calibration=None, domain=None))
    heard = plain.predict(CLIPS[0])
    own = plain.checkpoint.answers([audio.read(CLIPS[0]).waveform], device=plain.device)[0]
    assert list(heard.probabilities.values()) == pytest.approx(own.tolist(), abs=1e-3)
    assert (heard.reliable, heard.label_set) == (None, ())
    assert plain.columns[-2:] == ("sadness", "flags")
