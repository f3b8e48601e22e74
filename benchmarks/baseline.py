"""How much of a speaker a baseline must have heard to help.

    python benchmarks/baseline.py EMODB RAVDESS

Of every unheard speaker half the clips, drawn at random, are judged beside 0, 1, 2, 4, ... clips of the other half:
EMO-DB, each speaker left out, seven classes; the same with each speaker at another microphone (one random filter a
speaker and noise at 20 dB); and RAVDESS actors 13 to 24 by a model of EMO-DB, four classes. Means over three draws go
to `benchmarks/baseline.json` and `benchmarks/baseline.png`.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from affetto import audio, corpora, experiment, metrics
from affetto.baseline import Baseline
from affetto.batch import Padded, pad
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.corpora import Corpus
from affetto.models.base import SpeechModel

CLIPS = (0, 1, 2, 4, 8, 12, 16, 24)
DRAWS = 3
SHARED = ("anger", "happiness", "neutral", "sadness")
HELD_OUT = tuple(f"{actor:02}" for actor in range(13, 25))
BANDS = 12
"""Of the random filters."""
SPREAD = 6.0
"""dB; deviation of a band's gain."""
NOISE = 20.0
"""dB; speech over noise."""


class Speaker:
    """An unheard speaker: summaries (clips, D), lengths in seconds and emotions, with a model that never heard them."""

    def __init__(self, model: SpeechModel, labels: tuple[str, ...], summaries: Tensor, corpus: Corpus) -> None:
        self.model, self.labels, self.summaries = model, labels, summaries
        self.lengths = torch.tensor([corpus.seconds(row) for row in range(len(corpus))], dtype=torch.float32)
        self.emotions = list(corpus.table["emotion"])

    @torch.inference_mode()
    def judged(self, clips: int, rng: np.random.Generator) -> tuple[list[str], list[str], float]:
        """Truth and answer of a random half beside so many clips of the other, and the seconds of these."""
        order = torch.from_numpy(rng.permutation(len(self.emotions)))
        own, others = order[len(order) // 2 :], order[: len(order) // 2][:clips]
        baseline = Baseline(self.summaries[others], self.lengths[others], "") if clips else None
        streams = {"speech": Padded(self.summaries[own][:, None], torch.ones(len(own), dtype=torch.long))}
        best = self.model.judge(streams, [baseline] * len(own)).argmax(dim=1)
        seconds = baseline.seconds if baseline else 0.0
        return [self.emotions[i] for i in own], [self.labels[i] for i in best], seconds


def main(emodb: Path, ravdess: Path) -> None:
    """Measure, write and draw."""
    settings = experiment.read_one("emodb_whisper4", row="whisper4")
    corpus = corpora.read("emodb", emodb)
    bench = Bench.prepare(settings, corpus, cache=FeatureCache(), device=torch.device("cpu"), precision="fp32")
    clean = summaries_of(bench)
    speakers = corpus.table["speaker"]
    elsewhere, [(model, _)] = None, bench.train(settings, range(len(corpus)), [], seed=0)
    elsewhere = at_other_microphones(model, corpus)
    unheard: dict[str, list[Speaker]] = {"EMO-DB": [], "EMO-DB, other microphones": []}
    for speaker in corpus.speakers:
        [(model, _)] = bench.train(settings, np.flatnonzero(speakers != speaker).tolist(), [], seed=0)
        own = speakers == speaker
        of = corpus.select(own)
        for (name, found), states in zip(unheard.items(), (clean, elsewhere), strict=True):
            unheard[name] = [*found, Speaker(model, bench.task.labels, states[torch.from_numpy(own.to_numpy())], of)]
    narrow = bench.narrowed(SHARED)
    [(model, _)] = narrow.train(settings, narrow.of_classes(range(len(corpus))), [], seed=0)
    unheard["EMO-DB to RAVDESS, actors 13 to 24"] = list(actors(model, corpora.read("ravdess", ravdess)))
    curves = {name: curve(found) for name, found in unheard.items()}
    Path(__file__).with_suffix(".json").write_text(json.dumps(curves, indent=1) + "\n")
    draw(curves, Path(__file__).with_suffix(".png"))


def summaries_of(bench: Bench) -> Tensor:
    """What the frozen encoder makes of each clip of a bench, (clips, D)."""
    return bench.features.batch(range(len(bench.corpus))).streams["speech"].values[:, 0]


@torch.inference_mode()
def at_other_microphones(model: SpeechModel, corpus: Corpus) -> Tensor:
    """The same of each clip through its speaker's own random filter, with noise, (clips, D)."""
    rng = np.random.default_rng(0)
    gains = {speaker: SPREAD * rng.standard_normal(BANDS) for speaker in corpus.speakers}
    found = []
    for row, speaker in enumerate(corpus.table["speaker"]):
        waveform = corpus.recording(row).waveform
        frequency = np.fft.rfftfreq(len(waveform), 1 / audio.SAMPLE_RATE)
        places = np.interp(np.log2(frequency.clip(60)), np.linspace(6, 13, BANDS), gains[speaker])
        filtered = np.fft.irfft(np.fft.rfft(waveform) * 10 ** (places / 20), len(waveform))
        noise = filtered.std() * 10 ** (-NOISE / 20) * rng.standard_normal(len(waveform))
        heard = torch.from_numpy((filtered + noise).astype(np.float32))
        found.append(model.hear(pad([heard]))["speech"].values[0])
    return torch.cat(found)


def actors(model: SpeechModel, corpus: Corpus) -> Iterable[Speaker]:
    """The held-out actors of RAVDESS, in the four classes."""
    for actor in HELD_OUT:
        of = corpus.select((corpus.table["speaker"] == actor) & corpus.table["emotion"].isin(SHARED))
        with torch.inference_mode():
            waveforms = [pad([torch.from_numpy(of.recording(row).waveform)]) for row in range(len(of))]
            summaries = torch.cat([model.hear(each)["speech"].values[0] for each in waveforms])
        yield Speaker(model, SHARED, summaries, of)


def curve(speakers: list[Speaker]) -> list[dict[str, float]]:
    """UAR, pooled over speakers, by clips and seconds of baseline; means over draws."""
    found = []
    for clips in CLIPS:
        scores, seconds = [], []
        for seed in range(DRAWS):
            rng = np.random.default_rng(seed)  # the same halves for every number of clips
            judged = [speaker.judged(clips, rng) for speaker in speakers]
            truth = [emotion for each in judged for emotion in each[0]]
            heard = [emotion for each in judged for emotion in each[1]]
            scores.append(metrics.scores(truth, heard)["ua"])
            seconds += [each[2] for each in judged]
        found.append(
            {"clips": clips, "seconds": round(float(np.mean(seconds)), 1), "ua": round(float(np.mean(scores)), 4)}
        )
    return found


def draw(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    """The curves as a picture."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, points in curves.items():
        axes.plot([each["seconds"] for each in points], [100 * each["ua"] for each in points], marker="o", label=name)
    axes.set(xlabel="seconds of the speaker's own speech", ylabel="unweighted average recall in %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
