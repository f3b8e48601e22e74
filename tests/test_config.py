import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto import config, experiment, models
from affetto.config import Settings
from affetto.errors import ConfigError


class Inner(Settings):
    size: int = 3
    share: float = 0.5


class Outer(Settings):
    name: str
    inner: Inner = Inner()
    maybe: Inner | None = None


CNN = {"name": "toy", "corpus": "emodb", "protocol": "emodb-loso10", "model": {"name": "cnn"}}
FUSION = {**CNN, "model": {"name": "fusion_convbert", "encoder": {"name": "whisper"}}}


def refusal(content: dict, *assignments: str, folder) -> str:
    """What a user is told of an experiment's YAML file, without the file's name."""
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        experiment.read(path, assignments)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


# Files


def test_a_file_is_its_mapping(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: Jürgen # a comment\ntraining:\n  epochs: 3\n", encoding="utf-8")
    assert config.load(path) == {"name": "Jürgen", "training": {"epochs": 3}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "a.yaml: no such settings file"),
        (b"name: [1, 2\nb: 3", "a.yaml, line 2: not valid YAML"),
        (b"- 1\n- 2", "a.yaml: expected settings as `key: value`, got list"),
        (b"", "a.yaml: expected settings as `key: value`, got NoneType"),
        (b"name: \xe4", "a.yaml: cannot be read as text"),
        (b"name: !!python/object/apply:os.getcwd []", "a.yaml, line 1: not valid YAML"),
    ],
)
def test_a_file_that_is_no_settings_is_refused(content, words, tmp_path):
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        config.load(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_settings(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read as text"):
        config.load(tmp_path)


# Assignments


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("a.b=3", 3),
        ("a.b=1e-3", "1e-3"),  # YAML 1.1 wants a point in a float; pydantic reads the text as one
        ("a.b=0.001", 0.001),
        ("a.b=[0, 1]", [0, 1]),
        ("a.b=null", None),
        ("a.b={c: 1}", {"c": 1}),
        ("a.b=x=y", "x=y"),
        ("a.b=", None),
    ],
)
def test_values_of_assignments_are_yaml(assignment, value):
    assert config.override({}, [assignment]) == {"a": {"b": value}}


def test_assignments_change_a_copy_in_turn():
    content = {"training": {"epochs": 20, "clip": 1.0}, "name": "x"}
    assert config.override(content, ["training.epochs=3", "training.epochs=4", "seeds=[1]"]) == {
        "training": {"epochs": 4, "clip": 1.0},
        "name": "x",
        "seeds": [1],
    }
    assert content == {"training": {"epochs": 20, "clip": 1.0}, "name": "x"}


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("training.epochs", "--set training.epochs: expected key=value, such as training.epochs=3"),
        ("=3", "--set =3: expected key=value"),
        ("name.first=x", "name.first: 'name' is 'toy', not a group of settings"),
        ("seeds=[0", r"--set seeds=\[0: '\[0' is not valid YAML"),
    ],
)
def test_assignments_that_cannot_be_made_are_refused(assignment, words):
    with pytest.raises(ConfigError, match=words) as caught:
        config.override({"name": "toy"}, [assignment])
    assert "\n" not in str(caught.value)


keys = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)


@settings(deadline=None)
@given(keys, st.integers())
def test_what_is_set_is_found_there_again(parts, value):
    content = config.with_value({"z": {"y": 1}}, ".".join(parts), value)
    assert content["z"] == {"y": 1}
    for part in parts:
        content = content[part]
    assert content == value


# Parsing


