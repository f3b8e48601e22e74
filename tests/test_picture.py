import dataclasses

import numpy as np
import pytest
import soundfile
from matplotlib import colors, image
from matplotlib.patches import Rectangle

from affetto import palette
from affetto.errors import AudioError
from affetto.recognizer import Prediction
from affetto.segments import Timeline, Utterance
from affetto.views.envelope import envelope
from affetto.views.picture import BARS, picture, write_picture

LABELS = ("anger", "neutral", "sadness")
FLAT = np.zeros((2, 50, 2), np.float32)


def heard(emotion: str, confidence: float = 0.8) -> Prediction:
    rest = (1 - confidence) / (len(LABELS) - 1)
    return Prediction("", 0, 1, {label: confidence if label == emotion else rest for label in LABELS})


def call(seconds: float = 10.0, **who) -> Timeline:
    """Three utterances and one that was not judged."""
    said = [
        Utterance(0, 4, prediction=heard("anger"), words="Who closed the $ window?", **who),
        Utterance(5, 5.5, reason="too_short", **who),
        Utterance(6, 8, prediction=heard("neutral", 0.6), words="I did.", **who),
        Utterance(8, 9, prediction=heard("sadness"), words="It was cold in here, and nobody said a word.", **who),
    ]
    return Timeline("call.wav", seconds, tuple(said), "model", LABELS)


def long_talk() -> Timeline:
    """Ten hours: in the first half anger fills half of the time, in the second sadness all of it."""
    said = []
    for at in range(0, 36_000, 4):
        first = at < 18_000
        said.append(Utterance(at, at + (2 if first else 4), prediction=heard("anger" if first else "sadness")))
    return Timeline("long.wav", 36_000, tuple(said), "model", LABELS)


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def drawn(axes) -> list[tuple[str, float, float]]:
    """Colour, left and right edge of what is filled."""
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return [(colors.to_hex(box.get_facecolor()), box.get_x(), box.get_x() + box.get_width()) for box in boxes]


def test_bands_words_and_confidence_stand_where_they_were_heard():
    wave, bands, words, sure = picture(call(), FLAT[:1]).axes
    anger, neutral, sadness = (palette.colour(label) for label in LABELS)
    assert drawn(bands) == [(anger, 0, 4), ("#f0eee8", 5, 5.5), (neutral, 6, 8), (sadness, 8, 9)]
    assert texts(bands) == ["anger", "", "neutral", "sadness"]
    assert texts(words)[:2] == [r"Who closed the \$ window?", ""]
    assert texts(words)[3].endswith("…")
    line = sure.lines[-1]
    np.testing.assert_allclose(np.array(line.get_xdata(), dtype=float)[[0, 1, 3, 4, 6, 7]], [0, 4, 6, 8, 8, 9])
    np.testing.assert_allclose(np.array(line.get_ydata(), dtype=float)[[0, 3, 6]], [80, 60, 80])
    assert sure.get_xlim() == (0, 10)


def test_each_voice_has_its_rows_and_its_channel():
    two = dataclasses.replace(
        call(), utterances=(*call(channel=0).utterances, Utterance(1, 3, channel=1, prediction=heard("sadness")))
    )
    outline = np.stack([np.full((50, 2), level, np.float32) * [-1, 1] for level in (0.5, 0.25)])
    rows = picture(two, outline).axes
    assert [rows[row].get_yticklabels()[0].get_text() for row in (0, 4)] == ["channel 0", "channel 1"]
    assert [rows[row].collections[0].get_datalim(rows[row].transData).height for row in (0, 4)] == [1.0, 0.5]
    assert drawn(rows[5]) == [(palette.colour("sadness"), 1, 3)]


def test_ten_hours_are_bars_whose_heights_are_shares_of_the_time():
    wave, bands, sure = picture(long_talk(), FLAT[:1]).axes
    names = {palette.colour(label): label for label in LABELS}
    heights = {}
    for steps in bands.patches:
        tops, edges, bottoms = steps.get_data()
        heights[names[colors.to_hex(steps.get_facecolor())]] = tops - bottoms
        np.testing.assert_allclose(edges, np.linspace(0, 36_000, BARS + 1))
    assert set(heights) == {"anger", "sadness"}
    half = BARS // 2
    np.testing.assert_allclose(heights["anger"], [0.5] * half + [0] * half, atol=0.02)
    np.testing.assert_allclose(heights["sadness"], [0] * half + [1] * half, atol=0.02)
    assert len(wave.get_xticks()) <= 11
    np.testing.assert_allclose(sure.lines[-1].get_ydata(), 80)


def test_ratings_are_lines():
    rated = [
        Utterance(at, at + 2, prediction=Prediction("", at, at + 2, dimensions={"valence": 2.0 + at, "arousal": 5.0}))
        for at in (0, 3)
    ]
    talk = Timeline("a.wav", 5, tuple(rated), "model", ("valence", "arousal"), "dimensions")
    wave, bands, ratings = picture(talk, FLAT[:1]).axes
    assert [line.get_ydata()[0] for line in ratings.lines] == [2.0, 5.0]
    assert [text.get_text() for text in ratings.get_legend().get_texts()] == ["valence", "arousal"]


@pytest.mark.parametrize("talk", [Timeline("a.wav", 3, (), "model", LABELS), call(), long_talk()])
def test_the_file_is_a_picture_and_the_same_each_time(talk, tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(48_000)
    soundfile.write(tmp_path / "a.wav", noise, 16_000)
    talk = dataclasses.replace(talk, file=str(tmp_path / "a.wav"))
    for name in ("one.png", "two.png"):
        write_picture(talk, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    pixels = image.imread(tmp_path / "one.png")
    assert pixels.shape[1] > 1000
    shown = {tuple(pixel) for pixel in np.round(pixels[::3, ::3, :3] * 255).astype(int).reshape(-1, 3).tolist()}
    for emotion in {u.prediction.emotion for u in talk.judged if u.prediction is not None}:
        assert tuple(int(palette.colour(emotion)[i : i + 2], 16) for i in (1, 3, 5)) in shown


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_outline_is_the_lowest_and_highest_of_equal_stretches(rate, channels, tmp_path):
    """By NumPy on the whole; at 16 kHz exactly, else as near as another rate's samples come to the peaks of a tone."""
    time = np.arange(25 * rate) / rate
    samples = np.stack([np.sin(2 * np.pi * (150 + 77 * n) * time) * time / 30 for n in range(channels)], axis=1)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    who = {"channel": 0} if channels == 2 else {}
    found = envelope(tmp_path / "a.wav", Timeline("a", 25.0, (Utterance(0, 1, **who),), "model", LABELS), 100)
    assert found.shape == (channels, 100, 2)
    parts = samples.reshape(100, -1, channels)
    expected = np.stack([parts.min(axis=1), parts.max(axis=1)], axis=-1).transpose(1, 0, 2)
    np.testing.assert_allclose(found, expected, atol=1e-6 if rate == 16_000 else 0.005)


def test_an_outline_of_a_damaged_file_ends_where_it_does_and_a_lost_file_is_named(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.3 * np.random.default_rng(0).standard_normal(160_000), 16_000)
    path.write_bytes(path.read_bytes()[:160_000])
    found = envelope(path, Timeline("a", 10.0, (), "model", LABELS), 10)
    assert (found[0, :5, 1] > 0.3).all()
    assert not found[0, 5:].any()
    with pytest.raises(AudioError, match="no such file"):
        envelope(tmp_path / "lost.wav", Timeline("a", 10.0, (), "model", LABELS), 10)
