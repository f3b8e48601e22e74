"""What it costs to draw a timeline and to write its page; writes views.json.

    OMP_NUM_THREADS=1 python benchmarks/views.py

The recording is the samples over and over, for an hour and for ten; the utterances are made up, one every 6 s, as what
they say is of no matter here. Each view is made in a process of its own; seconds are those of its work, whatever else
runs beside it. Linux.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from affetto import resources
from affetto.recognizer import Prediction
from affetto.segments import Timeline, Utterance
from affetto.views import write_page, write_picture

LABELS = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
RATE = 16_000
FILE = Path(__file__).with_suffix(".json")


def main() -> None:
    """Measure each view of each length."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for hours in (1, 10):
            recording = write_recording(Path(folder) / f"{hours}.wav", 3600 * hours)
            for view in ("picture", "page", "page with audio"):
                if view == "page with audio" and hours > 2:
                    continue
                call = [sys.executable, __file__, "one", view, str(recording), str(3600 * hours)]
                told = subprocess.run(call, check=True, capture_output=True, text=True).stdout
                found.append({"hours": hours, "view": view, **json.loads(told)})
                print(found[-1])
            recording.unlink()
    FILE.write_text(json.dumps(found, indent=1) + "\n")


def write_recording(path: Path, seconds: int) -> Path:
    """The samples, one after the other, until the time is up."""
    clips = [soundfile.read(clip, dtype="float32")[0] for clip in sorted(resources.folder("samples").glob("*.wav"))]
    block = np.concatenate(clips)
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as file:
        left = seconds * RATE
        while left > 0:
            file.write(block[:left])
            left -= len(block)
    return path


def one(view: str, recording: str, seconds: float) -> None:
    """Make one view, and print what it took."""
    rng = np.random.default_rng(0)
    said = []
    for number in range(int(seconds / 6)):
        start, answer = 6.0 * number, rng.dirichlet(np.full(len(LABELS), 0.3)).tolist()
        prediction = Prediction(recording, start, start + 4, dict(zip(LABELS, answer, strict=True)))
        said.append(Utterance(start, start + 4, speaker="ab"[number // 20 % 2], prediction=prediction))
    timeline = Timeline(recording, seconds, tuple(said), "made up", LABELS)
    path = Path(recording).with_suffix(".png" if view == "picture" else ".html")
    began = time.process_time()
    if view == "picture":
        write_picture(timeline, path)
    else:
        write_page(timeline, path, with_audio=view == "page with audio")
    took = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(took, 1), "peak_mb": round(peak), "mb": round(path.stat().st_size / 1e6, 2)}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(sys.argv[2], sys.argv[3], float(sys.argv[4]))
    else:
        main()
