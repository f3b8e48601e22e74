import json
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from pydantic import create_model

from affetto import experiment, models, transfer
from affetto.errors import ConfigError
from affetto.training import check_augmentation

CNN = {"name": "toy", "corpus": "emodb", "protocol": "emodb-loso10", "model": {"name": "cnn"}}
FUSION = {**CNN, "model": {"name": "fusion_convbert", "encoder": {"name": "whisper"}}}
ROWS = {
    "corpus": "emodb",
    "protocol": "emodb-loso10",
    "training": {"epochs": 25, "optimizer": "adam", "spec_augment": {"time_width": 32}},
    "model": {"name": "cnn", "dropout": 0.5},
    "rows": {
        "a": {},
        "b": {"training": {"epochs": 5}},
        "c": {"model": {"name": "linear_probe"}, "training": {"spec_augment": None}},
    },
}
RESULTS = Path(__file__).parents[1] / "results"


@pytest.fixture
def written(tmp_path):
    """Writes an experiment's YAML."""

    def write(content: dict) -> Path:
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return write


@pytest.fixture
def refusal(written):
    """What a user is told of an experiment's YAML file, without the file's name."""

    def refuse(content: dict, *assignments: str) -> str:
        path = written(content)
        with pytest.raises(ConfigError) as caught:
            experiment.read(path, assignments)
        assert "\n" not in str(caught.value)
        return str(caught.value).removeprefix(f"{path}: ")

    return refuse


# One


def test_an_experiment_states_only_what_differs(written):
    short = experiment.read_one(written({**CNN, "model": "cnn"}))
    assert short.model == models.parse_settings({"name": "cnn"}, source="test")
    assert short.seeds == (0,)
    in_full = experiment.read_one(written(short.config))
    assert in_full == short
    assert in_full.fingerprint == short.fingerprint


def test_a_folder_of_the_same_name_does_not_hide_an_experiment_that_ships(tmp_path, monkeypatch):
    (tmp_path / "ravdess").mkdir()
    monkeypatch.chdir(tmp_path)
    assert experiment.read("ravdess")[0].corpus == "ravdess"


@pytest.mark.parametrize("name", experiment.names())
def test_experiments_that_ship_can_be_read_by_name(name):
    for shipped in experiment.read(name):
        assert shipped.model.name in models.names()
        assert shipped.protocol.startswith(
            ("emodb-", "iemocap-", "ravdess-", "simulated_", "emobank-", "official", "random", "speaker-", "bill-")
        )


