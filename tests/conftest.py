"""Fixtures of several test files: the real EMO-DB, where it lies beside the repository, and toy trees of corpora."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

EMODB = Path(__file__).parents[2] / "shared" / "data" / "emodb"


@pytest.fixture(scope="session")
def emodb_root() -> Path:
    if not (EMODB / "wav").is_dir():
        pytest.skip(f"EMO-DB is not at {EMODB}")
    return EMODB


@pytest.fixture
def toy_tree(tmp_path: Path) -> Callable[[str], Path]:
    """From a corpus's name to a small faithful copy of its layout: the path that its reader takes."""

    def make(name: str) -> Path:
        assert name in TOY_TREES, f"no toy tree for {name}: add a recipe to tests/conftest.py"
        return TOY_TREES[name](tmp_path)

    return make


def write_speech(path: Path, rng: np.random.Generator) -> None:
    """1.3 to 3 s that pass for speech: a tone in noise, 16 kHz PCM16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n = int(rng.integers(20_800, 48_000))
    tone = 0.3 * np.sin(2 * np.pi * rng.uniform(90, 400) * np.arange(n) / 16_000)
    soundfile.write(path, tone + 0.01 * rng.standard_normal(n), 16_000, subtype="PCM_16")


def toy_emodb(folder: Path) -> Path:
    """69 names: ten speakers, seven letters, without speaker 08's disgust, which the real corpus lacks as well."""
    rng = np.random.default_rng(0)
    root = folder / "emodb"
    speakers = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
    rows = ["Nr.\tSatz\terkannt\tnatuerlich", "1\xa0\xa0\t03a01Ab.wav\t65,00\xa0\xa0\t35,00\xa0\xa0"]  # without audio
    for speaker in speakers:
        for letter in "WLEAFTN":
            if speaker + letter == "08E":
                continue
            sentence = rng.choice(["a01", "a02", "a05", "b03", "b10"])
            name = f"{speaker}{sentence}{letter}f.wav"  # no version f was ever left out
            write_speech(root / "wav" / name, rng)
            rows.append(f"{len(rows)}\xa0\t{name}\t{rng.integers(80, 100)},48\xa0\t{rng.integers(50, 100)},00\xa0")
    (root / "erkennung.txt").write_text("\n".join(rows) + "\n", encoding="latin-1")
    return root


def toy_table(folder: Path) -> Path:
    """Two files: one cut into two utterances, one whole."""
    rng = np.random.default_rng(0)
    for name in ("monday.wav", "tuesday.wav"):
        write_speech(folder / "calls" / name, rng)
    path = folder / "labels.csv"
    path.write_text(
        "file,start,end,emotion,speaker,note\n"
        "calls/monday.wav,0,0.6,Angry,03,loud\n"
        "calls/monday.wav,0 days 00:00:00.6,0 days 00:00:01.2,neutral,3,\n"
        "calls/tuesday.wav,,,joy,,01\n",
        encoding="utf-8",
    )
    return path


TOY_TREES: dict[str, Callable[[Path], Path]] = {"emodb": toy_emodb, "table": toy_table}
