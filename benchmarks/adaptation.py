"""What `affetto adapt` brings in another corpus: EMO-DB's model on RAVDESS; writes adaptation.json.

    python benchmarks/adaptation.py RAVDESS [MODEL]        # whisper4-emodb; some minutes of one core

Four emotions (anger, happiness, neutral, sadness) of actors 1 to 12. The model is adapted to so many clips of six
actors, drawn at random, of all emotions alike, and tested on all clips of the other six; then the other way round. What
nested cross-validation says on the clips at hand stands beside what the other actors say. Numbers alone are kept: no
weights, no audio.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from affetto import checkpoint, corpora
from affetto.adaptation.efficiency import draw
from affetto.adaptation.head import AS_IS, Head, adapt, recipes
from affetto.adaptation.validation import Clips, choose, validate
from affetto.cache import FeatureCache
from affetto.dataset import Features
from affetto.metrics import uar
from affetto.provenance import commit, machine
from affetto.recognizer import locate
from affetto.tasks import Categories

LABELS = ("anger", "happiness", "neutral", "sadness")
ACTORS = tuple(f"{number:02d}" for number in range(1, 13))
HALVES = (ACTORS[:6], ACTORS[6:])
SIZES, DRAWS = (20, 40, 80, 160), 5


def heard(model: str, root: Path) -> tuple[Head, Clips]:
    """The model's last layer, narrowed to the four emotions, and what it hears of the clips."""
    old = checkpoint.load(locate(model))
    corpus = corpora.read("ravdess", root)
    corpus = corpus.select(corpus.table["emotion"].isin(LABELS) & corpus.table["speaker"].isin(ACTORS))
    data = Features(corpus, old.model, Categories(LABELS), cache=FeatureCache(), device=torch.device("cpu"))
    states = torch.stack([data.get(row, "speech")[0] for row in range(len(corpus))])
    features = old.model.standardize(states).double().numpy()
    places = [old.task.labels.index(label) for label in LABELS]
    layer = old.model.classifier
    head = Head(layer.weight.detach().double().numpy()[places], layer.bias.detach().double().numpy()[places])
    return head, Clips(features, data.targets.numpy(), corpus.table["speaker"].to_numpy(dtype=str), by_speaker=True)


def ua(head: Head, clips: Clips) -> float:
    """UAR of a head on some clips."""
    answers = head.log_probabilities(clips.features).argmax(axis=1)
    return uar([LABELS[each] for each in clips.classes], [LABELS[each] for each in answers])


def main(root: Path, model: str = "whisper4-emodb") -> None:
    """Measure and write."""
    old, clips = heard(model, root)
    known = recipes(standardised=True)
    halves = [clips.take(np.flatnonzero(np.isin(clips.groups, half))) for half in HALVES]
    rng = np.random.default_rng(0)
    found = []
    for size in SIZES:
        runs = []
        for mine, others in (halves, halves[::-1]):
            for _ in range(DRAWS):
                learned = mine.take(draw(np.arange(len(mine)), mine.classes, size, rng))
                recipe = choose(old, learned, known, seed=0)
                told = validate(old, learned, known, seed=0)
                after = ua(adapt(old, learned.features, learned.classes, recipe), others)
                inside = told.after_interval.low <= after <= told.after_interval.high
                runs.append((ua(old, others), after, told.after, inside, recipe == AS_IS))
        before, after, said, inside, as_is = np.array(runs, dtype=float).T
        found.append(
            {
                "clips": size,
                "before": round(float(before.mean()), 4),
                "after": round(float(after.mean()), 4),
                "after_deviation": round(float(after.std(ddof=1)), 4),
                "worst_gain": round(float((after - before).min()), 4),
                "nested_cross_validation": round(float(said.mean()), 4),
                "within_its_interval": round(float(inside.mean()), 2),
                "left_as_it_was": round(float(as_is.mean()), 2),
            }
        )
        print(found[-1], flush=True)
    content = {
        "model": model,
        "test": "RAVDESS, actors 1-12, by halves, four emotions",
        "runs_a_size": 2 * DRAWS,
        "sizes": found,
        "commit": commit(),
        "machine": machine(torch.device("cpu"), "auto"),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