def test_settings_are_parsed_and_frozen():
    parsed = config.parse(Outer, {"name": "x", "inner": {"size": 4}}, source="a.yaml")
    assert parsed == Outer(name="x", inner=Inner(size=4, share=0.5))
    with pytest.raises(ValueError, match="frozen"):
        parsed.name = "y"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"name": "x", "iner": {}}, "unknown setting 'iner'; did you mean 'inner'?"),
        ({"name": "x", "inner": {"sise": 1}}, "unknown setting 'inner.sise'; did you mean 'size'?"),
        ({"name": "x", "maybe": {"shares": 1}}, "unknown setting 'maybe.shares'; did you mean 'share'?"),
        ({"name": "x", "inner": {"q": 1}}, "unknown setting 'inner.q'; known here are share, size"),
        ({"inner": {}}, "the setting 'name' is required"),
        ({"name": "x", "inner": {"size": "big"}}, "inner.size: Input should be a valid integer, .* (got 'big')"),
        ({"nam": "x"}, "the setting 'name' is required; unknown setting 'nam'; did you mean 'name'?"),
    ],
)
def test_wrong_settings_are_refused_by_name(content, words):
    pattern = re.escape(words).replace(r"\.\*", ".*")
    with pytest.raises(ConfigError, match=f"^a.yaml: {pattern}$"):
        config.parse(Outer, content, source="a.yaml")


# Experiments


def test_an_experiment_states_only_what_differs(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump({**CNN, "model": "cnn"}))
    short = experiment.read(path)
    assert short.model == models.parse_settings({"name": "cnn"}, source="test")
    assert short.seeds == (0,)
    path.write_text(yaml.safe_dump(short.config))
    assert experiment.read(path) == short  # in full it is the same
    assert experiment.read(path).fingerprint == short.fingerprint


@pytest.mark.parametrize("name", experiment.names())
def test_experiments_that_ship_can_be_read_by_name(name):
    shipped = experiment.read(name)
    assert shipped.model.name in models.names()
    assert shipped.protocol.startswith(("emodb-", "speaker-"))


def test_assignments_reach_into_models_and_encoders(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(FUSION))
    settings = ("model.encoder.outputs=[2]", "model.dropout=0.2", "training.learning_rate=1e-4")
    changed = experiment.read(path, settings)
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
        ("model.encoder.front_end=mel80", "no front end has this name; the front ends are mel160, whisper80 (got "),
        ("model.encoder.front_end.n_mel=80", "unknown setting 'encoder.front_end.n_mel'; did you mean 'n_mels'?"),
        ("model.heads=7", "model: heads must divide width, got 7 heads on width 120"),
        ("model.front_end={n_mels: 40}", "model: the CNN's poolings take 64 mel bins or more, got 40"),
        ("model.encoder={name: speech_bert, inputs: 80}", "encoder.inputs is 80, but the front end gives 160 mel bins"),
        ("model={name: cnn, front_end: whisper80}", "model: the CNN's poolings take 128 mel bins or more, got 80"),
        ("model=null", "the setting 'model' is required; the models are cnn, "),
        ("seeds=[]", "seeds: Tuple should have at least 1 item"),
        ("choose.grid={training.epoch: [3]}", "unknown setting 'training.epoch'; did you mean 'epochs'?"),
        ("choose.grid={training.epochs: [3, many]}", "training.epochs: Input should be a valid integer"),
    ],
)
def test_wrong_settings_of_experiments_are_refused_by_name(assignment, words, tmp_path):
    assert words in refusal(FUSION, assignment, folder=tmp_path)


def test_what_numbers_depend_on_is_in_the_fingerprint_and_nothing_else(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(CNN))
    plain = experiment.read(path).fingerprint
    for same in ("name=other", "seeds=[5, 6]", "shipped=true", "final.dev_speakers=['03']"):
        assert experiment.read(path, (same,)).fingerprint == plain
    for other in ("corpus=table", "protocol=speaker-5fold", "model.dropout=0.5", "task.label_smoothing=0.1"):
        assert experiment.read(path, (other,)).fingerprint != plain


def test_a_chosen_setting_leaves_nothing_to_choose(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump({**CNN, "choose": {"grid": {"training.weight_decay": [0.1, 0.2]}}}))
    open_experiment = experiment.read(path)
    chosen = open_experiment.with_settings({"training.weight_decay": 0.2})
    assert chosen.training.weight_decay == 0.2
    assert chosen.choose is None
    assert chosen.model == open_experiment.model


def test_a_row_id_must_do_as_a_file_name():
    with pytest.raises(ConfigError, match="^emodb_cnn: name: .* pattern"):
        experiment.read("emodb_cnn", ("name=a/b",))
