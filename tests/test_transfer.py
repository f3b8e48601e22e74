"""Learned on one corpus, heard on the next: the joint corpus, its protocols, the matrix, and what verifies it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import soundfile
import torch
import yaml

from affetto import corpora, experiment, labels, protocol, report, transfer, verification
from affetto.cache import FeatureCache
from affetto.corpora.joint import join, shared
from affetto.errors import ConfigError, CorpusError, ProtocolError
from affetto.report import matrix
from affetto.transfer import Entry

FOUR = ("anger", "happiness", "neutral", "sadness")


@pytest.fixture
def emodb(toy_tree):
    return corpora.read("emodb", toy_tree("emodb"))


@pytest.fixture
def ravdess(toy_tree):
    return corpora.read("ravdess", toy_tree("ravdess"))


def called(corpus, name, emotions=None):
    """A corpus by another name, and maybe with other emotions."""
    table = corpus.table if emotions is None else corpus.table.assign(emotion=corpus.table["emotion"].replace(emotions))
    return corpora.Corpus(replace(corpus.info, name=name), corpus.root, table)


def test_whatever_a_row_is_made_of_moves_with_it(tmp_path):
    path = tmp_path / "rows.yaml"
    stage = {"first": "a", "labels": ["anger", "sadness"]}
    rows = {"a": {}, "b": {"second_stage": stage}, "c": {"average": ["a", "b"]}}
    path.write_text(yaml.safe_dump({"corpus": "emodb", "protocol": "emodb-loso10", "model": "cnn", "rows": rows}))
    a, b, c = (transfer.moved(row, "emodb-on-ravdess-all", "emodb+ravdess", True) for row in experiment.read(path))
    assert b.second_stage.first == a and c.average == (a, b) and c.parts == (a, b, a)
    assert {(each.corpus, each.protocol, each.speaker_statistics) for each in (a, b, c)} == {
        ("emodb+ravdess", "emodb-on-ravdess-all", True)
    }


# The joint corpus


def test_a_joint_corpus_has_the_clips_of_all_under_names_of_their_own(emodb, ravdess):
    both = join([ravdess, emodb])
    assert (both.name, list(both.parts)) == ("emodb+ravdess", ["emodb", "ravdess"])
    assert both.categories == ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
    assert len(both) == 59 + 6 * 24  # of EMO-DB's 69, 10 are bored
    assert {"emodb-03", "ravdess-03"} <= set(both.speakers)
    assert both.table["corpus"].value_counts().to_dict() == {"ravdess": 144, "emodb": 59}
    assert both.table.groupby("speaker")["sex"].nunique().eq(1).all()
    row = list(both.table["corpus"]).index("ravdess")
    file = both.table.index[row][0].removeprefix("ravdess/")
    theirs = list(ravdess.table.index.get_level_values("file")).index(file)
    np.testing.assert_array_equal(both.recording(row).waveform, ravdess.recording(theirs).waveform)
    assert both.transcripts[row] == ravdess.transcripts[theirs]
    assert both.file_hashes()[f"ravdess/{file}"] == ravdess.file_hashes()[file]


def test_the_order_of_corpora_changes_nothing(emodb, ravdess):
    assert join([emodb, ravdess], FOUR).manifest_sha256() == join([ravdess, emodb], FOUR[::-1]).manifest_sha256()
    assert join([emodb], FOUR).manifest_sha256() != join([emodb]).manifest_sha256()


def test_classes_are_those_that_all_have_by_one_name(emodb, ravdess):
    assert shared([emodb, ravdess], ["Angry", "sad"]) == ("anger", "sadness")
    assert "calm" in labels.CATEGORIES and labels.between_corpora("calm") == "calm"
    assert set(labels.BETWEEN_CORPORA) | set(labels.BETWEEN_CORPORA.values()) <= set(labels.CATEGORIES)
    excited = called(ravdess, "elsewhere", {"happiness": "excitement"})
    both = join([emodb, excited], FOUR)
    assert both.table["emotion"].value_counts().to_dict() == dict.fromkeys(FOUR, 34)
    assert join([called(ravdess, "all")]).categories[1] == "calm"


@pytest.mark.parametrize(
    "classes, reason",
    [
        (["anger", "boredom"], "ravdess: has no boredom; all of emodb, ravdess have anger, disgust, fear"),
        (["anger"], "1 classes to tell apart"),
    ],
)
def test_classes_that_are_not_shared_are_refused(emodb, ravdess, classes, reason):
    with pytest.raises(CorpusError, match=reason):
        join([emodb, ravdess], classes)


def test_what_cannot_be_joined_is_refused(emodb, toy_tree):
    with pytest.raises(CorpusError, match=r"emodb\+emodb: the same corpus twice"):
        join([emodb, emodb])
    text = corpora.read("emobank", toy_tree("emobank"))
    with pytest.raises(CorpusError, match="emobank is text alone"):
        join([emodb, text])


# Protocols


def values(corpus, column, rows):
    return set(corpus.table[column].iloc[list(rows)])


def test_halves_of_ravdess_share_no_actor(ravdess):
    tuning, test = (protocol.create(name, ravdess).checked() for name in ("actors1to12", "ravdess-actors13to24"))
    assert (tuning.id, test.id) == ("ravdess-actors1to12-v1", "ravdess-actors13to24-v1")
    halves = [values(ravdess, "speaker", protocol.tested(ravdess, name)) for name in ("actors1to12", "actors13to24")]
    assert halves[0] == {f"{n:02d}" for n in range(1, 13)} and halves[1] == {f"{n:02d}" for n in range(13, 25)}
    for fold in tuning.folds:
        assert values(ravdess, "speaker", (*fold.seen, *fold.test)) == halves[0]
        assert not values(ravdess, "speaker", fold.seen) & {fold.name}
    (fold,) = test.folds
    assert values(ravdess, "speaker", fold.train) == halves[0] and not fold.dev
    few = ravdess.select(ravdess.table["speaker"] != "24")
    with pytest.raises(ProtocolError, match="ravdess-actors13to24: expected the actors 01 to 24"):
        protocol.create("ravdess-actors13to24", few)


def test_all_of_one_corpus_is_learned_and_the_named_clips_of_the_other_are_tested(emodb, ravdess):
    both = join([emodb, ravdess], FOUR)
    dealt = protocol.create("emodb-on-ravdess-actors13to24", both).checked()
    assert dealt.id == "emodb-on-ravdess-actors13to24-anger-happiness-neutral-sadness-v1"
    (fold,) = dealt.folds
    assert values(both, "corpus", fold.train) == {"emodb"} and len(fold.train) == 40
    assert values(both, "speaker", fold.test) == {f"ravdess-{n}" for n in range(13, 25)}
    assert (dealt.definition["trained"], dealt.definition["tested"]) == (["emodb"], "ravdess")
    assert dealt.definition["clips"] == "actors13to24" and dealt.definition["classes"] == list(FOUR)
    # By whichever name, one protocol has one id.
    assert protocol.create("emodb-on-ravdess-ravdess-actors13to24", both).id == dealt.id
    known = protocol.create("emodb-on-ravdess-all-transductive", both)
    assert known.id == "emodb-on-ravdess-all-anger-happiness-neutral-sadness-transductive-v1" and known.transductive
    assert len(known.folds[0].test) == 96


def test_a_corpus_that_is_learned_and_tested_keeps_to_a_protocol_of_its_own(emodb, ravdess):
    both = join([emodb, ravdess], FOUR)
    own = protocol.create("emodb-on-emodb-loso10", both).checked()
    together = protocol.create("ravdess+emodb-on-emodb-loso10", both).checked()
    assert together.id == "emodb+ravdess-on-emodb-loso10-anger-happiness-neutral-sadness-v1"
    for alone, joint in zip(own.folds, together.folds, strict=True):
        assert values(both, "speaker", alone.test) == {f"emodb-{alone.name}"}
        assert not values(both, "speaker", alone.test) & values(both, "speaker", joint.seen)
        assert (alone.test, alone.dev) == (joint.test, joint.dev)
        assert len(joint.train) == len(alone.train) + 96
    with pytest.raises(ProtocolError, match="emodb is learned from and tested"):
        protocol.create("emodb-on-emodb-all", both)


@pytest.mark.parametrize("name", ["emodb-on-iemocap-all", "iemocap-on-emodb-all", "emodb-on-ravdess"])
def test_a_name_that_does_not_fit_the_corpora_is_refused(emodb, ravdess, name):
    with pytest.raises(ProtocolError, match="expected TRAIN-on-TEST-CLIPS"):
        protocol.create(name, join([emodb, ravdess], FOUR))
    with pytest.raises(ProtocolError, match="expected TRAIN-on-TEST-CLIPS of joined corpora"):
        protocol.create("emodb-on-ravdess-all", emodb)


def test_a_file_of_both_corpora_is_a_leak(emodb, ravdess):
    theirs = ravdess.table.index[ravdess.table["emotion"] == "anger"][0][0]
    ours = emodb.table.index[emodb.table["emotion"] == "anger"][0][0]
    shutil.copy(ravdess.path(theirs), emodb.path(ours))
    dealt = protocol.create("emodb-on-ravdess-all", join([emodb, ravdess], FOUR))
    with pytest.raises(ProtocolError, match=f"ravdess/{theirs} and 0 other tested files are learned from, too"):
        dealt.checked()


# The matrix


def test_every_corpus_is_learned_and_tested_in_turn(emodb, ravdess):
    assert transfer.plan([emodb, ravdess]) == [Entry(("emodb",), "ravdess"), Entry(("ravdess",), "emodb")]
    third = called(ravdess, "third")
    planned = {(each.trained, each.tested) for each in transfer.plan([emodb, ravdess, third])}
    assert len(planned) == 9
    assert {(("emodb", "ravdess"), "third"), (("ravdess", "third"), "emodb")} <= planned


def test_clips_that_are_all_clips_have_one_name(emodb, ravdess):
    planned = transfer.plan([emodb, ravdess], tests={"emodb": "loso10", "ravdess": "actors13to24"})
    assert [each.protocol for each in planned] == [
        "emodb-on-emodb-loso10",
        "emodb-on-ravdess-actors13to24",
        "ravdess-on-emodb-all",
        "ravdess-on-ravdess-actors13to24",
    ]
    (one,) = transfer.plan([emodb, ravdess], ["emodb"], {"ravdess": "all"})
    assert one == Entry(("emodb",), "ravdess")
    with pytest.raises(ConfigError, match="iemocap: is not among the corpora that are given: emodb, ravdess"):
        transfer.plan([emodb, ravdess], ["iemocap"])
    with pytest.raises(ConfigError, match="nothing to do"):
        transfer.plan([emodb], ["emodb"])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return FeatureCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def here(synthetic):
    return called(corpora.read("table", synthetic), "here")


@pytest.fixture
def there(synthetic, tmp_path):
    """The same emotions by three other speakers, half as loud and an emotion more, whose excitement is happiness."""
    table = pd.read_csv(synthetic)
    rows = []
    for row in table[table["speaker"] != "dia"].itertuples():
        sound, rate = soundfile.read(synthetic.parent / row.file)
        soundfile.write(tmp_path / row.file, 0.5 * sound[::-1], rate, subtype="PCM_16")
        emotion = {"happiness": "excitement"}.get(row.emotion, row.emotion)
        rows.append(f"{row.file},{'neutral' if row.file.endswith('_7.wav') else emotion},{row.speaker}")
    (tmp_path / "labels.csv").write_text("\n".join(["file,emotion,speaker", *rows]) + "\n")
    return called(corpora.read("table", tmp_path / "labels.csv"), "there")


@pytest.fixture
def run(tiny_experiment, here, there, cache, tmp_path):
    """Runs the matrix of two synthetic corpora."""

    def matrix_of(**planned):
        tried = tiny_experiment(epochs=6, seeds=[0], tuned_on=["ann"], corpus="here")
        given = [here, there]
        return transfer.run(
            [tried],
            given,
            transfer.plan(given, **planned),
            results=tmp_path / "results",
            cache=cache,
            device=torch.device("cpu"),
            precision="fp32",
            jobs=1,
        )

    return matrix_of


def test_a_matrix_is_results_files_that_verify_with_both_corpora(run, here, there, tmp_path):
    paths = run(tests={"here": "speaker-4fold", "there": "all"})
    stem = "anger-happiness-sadness"
    assert [path.parent.name for path in paths] == [
        f"here-on-here-speaker-4fold-{stem}-v1",
        f"here-on-here-speaker-4fold-{stem}-transductive-v1",
        f"here-on-there-all-{stem}-v1",
        f"here-on-there-all-{stem}-transductive-v1",
        f"there-on-here-all-{stem}-v1",
        f"there-on-here-all-{stem}-transductive-v1",
    ]
    for path in paths:
        assert verification.verify(path).faults == ()
        found = verification.verify(path, there, here)
        assert (found.faults, found.notes) == ((), ())
    results = json.loads(paths[2].read_text())
    assert (results["corpus"], results["labels"]) == ("here+there", stem.split("-"))
    assert (results["transductive"], results["tuned_on"]) == (False, ["here-ann"])
    assert json.loads(paths[3].read_text())["transductive"] is True
    table = pd.read_csv(paths[2].with_suffix(".csv"))
    assert len(table) == 63 and set(table["speaker"]) == {"there-ann", "there-ben", "there-cem"}
    expected = sklearn.metrics.balanced_accuracy_score(table["truth"], table["prediction"])
    assert results["fold_mean"]["ua"] == pytest.approx(expected)
    assert "was not compared" in verification.verify(paths[2], here).notes[0]
    # What the corpora say now, the file must say.
    liar = called(there, "there", {"anger": "sadness", "sadness": "anger"})
    faults = verification.verify(paths[2], here, liar).faults
    assert any("is sadness, the file says anger" in fault for fault in faults)
    poor = called(there, "there", {"anger": "neutral"})
    assert any("has no anger" in fault for fault in verification.verify(paths[2], here, poor).faults)


def test_finished_places_are_not_run_again_and_tell_a_changed_corpus(run, there):
    planned = {"trains": ["here"], "tests": {"there": "all"}}
    paths = run(**planned)
    before = [path.stat().st_mtime_ns for path in paths[0].parent.glob("cells/tiny/*.json")]
    run(**planned)
    assert [path.stat().st_mtime_ns for path in paths[0].parent.glob("cells/tiny/*.json")] == before
    there.table.loc[there.table.index[0], "emotion"] = "sadness"
    with pytest.raises(ConfigError, match=r"holds the results of another copy of here\+there"):
        run(**planned)


def test_the_report_shows_the_matrix_and_every_place_of_it(run, tmp_path):
    paths = run(tests={"here": "speaker-4fold", "there": "all"})
    gathered = report.gather(tmp_path / "results")
    (found,) = matrix.matrices(gathered.sections)
    assert (found.trained, found.tested) == (("here", "there"), ("here", "there"))
    assert len(found.rows) == 6
    assert found.row("there", "there", transductive=False) is None
    assert found.row("here", "there", transductive=True).protocol == paths[3].parent.name
    only = report.gather(tmp_path / "results", only={paths[2].parent.name})
    assert [section.protocol for section in only.sections] == [paths[2].parent.name]
    report.write(tmp_path / "results")
    text = (tmp_path / "results" / "REPORT.md").read_text(encoding="utf-8")
    assert "Learned on one corpus, heard on the next" in text
    ua = 100 * json.loads(paths[2].read_text())["fold_mean"]["ua"]
    line = next(line for line in text.splitlines() if line.startswith("| here | "))
    assert f" {ua:.2f} " in line
    assert "there, another corpus than the here of training" in text
    pictures = list((tmp_path / "results" / "figures").glob("across-*.svg"))
    assert len(pictures) == 1 and f">{ua:.1f}<" in pictures[0].read_text()
