import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto import config
from affetto.config import Settings
from affetto.errors import ConfigError


class Inner(Settings):
    size: int = 3
    share: float = 0.5


class Outer(Settings):
    name: str
    inner: Inner = Inner()
    maybe: Inner | None = None


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
        (
            b"rows:\n  on: {}",
            "a.yaml: True stands where a name is expected; put names such as 'on', 'no' and '03' in quo",
        ),
        (b"rows: [{03: 1}]", "a.yaml: 3 stands where a name is expected"),
        (b"~: 1", "a.yaml: None stands where a name is expected"),
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
        ("choose.grid={off: [1]}", "--set choose.grid={off: .1.}: False stands where a name is expected"),
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
