"""Speech probabilities agree with silero-vad's own code, in pieces of any size."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from affetto import vad
from affetto.errors import CheckpointError
from affetto.vad import FRAME, SpeechDetector

HERE = Path(__file__).parent
DETECTOR = SpeechDetector()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Three samples with faint noise after each, as the reference was made from."""
    rng = np.random.default_rng(0)
    parts = []
    for clip in ("03a07Nc", "15a05Eb", "08a02Fe"):
        parts.append(soundfile.read(HERE.parent / "samples" / f"{clip}.wav", dtype="float32")[0])
        parts.append(1e-3 * rng.standard_normal(12_000).astype(np.float32))
    return np.concatenate(parts)


def test_probabilities_are_those_of_the_original_frame_by_frame(speech):
    theirs = load_file(HERE / "reference" / "vad.safetensors")["probabilities"]
    ours = DETECTOR.probabilities(speech)
    assert ours.dtype == np.float32
    assert len(speech) % FRAME
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert 0.3 < (ours > 0.5).mean() < 0.9


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9_000), max_size=8))
def test_pieces_of_any_size_give_what_the_whole_gives(pieces):
    waveform = 0.1 * np.random.default_rng(1).standard_normal(sum(pieces)).astype(np.float32)
    stream = DETECTOR.stream()
    ends = np.cumsum(pieces, dtype=int)
    found = [stream.feed(waveform[end - length : end]) for end, length in zip(ends, pieces, strict=True)]
    for fed, end in zip(np.cumsum([len(part) for part in found]), ends, strict=True):
        assert fed == end // FRAME
    whole = DETECTOR.probabilities(waveform)
    assert len(whole) == -(-len(waveform) // FRAME)
    np.testing.assert_allclose(np.concatenate([*found, stream.flush()]), whole, atol=1e-6)


def test_streams_know_nothing_of_each_other(speech):
    first, second = DETECTOR.stream(), DETECTOR.stream()
    alone = DETECTOR.probabilities(speech)[: 20_000 // FRAME]
    found = []
    for begin in range(0, 20_000, 1_000):
        found.append(first.feed(speech[begin : begin + 1_000]))
        second.feed(np.full(1_000, 0.3, np.float32))
    np.testing.assert_allclose(np.concatenate(found), alone, atol=1e-6)


def test_no_sound_is_no_frame():
    assert DETECTOR.probabilities(np.zeros(0, np.float32)).shape == (0,)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(vad.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install 'silero-vad"):
        _ = SpeechDetector().session


def test_neither_torch_nor_the_code_of_silero_is_loaded():
    code = (
        "import sys, numpy, affetto.vad as v; v.SpeechDetector().probabilities(numpy.zeros(600, 'f'));"
        "print([name for name in ('torch', 'silero_vad') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
