import re
from pathlib import Path

import audformat
import numpy as np
import pytest
import soundfile

from affetto import Recognizer
from affetto.recognizer import Prediction
from affetto.segments.windows import windows

audinterface = pytest.importorskip("audinterface")

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "samples" / "12b02Wd.wav"


@pytest.fixture(scope="module")
def shown() -> dict:
    """What the documentation's example leaves behind, run as it stands there, with windows of 0.5 s."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "audinterface.md").read_text(), flags=re.DOTALL)
    names: dict = {}
    exec(code.replace("win_dur=5.0, hop_dur=2.5", "win_dur=0.5, hop_dur=0.25"), names)
    return names


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.from_pretrained(precision="fp32")


def test_a_file_and_segments_get_the_recognisers_own_answers(shown, recognizer):
    process = shown["process"]
    whole = process.process_file(str(CLIP))
    np.testing.assert_allclose(whole.iloc[0], list(recognizer.predict(CLIP).probabilities.values()), atol=1e-5)
    index = audformat.segmented_index([str(CLIP)] * 2, ["0.25s", "1s"], ["1.5s", "2.25s"])
    samples, rate = soundfile.read(CLIP, dtype="float32")
    for row, (start, end) in zip(process.process_index(index), ((0.25, 1.5), (1, 2.25)), strict=True):
        stretch = samples[round(start * rate) : round(end * rate)]
        heard = recognizer.predict((stretch, rate)).probabilities
        np.testing.assert_allclose(row, list(heard.values()), atol=1e-5)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_sliding_windows_are_our_windows(rate, shown, recognizer, tmp_path):
    samples, _ = soundfile.read(CLIP, dtype="float32")
    path = tmp_path / "call.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")  # at another rate it is heard faster, which is as good
    table = shown["feature"].process_file(str(path))
    assert list(table.columns) == list(recognizer.labels)
    spans = windows(0, len(samples), length=rate // 2, stride=rate // 4)
    assert len(table) == len(spans) - 1  # ours has one more, which ends where the recording does
    starts = [first / rate for first, _ in spans[:-1]]
    np.testing.assert_allclose(table.index.get_level_values("start").total_seconds(), starts, atol=1e-6)
    ours = recognizer.predict_all((samples[first:last], rate) for first, last in spans[:-1])
    expected = [list(heard.probabilities.values()) for heard in ours if isinstance(heard, Prediction)]
    np.testing.assert_allclose(table.to_numpy(), expected, atol=1e-5)


def test_silence_is_not_a_number(shown):
    answer = shown["process"].process_signal(np.zeros((1, 16_000), np.float32), 16_000)
    assert np.isnan(answer.iloc[0]).all()
