"""What Fairlearn makes of predictions in three groups: the witness of `affetto.groups`.

Writes fairness.json beside this file. Needs Fairlearn, which neither the package nor its tests do:

    pip install fairlearn && python tests/reference/fairness.py
"""

import json
from pathlib import Path

import numpy as np
import sklearn.metrics

HERE = Path(__file__).parent
CLASSES = ("anger", "neutral", "sadness")
GROUPS = ("20 to 29", "30 to 39", "40 to 49")


def drawn() -> tuple[list[str], list[str], list[str], list[str]]:
    """Truth, prediction, group and speaker of 300 clips; the third group is heard worse, and anger most of all."""
    random = np.random.default_rng(6)
    truth = random.choice(CLASSES, 300, p=(0.5, 0.3, 0.2))
    place = random.integers(0, 3, 300)
    wrong = random.random(300) < np.where(truth == "anger", 0.1 + 0.2 * place, 0.2)
    prediction = np.where(wrong, random.choice(CLASSES, 300), truth)
    speaker = [f"{GROUPS[each]}, {number % 4}" for number, each in enumerate(place)]
    return list(truth), list(prediction), [GROUPS[each] for each in place], speaker


def main() -> None:
    """Write what went in and what came out."""
    import fairlearn
    from fairlearn.metrics import MetricFrame, equalized_odds_difference, false_positive_rate

    truth, prediction, group, speaker = drawn()
    classes = {}
    for label in CLASSES:
        one = {"y_true": [t == label for t in truth], "y_pred": [p == label for p in prediction]}
        rates = {"recall": sklearn.metrics.recall_score, "false alarms": false_positive_rate}
        frame = MetricFrame(metrics=rates, **one, sensitive_features=group)
        classes[label] = {
            "by_group": {rate: frame.by_group[rate].to_dict() for rate in rates},
            "difference": {rate: float(frame.difference()[rate]) for rate in rates},
            "equalized_odds_difference": float(equalized_odds_difference(**one, sensitive_features=group)),
        }
    whole = {
        "wa": sklearn.metrics.accuracy_score,
        "ua": sklearn.metrics.balanced_accuracy_score,
        "macro_f1": lambda y_true, y_pred: sklearn.metrics.f1_score(y_true, y_pred, average="macro"),
    }
    frame = MetricFrame(metrics=whole, y_true=truth, y_pred=prediction, sensitive_features=group)
    content = {
        "fairlearn": fairlearn.__version__,
        "truth": truth,
        "prediction": prediction,
        "group": group,
        "speaker": speaker,
        "scores": {name: frame.by_group[name].to_dict() for name in whole},
        "differences": {name: float(frame.difference()[name]) for name in whole},
        "classes": classes,
    }
    (HERE / "fairness.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
