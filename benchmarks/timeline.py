"""Timelines: are they right, how fast are they, and how much memory do they take?

    python benchmarks/timeline.py tune EMODB      # how speech is found, on speakers 03 to 11: seconds
    python benchmarks/timeline.py marks EMODB     # speakers 12 to 16, each by a model that never heard them: 10 minutes
    python benchmarks/timeline.py speed EMODB     # an hour and ten hours on two cores: 6 minutes, a quiet machine

Recordings are made of EMO-DB's clips, joined with pauses of 0.5 to 3 s of faint noise. Each command writes its part of
`benchmarks/timeline.json`. Linux for `speed`.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from affetto import corpora, experiment, resources, runs
from affetto.cache import FeatureCache
from affetto.corpora.base import Corpus
from affetto.recognizer import Recognizer
from affetto.segments import RegionSettings, TimelineSettings, Utterance, timeline
from affetto.segments.diarization import Turn, error_rate
from affetto.segments.regions import Finder
from affetto.vad import SpeechDetector

HERE = Path(__file__).parent
RATE = 16_000
TUNED_ON = ("03", "08", "09", "10", "11")
TESTED_ON = ("12", "13", "14", "15", "16")
PAUSES = (0.5, 3.0)
"""Seconds between clips."""
NOISE = 3e-4
"""Standard deviation of the noise in pauses (-70 dBFS)."""
TOLERANCE = 0.2
"""Seconds that a boundary may be off."""
GRID = {
    "on": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "off": (0.1, 0.2, 0.35, 0.5),
    "silence": (0.2, 0.3, 0.4),
    "pad": (0.0, 0.03, 0.06, 0.1, 0.15, 0.2),
}
"""How speech is found. `speech` stays at silero's own 0.25 s, and `silence` below the shortest pause."""


@dataclass(frozen=True)
class Joined:
    """Clips one after the other.

    Args:
        waveform: at 16 kHz.
        turns: where the clips are, and what is meant in each.
    """

    waveform: np.ndarray
    turns: list[Turn]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.waveform) / RATE


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("tune", "marks", "speed"))
    parser.add_argument("emodb", type=Path)
    parser.add_argument("--models", type=Path, default=Path("runs/timeline"), help="where `marks` keeps its models")
    parser.add_argument("--hours", type=int, nargs="+", default=[1, 10], help="lengths that `speed` hears")
    arguments = parser.parse_args()
    corpus = corpora.read("emodb", arguments.emodb)
    found = {
        "tune": lambda: tune(corpus),
        "marks": lambda: marks(corpus, arguments.models),
        "speed": lambda: speed(corpus, arguments.hours),
    }[arguments.command]()
    path = HERE / "timeline.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results[arguments.command] = found
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def join(corpus: Corpus, rows: Sequence[int], rng: np.random.Generator) -> Joined:
    """Some of a corpus's clips with pauses before, between and after them."""
    parts: list[np.ndarray] = [pause(rng)]
    turns = []
    for row in rows:
        start = sum(map(len, parts)) / RATE
        parts.append(corpus.recording(row).waveform)
        turns.append(Turn(start, start + len(parts[-1]) / RATE, corpus.table["emotion"].iloc[row]))
        parts.append(pause(rng))
    return Joined(np.concatenate(parts), turns)


def pause(rng: np.random.Generator) -> np.ndarray:
    """Faint noise of random length."""
    return (NOISE * rng.standard_normal(int(rng.uniform(*PAUSES) * RATE))).astype(np.float32)


def of_speaker(corpus: Corpus, speaker: str) -> Joined:
    """All clips of a speaker in random order, the same one each time."""
    rng = np.random.default_rng(int(speaker))
    return join(corpus, rng.permutation(np.flatnonzero(corpus.table["speaker"] == speaker)).tolist(), rng)


def accuracy(stretches: Sequence[tuple[float, float]], joined: Joined) -> dict[str, float]:
    """Counts of what was found against where clips are, to be summed over recordings: seconds, and clips."""
    clips = [(turn.start, turn.end) for turn in joined.turns]
    speech = sum(end - start for start, end in clips)
    covered = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in clips for b in stretches)
    judged = sum(end - start for start, end in stretches)
    on_time = 0
    for start, end in clips:
        own = [stretch for stretch in stretches if stretch[0] < end and stretch[1] > start]
        if own:
            off = max(abs(own[0][0] - start), abs(own[-1][1] - end))
            on_time += off <= TOLERANCE
    silence = joined.seconds - speech
    return {
        "clips": len(clips),
        "speech": speech,
        "silence": silence,
        "covered": covered,
        "silence_judged": judged - covered,
        "clips_on_time": on_time,
    }


def summary(counts: Iterable[dict[str, float]]) -> dict[str, float]:
    """Shares, from counts of several recordings."""
    rows = list(counts)
    total = {name: sum(row[name] for row in rows) for name in rows[0]}
    return {
        "clips": int(total["clips"]),
        "speech_minutes": round(total["speech"] / 60, 1),
        "silence_minutes": round(total["silence"] / 60, 1),
        "speech_covered": round(total["covered"] / total["speech"], 4),
        "silence_judged": round(total["silence_judged"] / total["silence"], 4),
        f"clips_within_{TOLERANCE}_s": round(total["clips_on_time"] / total["clips"], 4),
    }


