import importlib.metadata
import subprocess
import sys

import pytest

import affetto
from affetto import errors

NAMES = [
    "AffettoError",
    "AudioError",
    "CheckpointError",
    "ConfigError",
    "Corpus",
    "CorpusError",
    "Prediction",
    "ProtocolError",
    "Recognizer",
    "TrainingError",
    "__version__",
]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_these_names_are_public_and_no_others():
    assert affetto.__all__ == NAMES
    assert dir(affetto) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_can_be_had(name):
    value = getattr(affetto, name)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__doc__


def test_a_star_import_brings_them_all():
    space: dict[str, object] = {}
    exec("from affetto import *", space)  # the one way to test it
    assert set(NAMES) <= set(space)


def test_a_name_that_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'affetto' has no attribute 'Recogniser'"):
        affetto.Recogniser  # noqa: B018


def test_every_error_is_public_and_of_one_family():
    family = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert family == {name for name in NAMES if name.endswith("Error")}
    for name in family:
        assert issubclass(getattr(affetto, name), affetto.AffettoError)


def test_the_version_is_the_packages():
    assert affetto.__version__ == importlib.metadata.version("affetto")


@pytest.mark.parametrize("code", ["import affetto", "import affetto; affetto.AffettoError", "import affetto.cli"])
def test_importing_is_cheap(code):
    heavy = {"torch", "transformers", "accelerate", "pandas", "matplotlib"}
    assert python(f"import sys; {code}; print(*sorted({heavy} & set(sys.modules)))") == ""
