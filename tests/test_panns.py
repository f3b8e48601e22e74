"""PANNs' weights, from a file of the layout in which they are published to a network that begins from them."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from typer.testing import CliRunner

from affetto import checkpoint, models, panns
from affetto.cli import app
from affetto.encoders.cnn14 import from_panns
from affetto.errors import CheckpointError

REFERENCE = Path(__file__).parent / "reference" / "cnn14.safetensors"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Random tensors by the names and of the shapes of the original's, AudioSet's head included."""
    with safe_open(REFERENCE, framework="pt") as file:
        shapes = json.loads(file.metadata()["shapes"])
    shapes |= {"fc_audioset.weight": [527, 2048], "fc_audioset.bias": [527]}
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.tensor(5) if name.endswith("tracked") else 0.01 * torch.rand(shape, generator=generator)
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder that does not stay: what is written here is large."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def imported(state, room) -> Path:
    """What the command makes of a file of the published layout, as PyTorch 1 and NumPy 1 wrote it."""
    file = room / "Cnn14_16k_mAP=0.438.pth"
    sampler = {
        "indexes_per_class": [np.arange(5), np.arange(3)],
        "pointers_of_classes": [0, 0],
        "mAP": np.float64(0.438),
        "seen": np.zeros(3, np.uint8),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_reconstruct", "scalar"):
            patch.setattr(getattr(np._core.multiarray, name), "__module__", "numpy.core.multiarray")
        content = {"iteration": 600_000, "model": state, "sampler": sampler}
        torch.save(content, file, _use_new_zipfile_serialization=False)
    assert b"numpy.core.multiarray" in file.read_bytes()
    answer = CliRunner().invoke(app, ["models", "import-panns", str(file), "--out", str(room / "cnn14-panns")])
    assert answer.exit_code == 0, answer.output
    file.unlink()
    return room / "cnn14-panns"


def test_a_network_begins_from_what_was_imported(imported, state):
    settings = models.parse_settings({"name": "cnn14", "encoder": {"weights": str(imported)}}, source="test")
    model = models.get("cnn14").create(settings, 4)
    drawn = {name: tensor.clone() for name, tensor in model.classifier.state_dict().items()}
    model.load_pretrained()
    expected = from_panns(state)
    assert expected.keys() == model.encoder.state_dict().keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.encoder.state_dict().items())
    assert all(torch.equal(tensor, drawn[name]) for name, tensor in model.classifier.state_dict().items())


def test_it_says_what_it_is_and_recognises_nothing(imported):
    with safe_open(imported / "model.safetensors", framework="pt") as file:
        assert not [name for name in file.keys() if not name.startswith("encoder.")]  # noqa: SIM118
    assert sorted(path.name for path in imported.iterdir()) == [
        "README.md",
        "config.json",
        "golden.safetensors",
        "model.safetensors",
    ]
    card = checkpoint.card(imported)
    assert "without the layer that names them" in card
    assert "Cnn14_16k_mAP=0.438.pth (SHA-256 " in card
    with pytest.raises(CheckpointError, match="is a pretrained encoder, which recognises nothing by itself"):
        checkpoint.load(imported)


def test_a_network_of_another_width_does_not_begin_from_it(imported):
    content = {"name": "cnn14", "encoder": {"weights": str(imported), "width": 4}}
    model = models.get("cnn14").create(models.parse_settings(content, source="test"), 4)
    words = r"blocks.0.conv1.weight is \(64, 1, 3, 3\), expected \(4, 1, 3, 3\)"
    with pytest.raises(CheckpointError, match=words):
        model.load_pretrained()


class Harmful:
    """Runs when a file that holds it is read without care."""

    def __reduce__(self):
        return (print, ("harm",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": Harmful()}, r"holds (builtins\.)?print, which is not read; expected tensors and arrays alone"),
        ({"iteration": 3}, "holds no network under 'model', as PANNs' files do"),
        ({"model": {"bn0.weight": 3}}, "holds no network under 'model', as PANNs' files do"),
        (torch.zeros(3), "holds no network under 'model', as PANNs' files do"),
        ({"model": {"fc.weight": torch.zeros(3)}}, "'fc.weight' is no tensor of CNN14"),
        (
            {"model": {"bn0.weight": torch.zeros(64)}},
            "lacks .* tensors of CNN14, such as the one for blocks.0.bn1.bias",
        ),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_is_written(content, words, tmp_path, capsys):
    file = tmp_path / "wrong.pth"
    torch.save(content, file)
    with pytest.raises(CheckpointError, match=f"wrong.pth: {words}"):
        panns.import_weights(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "harm" not in capsys.readouterr().out


@pytest.mark.parametrize(("content", "words"), [(None, "there is no such file"), (b"text", "is damaged, or no file")])
def test_a_file_that_cannot_be_read_is_refused(content, words, tmp_path):
    file = tmp_path / "wrong.pth"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        panns.import_weights(file, tmp_path / "out")
