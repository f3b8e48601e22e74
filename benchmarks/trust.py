"""Whether the shipped model says honestly when it is not to be trusted.

    python benchmarks/music.py MUSIC.npz --work FOLDER
    python benchmarks/trust.py MUSIC.npz --data DATA

Writes `benchmarks/trust.json`: how often each source of music, noise, silence and clean speech is flagged, and by what;
and, for the shipped row of `results`, calibration, selective prediction and label sets on unseen speakers, with
`benchmarks/trust.png`. DATA holds `emodb`, `ravdess` and `speech`. EMO-DB's clips are judged by a domain fitted without
their speaker; of the other speech no clip is in the domain, which holds speechocean762's speakers of even number and
Kerstin's sentences of even number. Nothing is fitted on RAVDESS; its actors 13 to 24 have been heard by `CANDIDATES`.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import music
import numpy as np
import sounds

from affetto import audio, calibration, domain, scores, trust
from affetto.errors import AudioError
from affetto.files import json_bytes
from affetto.recognizer import Prediction, Recognizer
from affetto.report import confidence_figure

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "emodb-loso10-v1" / "whisper4.csv"
SYNTHESISED = 16
"""Clips of each kind."""
CANDIDATES = 3
"""Domains that were measured on RAVDESS' actors 13 to 24: two of the model before (whose threshold was the median
corpus, then the farthest), and this model's with the latter."""
PER_SPEAKER = 8
"""Clips of each speaker of speechocean762 that is held out."""


def main(clips: Path, data: Path) -> None:
    """Measure, write and draw."""
    recognizer = Recognizer.from_pretrained()
    path = HERE / "trust.json"
    result = {"ravdess_candidates": CANDIDATES, "calibration": calibrated(recognizer), "flags": {}}
    emodb = sorted((data / "emodb" / "wav").glob("*.wav"))
    for name, sources in {**speech(data), **not_speech(clips)}.items():
        result["flags"][name] = tally(recognizer.predict_all(sources))
        print(name, result["flags"][name], flush=True)
        path.write_bytes(json_bytes(result))
    result["flags"]["speech/emodb, speaker left out"] = left_out(recognizer, emodb, data)
    result["summary"] = summary(result["flags"])
    print(json.dumps(result["summary"], indent=1))
    path.write_bytes(json_bytes(result))


def calibrated(recognizer: Recognizer) -> dict:
    """Numbers and picture of the cross-validated predictions."""
    table = scores.read(RESULTS)
    confidence_figure(table, recognizer.labels, title="whisper4 on unseen speakers", path=HERE / "trust.png")
    return calibration.report(table, recognizer.labels)


def speech(data: Path) -> dict[str, list[Path]]:
    """Clean speech of which nothing was fitted."""
    learners = sorted(path for path in (data / "speech" / "speechocean762").iterdir() if path.is_dir())
    odd = [path for path in learners if int(path.name) % 2]
    return {
        "speech/speechocean762, other speakers": [
            clip for speaker in odd for clip in sorted(speaker.glob("*.ogg"))[:PER_SPEAKER]
        ],
        "speech/kerstin, other sentences": sorted((data / "speech" / "kerstin").glob("*[13579].ogg"))[::4],
        "speech/ravdess, actors 13 to 24": sorted(
            path for path in (data / "ravdess").rglob("*.flac") if int(path.stem[-2:]) > 12
        ),
    }


def not_speech(clips: Path) -> dict[str, list[tuple[np.ndarray, int]]]:
    """Music, noise and silence by source; whether a source could be tuned on stands in its name."""
    found = {}
    for group, kinds in {"music": sounds.MUSIC, "noise": sounds.NOISE, "silence": sounds.SILENCE}.items():
        for kind in kinds:
            part = "tuning" if kind in sounds.TUNING else "measuring"
            found[f"{group}/{part}/synthesised {kind}"] = sounds.clips(kind, SYNTHESISED)
    found["silence/measuring/digital"] = [np.zeros(64_000, np.float32)] * SYNTHESISED
    with np.load(clips) as packages:
        for package in packages:
            part = "tuning" if package in music.TUNING else "measuring"
            found[f"music/{part}/{package}"] = list(packages[package])
    return {name: [(waveform, audio.SAMPLE_RATE) for waveform in each] for name, each in found.items()}


def tally(outcomes: Iterable[Prediction | AudioError]) -> dict:
    """Share of clips with any flag, or refused, and how often each flag was raised."""
    flags = [("refused",) if isinstance(each, AudioError) else each.flags for each in outcomes]
    return counted(flags)


def counted(flags: Sequence[tuple[str, ...]]) -> dict:
    """The same from flags."""
    raised = Counter(flag for each in flags for flag in each)
    return {"clips": len(flags), "flagged": sum(map(bool, flags)), "by": dict(raised.most_common())}


def left_out(recognizer: Recognizer, paths: list[Path], data: Path) -> dict:
    """EMO-DB's flags, with a domain fitted without the speaker of each clip."""
    model = recognizer.checkpoint
    other = {
        "speechocean762": sorted((data / "speech" / "speechocean762").glob("*[02468]/*.ogg")),
        "kerstin": sorted((data / "speech" / "kerstin").glob("*[02468].ogg")),
    }
    corpora = {name: trust.voices(model, each[:: -(-len(each) // trust.CLIPS)], name) for name, each in other.items()}
    own = trust.voices(model, paths, "emodb")
    speakers = np.array([path.name[:2] for path in paths])
    far = np.zeros(len(paths), bool)
    for speaker in np.unique(speakers):
        known = domain.fit({"emodb": own[speakers != speaker], **corpora})
        far[speakers == speaker] = known.distances(own[speakers == speaker]) > known.threshold
    flags = []
    for outcome, away in zip(recognizer.predict_all(paths), far, strict=True):
        kept = tuple(flag for flag in outcome.flags if flag != "out_of_domain")
        flags.append((*kept, "out_of_domain") if away else kept)
    return counted(flags)


def summary(flags: Mapping[str, dict]) -> dict:
    """Shares by group, sources that could be tuned on apart."""
    groups: dict[str, Counter] = {}
    for name, found in flags.items():
        group = name if name.startswith("speech/") else "/".join(name.split("/")[:2])
        for each in (group, "speech" if group.startswith("speech/") else f"all {group.split('/')[1]}"):
            groups.setdefault(each, Counter()).update(clips=found["clips"], flagged=found["flagged"])
    return {name: {**count, "share": round(count["flagged"] / count["clips"], 4)} for name, count in groups.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    main(given.clips, given.data)
