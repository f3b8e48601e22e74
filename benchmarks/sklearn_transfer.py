"""A witness of the matrix across corpora that is not ours: scikit-learn's linear support vector machine.

    python benchmarks/sklearn_transfer.py EMODB RAVDESS

The same mean states, clips and classes as `affetto transfer` has; nothing is chosen (scikit-learn's defaults, balanced
classes). As is, features are standardised with the training clips; with the speaker's own baseline, with those of each
speaker's clips. Writes WA and UA to `benchmarks/sklearn_transfer.json`; a minute, once the features are cached.
"""

import json
import sys
from pathlib import Path

import numpy as np
import sklearn.metrics
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from affetto import corpora, experiment
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.corpora.joint import join
from affetto.protocol import create

CLASSES = ("anger", "happiness", "neutral", "sadness")
PROTOCOLS = (
    "emodb-on-ravdess-all",
    "emodb-on-ravdess-actors13to24",
    "ravdess-on-emodb-all",
    "ravdess-on-ravdess-actors13to24",
    "emodb-on-emodb-loso10",
)


def main(emodb: Path, ravdess: Path) -> None:
    """Measure and write."""
    corpus = join([corpora.read("emodb", emodb), corpora.read("ravdess", ravdess)], CLASSES)
    settings = experiment.read_one("emodb_whisper3")
    bench = Bench.prepare(settings, corpus, cache=FeatureCache(), device=torch.device("cpu"))
    states = bench.features.batch(range(len(corpus))).streams["speech"].values[:, 0].numpy()
    emotion, speaker = corpus.table["emotion"].to_numpy(), corpus.table["speaker"].to_numpy()
    own = np.empty_like(states)
    for name in corpus.speakers:
        own[speaker == name] = StandardScaler().fit_transform(states[speaker == name])
    found: dict[str, dict[str, dict[str, float]]] = {}
    for protocol in PROTOCOLS:
        for how, given in (("as is", states), ("own baseline", own)):
            scores = []
            for fold in create(protocol, corpus).folds:
                train, test = list(fold.seen), list(fold.test)
                machine = make_pipeline(StandardScaler(), SVC(kernel="linear", class_weight="balanced"))
                heard = machine.fit(given[train], emotion[train]).predict(given[test])
                recalls = sklearn.metrics.recall_score(
                    emotion[test], heard, labels=sorted(set(emotion[test])), average="macro"
                )
                scores.append((sklearn.metrics.accuracy_score(emotion[test], heard), recalls))
            wa, ua = np.mean(scores, axis=0)
            found.setdefault(protocol, {})[how] = {"wa": round(float(wa), 4), "ua": round(float(ua), 4)}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
