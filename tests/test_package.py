import email
import importlib.util
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import affetto
from affetto import pretrained

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_the_same_everywhere():
    assert PROJECT["version"] == affetto.__version__


def test_the_package_states_that_it_is_typed():
    assert (Path(affetto.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("module", ["torchaudio", "torchcodec", "librosa"])
def test_sound_is_read_without(module):
    """A witness in tests may bring librosa; what Affetto itself needs must not."""
    assert not [requirement for requirement in PROJECT["dependencies"] if requirement.startswith(module)]
    if module != "librosa":
        assert importlib.util.find_spec(module) is None


def test_importing_the_package_is_cheap():
    """`import affetto` and `affetto --help` come without torch."""
    program = (
        "import affetto, affetto.cli, sys; print([m for m in ('torch', 'pandas', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> None:
    """Skips where packages cannot be had: building and installing need the package index."""
    folder = tmp_path_factory.mktemp("index")
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder), "hatchling"]
    if subprocess.run(download, capture_output=True).returncode:
        pytest.skip("the package index cannot be reached")


@pytest.fixture(scope="module")
def wheel(index, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_is_at_most_40_mb_and_holds_what_it_needs(wheel):
    assert wheel.stat().st_size <= 40e6
    assert wheel.name == f"affetto-{affetto.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = email.message_from_bytes(archive.read(f"affetto-{affetto.__version__}.dist-info/METADATA"))
    model = f"affetto/pretrained/{pretrained.DEFAULT}"
    assert {
        f"{model}/{file}" for file in ("config.json", "model.safetensors", "golden.safetensors", "README.md")
    } <= names
    assert {f"affetto/samples/{path.name}" for path in (ROOT / "samples").iterdir()} <= names
    assert {f"affetto/experiments/{path.name}" for path in (ROOT / "experiments").glob("*.yaml")} <= names
    assert {"affetto/py.typed", "affetto/corpora/emodb.sha256"} <= names
    pages = [path for folder in ("views", "serve/page") for path in (ROOT / "src" / "affetto" / folder).rglob("*")]
    assets = [path for path in pages if path.is_file() and path.suffix != ".pyc"]
    assert {path.relative_to(ROOT / "src").as_posix() for path in assets} <= names
    ours = {name.partition("/")[0] for name in names}
    assert ours == {"affetto", f"affetto-{affetto.__version__}.dist-info"}
    assert not [name for name in names if name.endswith((".pyc", ".pt", ".pkl", ".ckpt"))]
    assert metadata["Version"] == affetto.__version__


@pytest.mark.slow
def test_installed_alone_it_works_outside_the_clone_and_offline(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "fresh")], check=True)
    scripts = tmp_path / "fresh" / ("Scripts" if os.name == "nt" else "bin")
    install = [scripts / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AFFETTO"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(outside), "HOME": str(outside), "PYTHONUTF8": "1"}

    def run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(scripts / program), *arguments]
        return subprocess.run(command, cwd=outside, env=environment, capture_output=True, encoding="utf-8")

    where = run("python", "-c", "import affetto; print(affetto.__file__)").stdout
    assert Path(where.strip()).is_relative_to(tmp_path / "fresh")
    for module in ("torchaudio", "torchcodec"):
        assert run("python", "-c", f"import {module}").returncode == 1
    assert run("affetto", "--version").stdout == f"affetto {affetto.__version__}\n"
    demo = run("affetto", "demo")
    assert (demo.returncode, demo.stderr) == (0, "")
    assert " of 7 as meant" in demo.stdout
    clip = outside / "ein Anruf.wav"
    clip.write_bytes((ROOT / "samples" / "03a07Nc.wav").read_bytes())
    heard = run("affetto", "predict", clip.name, "gone.wav", "-f", "csv")
    assert heard.returncode == 1
    assert heard.stdout.splitlines()[1].startswith("ein Anruf.wav,0.000000,1.788")
    assert ",neutral," in heard.stdout
    assert heard.stderr == "error: gone.wav: no such file\n"
    shipped = run("affetto", "train", "nothing", "--corpus", ".")
    assert shipped.stderr.startswith("error: nothing: no such file, and no settings file that ships is called ")
    assert "emodb_whisper3" in shipped.stderr