def test_assignments_reach_into_models_and_encoders(written):
    settings = ("model.encoder.outputs=[2]", "model.dropout=0.2", "training.learning_rate=1e-4")
    changed = experiment.read_one(written(FUSION), settings)
    assert (changed.model.encoder.outputs, changed.model.dropout) == ((2,), 0.2)
    assert changed.training.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("modle=cnn", "unknown setting 'modle'; did you mean 'model'?"),
        ("training.epoch=3", "unknown setting 'training.epoch'; did you mean 'epochs'?"),
        ("training.epochs=0", "training.epochs: Input should be greater than or equal to 1 (got 0)"),
        ("training.spec_augment.time_stripe=3", "unknown setting 'training.spec_augment.time_stripe'; did you mean "),
        ("model.name=cnnn", "no model is called 'cnnn'; the models are "),
        ("model.dropuot=0.1", "model: unknown setting 'dropuot'; did you mean 'dropout'?"),
        ("model.encoder.ouputs=[1]", "model: unknown setting 'encoder.ouputs'; did you mean 'outputs'?"),
        # `preset` is a setting of the other encoder only
        ("model.encoder.preset=small", "model: unknown setting 'encoder.preset'; known here are front_end, heads, "),
        ("model.encoder.name=wisper", "model: encoder.name: nothing is called 'wisper'; expected 'speech_bert', "),
        ("model.encoder={outputs: [1]}", "model: the setting 'encoder.name' is required"),
        ("model.encoder.outputs=[0]", "model: encoder: outputs are layer numbers from 1"),
        ("model.encoder.front_end=mel80", "the front ends are mel160, mockingjay160, whisper80, panns16k (got "),
        ("model.encoder.front_end.n_mel=80", "unknown setting 'encoder.front_end.n_mel'; did you mean 'n_mels'?"),
        ("model.heads=7", "model: heads must divide width, got 7 heads on width 120"),
        ("model.front_end={n_mels: 40}", "model: the CNN's poolings take 64 features or more, got 40"),
        ("model.encoder={name: speech_bert, inputs: 80}", "encoder.inputs is 80, but the front end gives 160 features"),
        ("model={name: cnn, front_end: whisper80}", "model: the CNN's poolings take 128 features or more, got 80"),
        ("model=null", "the setting 'model' is required; the models are acrnn, bert, cnn, "),
        ("seeds=[]", "seeds: Tuple should have at least 1 item"),
        ("choose.grid={training.epoch: [3]}", "unknown setting 'training.epoch'; did you mean 'epochs'?"),
        ("choose.grid={training.epochs: [3, many]}", "training.epochs: Input should be a valid integer"),
        ("choose.grid={model.dropout: [0.1]}", "only settings of training and task can be chosen, not model.dropout"),
        ("choose.grid={training.epochs: []}", "training.epochs has no values to choose from"),
        ("choose={grid: {training.epochs: [3]}, validation: test}", "validation: Input should be 'left_out' or 'dev'"),
        ("protocol=[]", "protocol: expected one or more, got an empty list"),
        ("protocol=[1]", "protocol: Input should be a valid string"),
        ("rows=3", "rows: expected row ids with the settings that differ, got 3"),
        ("rows={}", "rows: expected row ids with the settings that differ, got {}"),
        ("rows={a: cnn}", "rows: expected row ids with the settings that differ, got {'a': 'cnn'}"),
        ("rows={a/b: {}}", "name: cannot name files; expected letters"),
        ("rows={a: {modle: cnn}}", "unknown setting 'modle'; did you mean 'model'?"),
        ("rows={a: {}, b: {name: a}}", "two rows have the same name under the same protocol"),
        ("rows={a: {}, b: {corpus: ravdess}}", "all rows learn from one corpus, got emodb, ravdess"),
        ("protocol=[random80, random80]", "two rows have the same name under the same protocol"),
    ],
)
def test_wrong_settings_of_experiments_are_refused_by_name(assignment, words, refusal):
    assert words in refusal(FUSION, assignment)


