"""A witness of the shipped recipe that is not ours: scikit-learn's logistic regression on the same mean states.

    python benchmarks/sklearn_probe.py EMODB

Leaves each EMO-DB speaker out. The strength C is the one with the best mean WA when each of the nine other speakers is
left out in turn; with it, one model is trained on all nine, and one on the eight without the test speaker's partner.
Writes mean WA and UA over folds to `benchmarks/sklearn_probe.json`; about two minutes.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from affetto import corpora, experiment, metrics
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.protocol import create

STRENGTHS = [0.001, 0.003, 0.01, 0.03, 0.1]


def main(root: Path) -> None:
    """Measure and write."""
    settings = experiment.read_one("emodb_whisper3")
    corpus = corpora.read("emodb", root)
    bench = Bench.prepare(settings, corpus, cache=FeatureCache(), device=torch.device("cpu"))
    states = bench.features.batch(range(len(corpus))).streams["speech"].values[:, 0].numpy()
    emotion, speaker = corpus.table["emotion"].to_numpy(), corpus.table["speaker"].to_numpy()

    def fit(speakers: tuple[str, ...], strength: float) -> Pipeline:
        rows = np.isin(speaker, speakers)
        regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=300)
        return make_pipeline(StandardScaler(), regression).fit(states[rows], emotion[rows])

    def scores(model: Pipeline, tested: str) -> dict[str, float]:
        rows = speaker == tested
        return metrics.scores(list(emotion[rows]), list(model.predict(states[rows])))

    found: dict[str, list[dict[str, float]]] = {"nine speakers": [], "eight speakers": []}
    for fold in create("emodb-loso10", corpus).folds:
        means = [
            np.mean([scores(fit(tuple(s for s in fold.seen if s != left), c), left)["wa"] for left in fold.seen])
            for c in STRENGTHS
        ]
        strength = STRENGTHS[int(np.argmax(means))]
        found["nine speakers"].append(scores(fit(fold.seen, strength), fold.test[0]))
        found["eight speakers"].append(scores(fit(fold.train, strength), fold.test[0]))
    result = {
        name: {score: round(float(np.mean([fold[score] for fold in folds])), 4) for score in ("wa", "ua")}
        for name, folds in found.items()
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
