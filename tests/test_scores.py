import json
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto import scores
from affetto.errors import ConfigError
from affetto.metrics import Undefined

LABELS = ("anger", "fear", "neutral")
DIMENSIONS = ("valence", "arousal")
SPEAKERS = ("a", "b", "c", "d")


def categories(answers: list[tuple[str, str]], *, seeds: int = 2) -> pd.DataFrame:
    """A table of answers dealt to four speakers, a fold each; the second seed has the predictions turned by one."""
    rows = []
    for seed in range(seeds):
        for i, (truth, _) in enumerate(answers):
            speaker = SPEAKERS[i % 4]
            prediction = answers[(i + 4 * seed) % len(answers)][1]
            rows.append((f"{i}.wav", 0.0, None, speaker, seed, truth, prediction, 0.4, 0.3, 0.3, speaker))
    return pd.DataFrame(rows, columns=[*scores.INDEX, "truth", "prediction", *LABELS, "speaker"])


def dimensions(rng: np.random.Generator, n: int = 40) -> pd.DataFrame:
    """Ratings with predictions, in two seeds and four folds, a speaker each."""
    truth = rng.uniform(1, 7, (n, 2)).round(2)
    rows = [
        (f"{i}.wav", 0.0, None, SPEAKERS[i % 4], seed, t[0], p[0], t[1], p[1], SPEAKERS[i % 4])
        for seed in range(2)
        for i, (t, p) in enumerate(zip(truth, 0.6 * truth + rng.normal(1, 1, (n, 2)), strict=True))
    ]
    columns = ["valence_truth", "valence", "arousal_truth", "arousal", "speaker"]
    return pd.DataFrame(rows, columns=[*scores.INDEX, *columns])


def by_sklearn(part: pd.DataFrame) -> dict[str, float]:
    pair = {"y_true": part.truth, "y_pred": part.prediction}
    present = {"labels": sorted(set(part.truth)), "zero_division": 0.0}
    return {
        "wa": sklearn.metrics.accuracy_score(**pair),
        "ua": sklearn.metrics.recall_score(**pair, **present, average="macro"),
        "macro_f1": sklearn.metrics.f1_score(**pair, **present, average="macro"),
        "weighted_f1": sklearn.metrics.f1_score(**pair, **present, average="weighted"),
    }


def by_scipy(part: pd.DataFrame) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in DIMENSIONS:
        x, y = part[f"{name}_truth"].to_numpy(), part[name].to_numpy()
        covariance = np.cov(x, y, bias=True)
        found[f"ccc_{name}"] = 2 * covariance[0, 1] / (covariance.trace() + (x.mean() - y.mean()) ** 2)
        found[f"pearson_{name}"] = scipy.stats.pearsonr(x, y).statistic
        found[f"mse_{name}"] = sklearn.metrics.mean_squared_error(x, y)
        found[f"mae_{name}"] = sklearn.metrics.mean_absolute_error(x, y)
    return {"ccc": np.mean([found[f"ccc_{name}"] for name in DIMENSIONS]), **found}


def mean(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def check(summary: dict, table: pd.DataFrame, witness) -> None:
    """Every number but intervals against another library's."""
    cells = list(table.groupby(["seed", "fold"], sort=False))
    assert [(fold["seed"], fold["fold"], fold["n"]) for fold in summary["folds"]] == [(*k, len(p)) for k, p in cells]
    for fold, (_, part) in zip(summary["folds"], cells, strict=True):
        assert fold["test"] == pytest.approx(witness(part))
    seeds = {seed: mean([witness(p) for _, p in part.groupby("fold")]) for seed, part in table.groupby("seed")}
    assert summary["fold_mean_by_seed"] == {str(seed): pytest.approx(found) for seed, found in seeds.items()}
    assert summary["fold_mean"] == pytest.approx(mean(list(seeds.values())))
    assert summary["pooled"] == pytest.approx(mean([witness(part) for _, part in table.groupby("seed")]))
    for name, deviation in summary["deviation"].items():
        assert deviation == pytest.approx(np.std([found[name] for found in seeds.values()], ddof=1), abs=1e-12)
    assert list(summary["by_speaker"]) == sorted(table.speaker.unique())
    for speaker, found in summary["by_speaker"].items():
        own = table[table.speaker == speaker]
        expected = mean([witness(part) for _, part in own.groupby("seed")])
        assert found == pytest.approx({"n": len(own) / len(seeds), **expected})


answers = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=4, max_size=24)