def test_names_that_yaml_takes_for_truth_values_are_refused(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text("corpus: emodb\nprotocol: emodb-loso10\nmodel: cnn\nrows:\n  on: {}\n  off: {}\n")
    with pytest.raises(ConfigError, match=r"toy\.yaml: True stands where a name is expected; put names such as 'on'"):
        experiment.read(path)
    path.write_text(path.read_text().replace("on:", "'on':").replace("off:", "'off':"))
    assert [row.name for row in experiment.read(path)] == ["on", "off"]


def test_a_chosen_setting_leaves_nothing_to_choose(written):
    grid = {"training.weight_decay": [0.1, 0.2]}
    open_experiment = experiment.read_one(written({**CNN, "choose": {"grid": grid}}))
    chosen = open_experiment.with_settings({"training.weight_decay": 0.2})
    assert chosen.training.weight_decay == 0.2
    assert chosen.choose is None
    assert chosen.model == open_experiment.model


@pytest.mark.parametrize(
    ("choose", "refit"), [(None, False), ({"validation": "dev"}, False), ({"validation": "left_out"}, True), ({}, True)]
)
def test_who_chooses_by_leaving_out_trains_on_dev_as_well(choose, refit, written):
    if choose is not None:
        choose = {"grid": {"training.epochs": [1]}, **choose}
    assert experiment.read_one(written({**CNN, "choose": choose})).refit == refit


def test_a_row_id_must_do_as_a_file_name():
    with pytest.raises(ConfigError, match="^emodb_acrnn: name: cannot name files"):
        experiment.read("emodb_acrnn", ("name=a/b",))


def test_who_does_not_ship_is_told_who_does():
    expected = "^emodb_acrnm: no such file, and no settings file .*emodb_acrnn, .*; did you mean 'emodb_acrnn'?"
    with pytest.raises(ConfigError, match=expected):
        experiment.read("emodb_acrnm")


# Rows


def test_rows_state_what_differs_group_by_group_and_a_model_is_replaced_whole(written):
    a, b, c = experiment.read(written(ROWS))
    assert [row.name for row in (a, b, c)] == ["a", "b", "c"]
    assert (a.training.epochs, b.training.epochs, c.training.epochs) == (25, 5, 25)
    assert {row.training.optimizer for row in (a, b, c)} == {"adam"}
    assert b.training.spec_augment == a.training.spec_augment != c.training.spec_augment
    assert (a.model, c.model.name) == (b.model, "linear_probe")  # which has no dropout of 0.5


def test_a_list_of_protocols_stands_for_the_same_rows_under_each(written):
    rows = experiment.read(written({**ROWS, "protocol": ["emodb-loso10", "emodb-random80"]}))
    assert [(row.protocol, row.name) for row in rows] == [
        (name, row) for name in ("emodb-loso10", "emodb-random80") for row in "abc"
    ]
    alone = experiment.read(written({**CNN, "protocol": ["emodb-loso10", "emodb-random80"]}))
    assert [row.name for row in alone] == ["toy", "toy"]


def test_assignments_hold_for_all_rows_whatever_they_say_themselves(written):
    assignments = ("training.epochs=7", "seeds=[1, 2]", "name=x", "protocol=[emodb-random80, emodb-loso10]")
    a, b, *others = experiment.read(written(ROWS), assignments)
    assert (a.name, a.protocol, b.name, len(others)) == ("a", "emodb-random80", "b", 4)
    assert (a.training.epochs, b.training.epochs) == (7, 7)
    assert a.seeds == b.seeds == (1, 2)
    for assignments in (
        ("rows.b.training.epochs=3", "training.epochs=7"),
        ("training.epochs=7", "rows.b.training.epochs=3"),
    ):
        a, b, _ = experiment.read(written(ROWS), assignments)
        assert (a.training.epochs, b.training.epochs) == (7, 3)
    (only,) = experiment.read(written(ROWS), ("rows={d: {training: {clip: null}}}",))
    assert (only.name, only.training.clip) == ("d", None)


def test_assignments_reach_into_wanted_rows_and_what_they_average(written):
    rows = {"both": {"average": ["a", "b"]}, **ROWS["rows"]}
    (both,) = experiment.read(written({**ROWS, "rows": rows}), ("training.epochs=7",), only=["both"])
    assert [(each.name, each.training.epochs) for each in both.average] == [("a", 7), ("b", 7)]
    only = experiment.read_one(written(ROWS), ("model.dropout=0.4",), row="a")
    assert only.model.dropout == 0.4
    with pytest.raises(ConfigError, match=r"toy.yaml: c: model: unknown setting 'dropout'"):
        experiment.read(written(ROWS), ("model.dropout=0.4",))
    with pytest.raises(ConfigError, match="no row is called 'd'; the rows are a, b, c"):
        experiment.read(written(ROWS), only=["d"])


def test_several_are_not_one(written):
    words = r"toy\.yaml: holds 3 experiments \(a on emodb-loso10, b on emodb-loso10, c on emodb-loso10\); expected one"
    with pytest.raises(ConfigError, match=words):
        experiment.read_one(written(ROWS))


# Fingerprints


def test_what_numbers_depend_on_is_in_the_fingerprint_and_nothing_else(written):
    path = written(CNN)
    plain = experiment.read_one(path).fingerprint
    for same in (
        "name=other",
        "seeds=[5, 6]",
        "shipped=true",
        "final.dev_speakers=['03']",
        "tuned_on=['08']",
        "training.clip=1.0",  # the default
        "model.dropout=0",
    ):
        assert experiment.read_one(path, (same,)).fingerprint == plain, same
    for other in (
        "corpus=table",
        "protocol=speaker-5fold",
        "model.dropout=0.5",
        "model=linear_probe",
        "task.label_smoothing=0.1",
        "training.clip=null",
        "training.spec_augment={}",
        "speaker_statistics=true",
        "choose.grid={training.epochs: [3]}",
    ):
        assert experiment.read_one(path, (other,)).fingerprint != plain, other


def test_a_new_setting_at_its_default_leaves_fingerprints_as_they_are(written):
    old = experiment.read_one(written(CNN))
    training = create_model("More", __base__=type(old.training), momentum=(float, 0.9))
    more = create_model(
        "MoreExperiment", __base__=experiment.Experiment, training=(training, training()), fast=(bool, False)
    )
    assert more(**old.config | {"model": old.model, "task": old.task}).fingerprint == old.fingerprint
    assert more(**old.config | {"model": old.model, "task": old.task, "fast": True}).fingerprint != old.fingerprint
    slow = {**old.config["training"], "momentum": 0.5}
    assert more(**old.config | {"model": old.model, "task": old.task, "training": slow}).fingerprint != old.fingerprint


@pytest.mark.parametrize(
    ("name", "fingerprint"), [("emodb_whisper3_eight", "c02ff7a9b4054e09"), ("emodb_whisper3", "97bb1b1298cdc9ad")]
)
def test_fingerprints_are_what_they_were(name, fingerprint):
    assert experiment.read_one(name).fingerprint == fingerprint


@cache
def rows_that_ship() -> tuple[experiment.Experiment, ...]:
    return tuple(row for name in experiment.names() for row in experiment.read(name))


def in_a_matrix(about: dict) -> set[tuple[str, str]]:
    """Rows that ship as they are in a place of a matrix across corpora, of which this is the protocol."""
    place = transfer.Entry(tuple(about["trained"]), about["tested"], about["clips"]).protocol
    rows = [transfer.moved(row, place, about["corpus"], about["transductive"]) for row in rows_that_ship()]
    return {(row.name, row.fingerprint) for row in rows}


def test_a_row_of_two_experiments_that_ship_is_the_same_in_both():
    """They share a results file, whose settings would otherwise be those of the one that was run last."""
    rows: dict[tuple[str, str, str], experiment.Experiment] = {}
    for name in experiment.names():
        for row in experiment.read(name):
            same = rows.setdefault((row.corpus, row.protocol, row.name), row)
            assert row.config == same.config, f"{name}: {row.name}"


def test_no_experiment_that_ships_has_a_training_setting_that_does_nothing():
    rows = [row for row in rows_that_ship() if row.average is None]
    trained = {repr((row.model, row.training)): row for row in rows}
    assert len(trained) > 20
    for row in trained.values():
        with torch.device("meta"):
            model = models.get(row.model.name).create(row.model, 4)
        check_augmentation(model, row.training)


def test_every_cell_under_results_is_of_an_experiment_that_ships():
    shipped = {(row.name, row.fingerprint) for row in rows_that_ship()}
    cells = sorted(RESULTS.glob("*/cells/*/*.json"))
    assert cells
    for path in cells:
        about = json.loads((path.parents[2] / "protocol.json").read_text())
        known = shipped if "trained" not in about else in_a_matrix(about)
        assert (path.parent.name, json.loads(path.read_text())["fingerprint"]) in known, path


def test_results_state_the_settings_that_ship():
    """So that showing them again with the experiment leaves them as they are."""
    shipped = {(row.corpus, row.protocol, row.name, row.fingerprint, row.seeds): row for row in rows_that_ship()}
    stated = [json.loads(path.read_text()) for path in RESULTS.glob("*/*.json") if path.stem != "protocol"]
    found = {}
    for each in stated:
        row = experiment.from_config(each["config"], source=each["model"])
        key = (row.corpus, row.protocol, row.name, row.fingerprint, tuple(each["seeds"]))
        found.update({key: row} if key in shipped else {})
    assert len(found) > 40
    assert found == {key: shipped[key] for key in found}


def test_a_task_is_named_or_has_settings_and_is_categories_otherwise(written):
    path = written(CNN)
    plain = experiment.read_one(path)
    assert plain.task.name == "categories"
    assert experiment.read_one(path, ("task=categories",)).fingerprint == plain.fingerprint
    three = experiment.read_one(path, ("task=dimensions",))
    assert three.task.names == ("valence", "arousal", "dominance")
    assert three.fingerprint != plain.fingerprint
    one = experiment.read_one(path, ("task={name: dimensions, names: [arousal]}",))
    assert one.fingerprint not in (plain.fingerprint, three.fingerprint)
    assert experiment.from_config(one.config, source="config") == one
    with pytest.raises(ConfigError, match="task: unknown setting 'name_'; did you mean 'name'"):
        experiment.read_one(path, ("task={name: dimensions, name_: x}",))
    with pytest.raises(ConfigError, match="task: expected settings such as `name: categories`, got 3"):
        experiment.read_one(path, ("task=3",))


# Averages

AVERAGE = {
    "corpus": "emodb",
    "protocol": ["emodb-loso10", "emodb-random80"],
    "seeds": [0, 1],
    "rows": {
        "both": {"average": ["voice", "words"], "seeds": [1]},
        "voice": {"model": "cnn", "training": {"epochs": 60}},
        "words": {"model": "bert", "training": {"epochs": 4}},
    },
}


STAGE = {"first": "voice", "labels": ["boredom", "neutral"]}
SECOND = {"model": "cnn", "second_stage": STAGE}


def averaging(tmp_path: Path, **rows) -> Path:
    path = tmp_path / "average.yaml"
    path.write_text(yaml.safe_dump({**AVERAGE, "rows": {**AVERAGE["rows"], **rows}}))
    return path


def test_an_average_knows_its_rows_under_each_protocol(tmp_path):
    read = experiment.read(averaging(tmp_path))
    assert [(each.name, each.protocol) for each in read[::3]] == [("both", "emodb-loso10"), ("both", "emodb-random80")]
    for both, voice, words in (read[:3], read[3:]):
        assert both.average == (voice, words)
        assert both.model.name == "late_fusion"
        assert both.model.of == (voice.model, words.model)
        assert both.model.hears_words
        again = experiment.from_config(json.loads(json.dumps(both.config)), source="test")
        assert (again, again.fingerprint) == (both, both.fingerprint)
    assert len({each.fingerprint for each in read}) == 6
    assert experiment.read_one(averaging(tmp_path), ("protocol=emodb-loso10",), row="both") == read[0]


def test_a_second_stage_knows_its_first_and_comes_with_it(tmp_path):
    path = averaging(tmp_path, again=SECOND, all={"average": ["words", "again"]})
    rows = {each.name: each for each in experiment.read(path) if each.protocol == "emodb-loso10"}
    again = rows["again"]
    assert again.second_stage.first == rows["voice"]
    assert again.parts == (rows["voice"],)
    assert rows["all"].parts == (rows["words"], again, rows["voice"])
    read = experiment.from_config(json.loads(json.dumps(again.config)), source="test")
    assert (read, read.fingerprint) == (again, again.fingerprint)
    (other,) = experiment.read(path, ("protocol=emodb-loso10", "rows.voice.training.epochs=3"), only=["again"])
    assert (other.fingerprint == again.fingerprint, other.training) == (False, again.training)
    (every,) = experiment.read(path, ("protocol=emodb-loso10", "training.epochs=2"), only=["all"])
    assert [(each.name, each.training.epochs) for each in every.parts] == [("words", 2), ("again", 2), ("voice", 2)]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            {"both": {"average": ["voice", "wrods"]}},
            "average: no row is called 'wrods'; the rows are both, voice, words; did you mean 'words'?",
        ),
        ({"both": {"average": ["voice"]}}, "average: expected ids of two rows or more of the same file, got "),
        ({"both": {"average": "voice"}}, "average: expected ids of two rows or more of the same file, got 'voice'"),
        ({"more": {"average": ["both", "voice"]}}, "average: both is an average itself"),
        ({"both": {"model": "late_fusion"}}, "late_fusion is not trained; name the rows that it averages"),
        ({"both": {"average": ["voice", "words"], "seeds": [0, 7]}}, "average: voice has no seed 7"),
        (
            {"both": {"average": ["voice", "words"], "further": [{"corpus": "ravdess"}]}},
            "average: voice is not tested on ravdess",
        ),
        (
            {"both": {"average": ["voice", "words"], "task": {"class_weights": "balanced"}}},
            "average: voice has another corpus, protocol or task",
        ),
        ({"both": {"average": ["voice", "words"], "speaker_statistics": True}}, "voice has speaker_statistics: false"),
        (
            {"both": {"average": ["voice", "words"], "choose": {"grid": {"training.epochs": [1]}}}},
            "an average has nothing to choose",
        ),
        ({"more": {"model": "cnn", "second_stage": {"labels": ["fear", "sad"]}}}, "'second_stage.first' is required"),
        (
            {"more": {"model": "cnn", "second_stage": {**STAGE, "first": "vioce"}}},
            "second_stage: no row is called 'vioce'",
        ),
        (
            {"more": {"model": "cnn", "second_stage": {**STAGE, "first": "both"}}},
            "second_stage: both is an average itself",
        ),
        (
            {"more": SECOND, "third": {**SECOND, "second_stage": {**STAGE, "first": "more"}}},
            "more is a second stage itself",
        ),
        ({"more": {"model": "cnn", "second_stage": {"frist": "voice", "labels": ["a", "b"]}}}, "did you mean 'first'"),
        (
            {"more": {"model": "cnn", "second_stage": {**STAGE, "first": ["voice"]}}},
            "second_stage: expected the id of a",
        ),
        ({"more": {**SECOND, "seeds": [7]}}, "second_stage: voice has no seed 7"),
        (
            {"more": {"model": "cnn", "second_stage": {**STAGE, "labels": ["fear", "fear"]}}},
            "expected each once, got fear",
        ),
        ({"more": {**SECOND, "speaker_statistics": True}}, "second_stage: voice has speaker_statistics: false"),
        ({"more": {**SECOND, "choose": {"grid": {"training.epochs": [1]}}}}, "a second stage has nothing to choose"),
        ({"more": {**SECOND, "further": [{"corpus": "ravdess"}]}}, "further tests are of one model"),
    ],
)
def test_rows_that_cannot_be_made_of_others_are_refused(rows, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        experiment.read(averaging(tmp_path, **rows))


def test_rows_that_nobody_wants_are_not_looked_at(tmp_path):
    path = averaging(tmp_path, again=SECOND, broken={"model": "nonsense"})
    found = experiment.read(path, ("protocol=emodb-loso10", "rows.voice.seeds=[7]"), only=["voice"])
    assert [(each.name, each.seeds) for each in found] == [("voice", (7,))]


def test_rows_are_wanted_by_their_ids_whatever_they_are_called(tmp_path):
    path, assignments = averaging(tmp_path), ("protocol=emodb-loso10", "rows.voice.name=louder")
    (both,) = experiment.read(path, assignments, only=["both"])
    assert [each.name for each in both.average] == ["louder", "words"]
    assert experiment.read_one(path, assignments, row="voice").name == "louder"
    with pytest.raises(ConfigError, match="no row is called 'louder'; the rows are both, voice, words"):
        experiment.read(path, assignments, only=["louder"])


def test_assignments_may_say_what_a_wanted_row_is_made_of(tmp_path):
    path = averaging(tmp_path, louder={"model": "cnn", "training": {"epochs": 7}})
    assignments = ("protocol=emodb-loso10", "rows.both.average=[louder,words]")
    assert [each.name for each in experiment.read_one(path, assignments, row="both").average] == ["louder", "words"]


def test_a_second_stage_in_common_is_reached_by_assignments(tmp_path):
    path = tmp_path / "common.yaml"
    rows = {"voice": {"model": "cnn", "training": {"epochs": 9}, "second_stage": None}, "again": {"model": "cnn"}}
    path.write_text(yaml.safe_dump({**AVERAGE, "second_stage": STAGE, "rows": rows}))
    (again,) = experiment.read(path, ("protocol=emodb-loso10", "training.epochs=2"), only=["again"])
    assert (again.training.epochs, again.second_stage.first.training.epochs) == (2, 2)


def test_a_row_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no row is called 'all'; the rows are both, voice, words"):
        experiment.read_one(averaging(tmp_path), ("protocol=emodb-loso10",), row="all")