def tune(corpus: Corpus) -> dict[str, object]:
    """The settings under which the mark that is met least is met best, among those of the grid."""
    recordings = [of_speaker(corpus, speaker) for speaker in TUNED_ON]
    detector = SpeechDetector()
    probabilities = [detector.probabilities(joined.waveform) for joined in recordings]
    best: tuple[float, RegionSettings, dict[str, float]] | None = None
    for values in itertools.product(*GRID.values()):
        chosen = dict(zip(GRID, values, strict=True))
        if chosen["off"] > chosen["on"] or 2 * chosen["pad"] > chosen["silence"]:
            continue
        settings = RegionSettings(**chosen)
        rows = []
        for joined, likely in zip(recordings, probabilities, strict=True):
            finder = Finder(settings)
            parts = [*finder.feed(likely), *finder.flush(len(joined.waveform))]
            rows.append(accuracy([(part.first / RATE, part.last / RATE) for part in parts], joined))
        found = summary(rows)
        margin = min(
            found["speech_covered"] - 0.95, 0.05 - found["silence_judged"], found[f"clips_within_{TOLERANCE}_s"] - 0.9
        )
        if best is None or margin > best[0]:
            best = margin, settings, found
    assert best is not None
    return {"speakers": list(TUNED_ON), "settings": vars(best[1]), "least_margin": round(best[0], 4), **best[2]}


def marks(corpus: Corpus, models: Path) -> dict[str, object]:
    """Coverage, boundaries and the emotion diarisation error rate, on speakers that neither model nor tuning heard."""
    counts: dict[str, list[dict[str, float]]] = {"windows": [], "regions": []}
    errors: dict[str, list[dict[str, float]]] = {"windows": [], "regions": []}
    for speaker in TESTED_ON:
        joined = of_speaker(corpus, speaker)
        recognizer = Recognizer.from_pretrained(without_speaker(corpus, speaker, models))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "joined.flac"
            soundfile.write(path, joined.waveform, RATE, subtype="PCM_16")
            for name, window in (("windows", TimelineSettings().window), ("regions", None)):
                found = timeline(path, recognizer, TimelineSettings(window=window))
                counts[name].append(accuracy([(each.start, each.end) for each in found.judged], joined))
                heard = [turn(each) for each in found.judged]
                errors[name].append(error_rate(joined.turns, heard, joined.seconds, resting="neutral"))
    return {
        "speakers": list(TESTED_ON),
        "settings": vars(RegionSettings()),
        **{
            name: {**summary(counts[name]), "emotion_diarization_error_rate": pooled(errors[name], counts[name])}
            for name in counts
        },
    }


def turn(utterance: Utterance) -> Turn:
    """What was heard in an utterance."""
    assert utterance.prediction is not None
    return Turn(utterance.start, utterance.end, utterance.prediction.emotion)


def pooled(errors: Sequence[dict[str, float]], counts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Error rates of all recordings together: of their whole duration, and of that of the clips alone."""
    seconds = sum(count["speech"] + count["silence"] for count in counts)
    speech = sum(count["speech"] for count in counts)
    parts = {name: sum(error[name] for error in errors) for name in errors[0]}
    return {
        "of_everything": round(sum(parts.values()) / seconds, 4),
        "of_speech": round(sum(parts.values()) / speech, 4),
        **{f"{name}_minutes": round(value / 60, 2) for name, value in parts.items()},
    }


def without_speaker(corpus: Corpus, speaker: str, models: Path) -> Path:
    """A checkpoint of the shipped recipe that was trained, and chosen, on the other nine speakers."""
    files = corpus.table.index.get_level_values("file")
    own = files[corpus.table["speaker"] == speaker]
    changes = (f"final.exclude={json.dumps(list(own))}",)
    settings = experiment.read_one(resources.settings_file("emodb_whisper3"), changes)
    import torch

    return runs.train(settings, corpus, models / f"without-{speaker}", cache=FeatureCache(), device=torch.device("cpu"))


def speed(corpus: Corpus, lengths: Sequence[int]) -> dict[str, object]:
    """Whole processes, start-up included: wall time, processor time and peak memory of an hour and of ten."""
    result: dict[str, object] = {
        "machine": f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for hours in lengths:
            path = Path(folder) / f"{hours}.flac"
            seconds, spoken = write_hours(corpus, path, hours)
            result[f"hours_{hours}"] = {
                "audio_seconds": round(seconds),
                "speech_seconds": round(spoken),
                **measured(["timeline", str(path), "--window", "5", "--out", f"{folder}/{hours}.csv"]),
                "load_before": round(os.getloadavg()[0], 1),
            }
    return result


def write_hours(corpus: Corpus, path: Path, hours: int) -> tuple[float, float]:
    """A long recording of random clips, a few minutes in memory at a time; its seconds, and those of speech."""
    rng = np.random.default_rng(0)
    seconds = spoken = 0.0
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as stream:
        while seconds < 3600 * hours:
            joined = join(corpus, rng.integers(len(corpus), size=50).tolist(), rng)
            stream.write(joined.waveform)
            seconds += joined.seconds
            spoken += sum(turn.end - turn.start for turn in joined.turns)
    return seconds, spoken


def measured(arguments: list[str]) -> dict[str, float]:
    """Run the command line in a process of its own, and this in another one, so that its peak memory is its own."""
    command = [str(Path(sys.executable).with_name("affetto")), *arguments]
    code = (
        "import json, resource, subprocess, sys, time; began = time.perf_counter();"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "wall = time.perf_counter() - began; used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(json.dumps([wall, used.ru_utime + used.ru_stime, used.ru_maxrss]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True)
    wall, used, peak = json.loads(done.stdout)
    return {"wall_seconds": round(wall, 1), "processor_seconds": round(used, 1), "peak_mb": round(peak / 1e3)}


if __name__ == "__main__":
    main()