@settings(deadline=None, max_examples=15)
@given(answers)
def test_scores_of_categories_are_those_of_scikit_learn(drawn):
    table = categories(drawn)
    summary = scores.summarise(table, "categories", LABELS)
    check(summary, table, by_sklearn)
    counts = sklearn.metrics.confusion_matrix(table.truth, table.prediction, labels=LABELS)
    assert summary["confusion"] == counts.tolist()


def test_scores_of_dimensions_are_those_of_scipy_and_scikit_learn():
    table = dimensions(np.random.default_rng(0))
    summary = scores.summarise(table, "dimensions", DIMENSIONS)
    check(summary, table, by_scipy)
    assert "confusion" not in summary


def test_a_summary_of_two_seeds_is_the_mean_of_each():
    rows = [("a", "03", "anger"), ("b", "03", "fear"), ("c", "08", "fear")]
    heard = [["anger", "anger", "fear"], ["fear", "fear", "anger"]]
    table = pd.DataFrame(
        [
            (file, 0.0, None, speaker, seed, truth, prediction, 0, 0, 0, speaker)
            for seed in (0, 1)
            for (file, speaker, truth), prediction in zip(rows, heard[seed], strict=True)
        ],
        columns=[*scores.INDEX, "truth", "prediction", *LABELS, "speaker"],
    )
    summary = scores.summarise(table, "categories", LABELS)
    assert [fold["test"]["ua"] for fold in summary["folds"]] == [0.5, 1.0, 0.5, 0.0]
    assert summary["fold_mean"]["ua"] == 0.5
    assert summary["fold_mean_by_seed"]["0"]["ua"] == 0.75
    assert summary["pooled"]["ua"] == pytest.approx((0.75 + 0.25) / 2)
    assert summary["confusion"] == [[1, 1, 0], [2, 2, 0], [0, 0, 0]]


# Intervals


@pytest.mark.parametrize("task", ["categories", "dimensions"])
def test_every_interval_holds_its_estimate(task):
    rng = np.random.default_rng(1)
    if task == "categories":
        truth = rng.choice(LABELS, 60)
        table = categories([(t, t if rng.random() < 0.7 else str(rng.choice(LABELS))) for t in truth])
        summary = scores.summarise(table, task, LABELS)
    else:
        summary = scores.summarise(dimensions(rng), task, DIMENSIONS)
    found = summary["intervals"]
    assert (found["level"], found["draws"], found["clusters"], found["reason"]) == (0.95, 10_000, 4, None)
    for aggregate in ("fold_mean", "pooled"):
        assert list(found[aggregate]) == list(summary[aggregate])
        for name, (low, high) in found[aggregate].items():
            assert low <= summary[aggregate][name] <= high, (aggregate, name)
    assert [path for path in summary["undefined"] if path.startswith("intervals")] == []


def test_the_same_predictions_give_the_same_interval():
    table = categories([("anger", "anger"), ("fear", "anger"), ("neutral", "neutral"), ("fear", "fear")] * 4)
    first, second = (scores.summarise(table, "categories", LABELS)["intervals"] for _ in range(2))
    assert first == second


def test_without_speakers_there_is_no_interval_but_a_reason():
    table = categories([("anger", "anger"), ("fear", "anger")] * 4)
    table["speaker"] = table.speaker.where(table.file != "0.wav", None)
    summary = scores.summarise(table, "categories", LABELS)
    assert summary["intervals"] == {
        "level": 0.95,
        "draws": 10_000,
        "clusters": 4,
        "reason": "2 clips have no speaker",
    }
    assert list(summary["by_speaker"]) == list(SPEAKERS)
    assert math.isfinite(summary["fold_mean"]["ua"])


