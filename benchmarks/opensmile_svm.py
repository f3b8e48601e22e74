"""What the field's classic gives on EMO-DB: openSMILE's eGeMAPS functionals and a linear support vector machine.

    python -m venv .venv-opensmile && .venv-opensmile/bin/pip install opensmile scikit-learn
    .venv-opensmile/bin/python benchmarks/opensmile_svm.py EMODB

openSMILE is free for research alone, so it stands beside the package and is never a part of it. Leaves each of the ten
speakers out; C is the one with the best mean UA when each of the nine other speakers is left out in turn. Writes WA and
UA, means over folds and of all clips pooled, to `benchmarks/opensmile_svm.json`; a few minutes.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import opensmile
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

FEATURES = opensmile.FeatureSet.eGeMAPSv02
STRENGTHS = [0.001, 0.01, 0.1, 1.0]


def main(root: Path) -> None:
    """Measure and write."""
    clips = sorted((root / "wav").glob("*.wav"))
    speaker = np.array([clip.name[:2] for clip in clips])
    emotion = np.array([clip.name[5] for clip in clips])
    smile = opensmile.Smile(feature_set=FEATURES, feature_level=opensmile.FeatureLevel.Functionals)
    features = np.concatenate([smile.process_file(clip).to_numpy() for clip in clips])
    result = {FEATURES.name: leave_speakers_out(features, emotion, speaker)}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def leave_speakers_out(features: np.ndarray, emotion: np.ndarray, speaker: np.ndarray) -> dict[str, dict[str, float]]:
    """WA and UA: means over the speakers, and of all clips pooled."""

    def answer(tested: str, others: list[str], strength: float) -> np.ndarray:
        train, test = np.isin(speaker, others), speaker == tested
        machine = make_pipeline(StandardScaler(), LinearSVC(C=strength, class_weight="balanced", random_state=0))
        answers: np.ndarray = machine.fit(features[train], emotion[train]).predict(features[test])
        return answers

    pooled = np.empty_like(emotion)
    folds = []
    for tested in np.unique(speaker):
        seen = [other for other in np.unique(speaker) if other != tested]
        means = [
            np.mean(
                [
                    scores(
                        emotion[speaker == left], answer(left, [other for other in seen if other != left], strength)
                    )[1]
                    for left in seen
                ]
            )
            for strength in STRENGTHS
        ]
        test = speaker == tested
        pooled[test] = answer(tested, seen, STRENGTHS[int(np.argmax(means))])
        folds.append(scores(emotion[test], pooled[test]))
    return {
        name: {"wa": round(float(wa), 4), "ua": round(float(ua), 4)}
        for name, (wa, ua) in {"fold_mean": np.mean(folds, axis=0), "pooled": scores(emotion, pooled)}.items()
    }


def scores(truth: np.ndarray, answers: np.ndarray) -> tuple[float, float]:
    """WA, and UA over the classes that are there: one speaker has no disgust."""
    ua = recall_score(truth, answers, labels=np.unique(truth), average="macro")
    return float((answers == truth).mean()), float(ua)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)  # of the weakest penalties
    main(Path(sys.argv[1]))
