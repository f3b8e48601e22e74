"""Groups of speakers: what Fairlearn says of the same answers, what chance gives, and what is not known."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto import corpora, groups, scores, statistics
from affetto.errors import ConfigError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "fairness.json").read_text(encoding="utf-8"))
CLASSES = ("anger", "neutral", "sadness")
SCORING = scores.scoring("categories", CLASSES)


def predictions(truth, prediction, speaker, seed=0):
    table = pd.DataFrame({"truth": truth, "prediction": prediction, "speaker": speaker})
    return table.assign(file=[f"{n}.wav" for n in range(len(table))], start=0.0, end=None, fold="all", seed=seed)


@pytest.fixture(scope="module")
def known():
    table = predictions(REFERENCE["truth"], REFERENCE["prediction"], REFERENCE["speaker"])
    return groups.compare(table, SCORING, REFERENCE["group"], by="age")


def test_scores_of_groups_are_fairlearns(known):
    assert [group.name for group in known.groups] == ["20 to 29", "30 to 39", "40 to 49"]
    for name, expected in REFERENCE["scores"].items():
        assert {group.name: group.scores[name] for group in known.groups} == pytest.approx(expected)
        assert known.gaps[name].difference == pytest.approx(REFERENCE["differences"][name])
    assert sum(group.clips for group in known.groups) == 300
    assert [group.speakers for group in known.groups] == [4, 4, 4]


def test_gaps_of_classes_are_fairlearns(known):
    for label, expected in REFERENCE["classes"].items():
        for rate in ("recall", "false alarms"):
            gap, by_group = known.gaps[f"{rate} {label}"], expected["by_group"][rate]
            assert gap.difference == pytest.approx(expected["difference"][rate])
            assert by_group[gap.highest] == pytest.approx(max(by_group.values()))
            assert by_group[gap.lowest] == pytest.approx(min(by_group.values()))
    odds = max(expected["equalized_odds_difference"] for expected in REFERENCE["classes"].values())
    assert known.odds.difference == pytest.approx(odds)
    assert known.odds.what == "recall anger"


def test_intervals_are_those_of_scipy_over_speakers():
    random = np.random.default_rng(4)
    good = np.array([0.9, 0.8, 0.95, 0.85, 0.5, 0.6, 0.7, 0.4, 0.5])
    truth = random.choice(CLASSES, 360)
    heard = np.where(random.random(360) < np.repeat(good, 40), truth, random.choice(CLASSES, 360))
    table = predictions(truth, heard, [f"s{n // 40}" for n in range(360)])
    found = groups.compare(table, SCORING, ["a" if n < 160 else "b" for n in range(360)], by="sex").gaps["wa"]
    right = (table["truth"] == table["prediction"]).groupby(table["speaker"]).mean().to_numpy()
    tail = statistics.expanded_tail(0.95, 4)
    expected = scipy.stats.bootstrap(
        (right[:4], right[4:]),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        confidence_level=1 - 2 * tail,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert found.interval.clusters == 4
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high), abs=0.02)
    assert found.interval.low > 0


def test_chance_is_that_of_every_way_of_dealing_speakers_to_groups():
    random = np.random.default_rng(2)
    speakers = [f"s{n}" for n in range(8) for _ in range(20)]
    truth = random.choice(CLASSES, 160)
    good = np.repeat([0.9, 0.8, 0.9, 0.85, 0.5, 0.6, 0.7, 0.5], 20)
    heard = np.where(random.random(160) < good, truth, random.choice(CLASSES, 160))
    table = predictions(truth, heard, speakers)
    found = groups.compare(table, SCORING, ["a" if int(s[1:]) < 4 else "b" for s in speakers], by="sex")
    right = (table["truth"] == table["prediction"]).groupby(table["speaker"]).mean().to_numpy()
    ways = [abs(right[list(way)].mean() - np.delete(right, way).mean()) for way in itertools.combinations(range(8), 4)]
    gap = found.gaps["wa"]
    assert gap.difference == pytest.approx(ways[0]) and (gap.highest, gap.lowest) == ("a", "b")
    assert gap.by_chance == pytest.approx(np.mean(ways), abs=0.01)
    assert gap.p_value == pytest.approx(np.mean(np.array(ways) >= ways[0] - 1e-12), abs=0.01)
    assert found.odds.p_value >= min(each.p_value for each in found.of_classes)
    assert found.odds.by_chance > max(each.by_chance for each in found.of_classes)


def test_groups_that_are_served_alike_have_no_gap():
    truth = [label for _ in range(6) for label in CLASSES]
    speakers = [f"s{n}" for n in range(6) for _ in CLASSES]
    found = groups.compare(
        predictions(truth, truth, speakers), SCORING, [int(s[1:]) % 2 and "a" or "b" for s in speakers], by="sex"
    )
    assert {gap.difference for gap in found.gaps.values()} == {0.0}
    assert found.odds.difference == 0 and found.odds.p_value == 1


@given(st.data())
@settings(deadline=None, max_examples=20)
def test_a_rate_is_of_the_clips_that_mean_a_class_or_do_not(data):
    counts = np.array(data.draw(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=3, max_size=3)))
    recall, alarms = groups.class_rates(counts)
    for place in range(3):
        meant, others = counts[place].sum(), counts.sum() - counts[place].sum()
        wrong = counts[:, place].sum() - counts[place, place]
        assert math.isnan(recall[place]) if not meant else recall[place] == pytest.approx(counts[place, place] / meant)
        assert math.isnan(alarms[place]) if not others else alarms[place] == pytest.approx(wrong / others)


def test_seeds_are_averaged_and_not_counted_as_clips():
    first = predictions(REFERENCE["truth"], REFERENCE["prediction"], REFERENCE["speaker"])
    second = predictions(REFERENCE["truth"], REFERENCE["truth"], REFERENCE["speaker"], seed=1)
    alone = groups.compare(first, SCORING, REFERENCE["group"], by="age")
    found = groups.compare(pd.concat([first, second]), SCORING, 2 * REFERENCE["group"], by="age")
    assert [group.clips for group in found.groups] == [group.clips for group in alone.groups]
    for both, one in zip(found.groups, alone.groups, strict=True):
        assert both.scores["ua"] == pytest.approx((one.scores["ua"] + 1) / 2)
    assert found.odds.difference == pytest.approx(alone.odds.difference / 2)


def test_what_is_not_known_is_left_out_or_undefined_with_its_reason():
    truth, speakers = list(CLASSES) * 4, [f"s{n}" for n in range(4) for _ in CLASSES]
    table = predictions(truth, truth, speakers)
    assert groups.compare(table, SCORING, ["a"] * 9 + [None] * 3, by="sex") is None
    found = groups.compare(table, SCORING, ["a"] * 6 + ["b"] * 3 + [None] * 3, by="sex")
    assert found.left_out == 3
    assert found.gaps["ua"].interval.reason == "a group of fewer than 3 speakers"
    nameless = groups.compare(table.assign(speaker=None), SCORING, ["a", "b"] * 6, by="sex")
    assert nameless.groups[0].intervals["ua"].reason == "clips without a speaker"
    assert math.isnan(nameless.gaps["ua"].p_value)
    # A class that only one group means has no gap in recall, and the others have.
    uneven = table[~((table["truth"] == "anger") & table["speaker"].isin(["s2", "s3"]))]
    sides = ["a" if speaker in ("s0", "s1") else "b" for speaker in uneven["speaker"]]
    found = groups.compare(uneven, SCORING, sides, by="sex")
    assert found.gaps["recall anger"].difference == 0 == found.odds.difference
    with pytest.raises(ValueError, match="2 groups for 12 clips"):
        groups.compare(table, SCORING, ["a", "b"], by="sex")


def test_ratings_have_groups_and_no_classes():
    random = np.random.default_rng(3)
    truth = random.uniform(1, 5, 80)
    table = pd.DataFrame({"arousal_truth": truth, "arousal": truth + random.normal(0, np.repeat([0.2, 1.0], 40))})
    table = table.assign(speaker=[f"s{n // 10}" for n in range(80)], seed=0, fold="all")
    found = groups.compare(table, scores.scoring("dimensions", ["arousal"]), ["a"] * 40 + ["b"] * 40, by="sex")
    assert found.odds is None and found.of_classes == ()
    assert (found.gaps["ccc_arousal"].highest, found.gaps["mse_arousal"].highest) == ("a", "b")
    expected = ((table["arousal"] - table["arousal_truth"])[40:] ** 2).mean()
    assert found.groups[1].scores["mse_arousal"] == pytest.approx(expected)
    assert found.gaps["ccc_arousal"].p_value < 0.1


@pytest.mark.parametrize("name", ["emodb", "ravdess", "iemocap"])
def test_what_is_published_of_speakers_is_what_the_corpus_says(name, toy_tree):
    table = corpora.read(name, toy_tree(name)).table
    about = groups.of_speakers(name)
    assert (
        dict(zip(table["speaker"], table["sex"], strict=True)).items()
        <= {speaker: each["sex"] for speaker, each in about.items()}.items()
    )
    if "age" in table:
        for speaker, age in zip(table["speaker"], table["age"], strict=True):
            first, last = map(int, about[speaker]["age"].split(" to "))
            assert first <= age <= last


def test_speakers_of_ones_own_are_read_from_a_table(tmp_path):
    path = tmp_path / "speakers.csv"
    path.write_text("speaker,age,sex\nann,31,female\nben,,male\n")
    about = groups.read(path)
    assert about == {"ann": {"sex": "female", "age": "30 to 39"}, "ben": {"sex": "male"}}
    table = pd.DataFrame({"speaker": ["ben", "ann", None, "cem"]})
    assert groups.known(table, "sex", about) == ["male", "female", None, None]
    assert groups.known(table, "speaker", about) == ["ben", "ann", None, "cem"]
    with pytest.raises(ConfigError, match="--by shoes: expected one of sex, age, speaker"):
        groups.known(table, "shoes", about)
    path.write_text("speaker,age\nann,old\n")
    with pytest.raises(ConfigError, match="row 2: age is 'old'"):
        groups.read(path)
    path.write_text("speaker,shoes\nann,old\n")
    with pytest.raises(ConfigError, match="expected the columns speaker and sex, age or both"):
        groups.read(path)