def test_two_speakers_have_an_undefined_interval_with_the_reason():
    table = categories([("anger", "anger"), ("fear", "anger")] * 4)
    table = table[table.speaker.isin(["a", "b"])]
    summary = scores.summarise(table, "categories", LABELS)
    assert summary["intervals"]["reason"] == "fewer than 3 speakers"
    assert all(map(math.isnan, summary["intervals"]["fold_mean"]["ua"]))
    assert summary["undefined"]["intervals.fold_mean.ua"] == "fewer than 3 speakers"
    assert scores.plain(summary)["intervals"]["pooled"]["wa"] == [None, None]


def test_one_undefined_interval_among_others_has_its_reason():
    table = dimensions(np.random.default_rng(2))
    table.loc[table.speaker == "a", "valence"] = 4.0  # constant: Pearson's r of a's fold is undefined
    summary = scores.summarise(table, "dimensions", DIMENSIONS)
    assert math.isnan(summary["intervals"]["fold_mean"]["pearson_valence"][0])
    assert summary["intervals"]["reason"]
    assert summary["undefined"]["intervals.fold_mean.pearson_valence"] == summary["intervals"]["reason"]
    assert math.isfinite(summary["intervals"]["fold_mean"]["mae_arousal"][0])


# What is undefined


def test_what_is_undefined_is_nan_with_its_reason_by_path():
    table = dimensions(np.random.default_rng(3))
    table.loc[(table.fold == "b") & (table.seed == 1), "arousal_truth"] = 2.0
    summary = scores.summarise(table, "dimensions", DIMENSIONS)
    assert summary["undefined"]["folds.b-1.pearson_arousal"] == "the truth is constant"
    assert summary["undefined"]["fold_mean.pearson_arousal"] == "a part of it is undefined"
    assert "folds.b-1.ccc" not in summary["undefined"]  # the CCC of a constant is 0
    nan = {path for path, value in leaves(summary) if isinstance(value, float) and math.isnan(value)}
    assert nan == set(summary["undefined"])


def leaves(summary: dict, path: str = ""):
    """Every number with its path; an interval by its lower end."""
    for key, value in summary.items():
        if key == "folds":
            for fold in value:
                yield from leaves(fold["test"], f"folds.{fold['fold']}-{fold['seed']}.")
        elif isinstance(value, dict):
            yield from leaves(value, f"{path}{key}.")
        elif isinstance(value, list) and value:
            yield f"{path}{key}", value[0]
        else:
            yield f"{path}{key}", value


def test_one_seed_has_no_deviation():
    summary = scores.summarise(categories([("anger", "anger"), ("fear", "anger")] * 4, seeds=1), "categories", LABELS)
    assert math.isnan(summary["deviation"]["ua"])
    assert "seed" in summary["undefined"]["deviation.ua"]


def test_plain_knows_no_nan():
    content = {"a": [1.0, math.nan, {"b": Undefined("none")}], "c": "nan", "d": None}
    assert (
        json.dumps(scores.plain(content), allow_nan=False) == '{"a": [1.0, null, {"b": null}], "c": "nan", "d": null}'
    )


# Tables


def test_a_table_is_read_as_it_was_written(tmp_path):
    table = categories([("anger", "anger"), ("fear", "anger")] * 4)
    table["fold"] = "0" + table.fold
    table["speaker"] = table.speaker.replace({"a": "NA", "b": "03", "d": None})
    table.to_csv(tmp_path / "t.csv", index=False, lineterminator="\n")
    found = scores.read(tmp_path / "t.csv")
    assert found.speaker.tolist() == table.speaker.tolist()
    assert found.fold.tolist() == table.fold.tolist()
    assert found.end.isna().all()
    pd.testing.assert_frame_equal(found.drop(columns=["end", "speaker"]), table.drop(columns=["end", "speaker"]))
    expected = scores.plain(scores.summarise(table, "categories", LABELS))
    assert scores.plain(scores.summarise(found, "categories", LABELS)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r"t\.csv: is not a table of predictions"),
        ("", r"t\.csv: is not a table of predictions"),
        ("file,start,end\n", r"t\.csv: has no column fold, seed, speaker; found file, start, end"),
    ],
)
def test_what_is_no_table_of_predictions_is_refused(text, words, tmp_path):
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ConfigError, match=words):
        scores.read(tmp_path / "t.csv")


def test_a_task_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="no task is called 'moods'; the tasks are categories, dimensions"):
        scores.scoring("moods", LABELS)
