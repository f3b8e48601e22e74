import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from affetto import cards, checkpoint, corpora, experiment, models, pretrained, runs
from affetto.checkpoint import Checkpoint
from affetto.errors import CheckpointError
from affetto.hub import fetch
from affetto.tasks import Categories, CategoriesSettings

SAMPLES = Path(__file__).parents[1] / "samples"
FILES = {"config.json", "model.safetensors", "golden.safetensors", "README.md"}
LABELS = ("anger", "fear", "neutral")


@pytest.fixture(params=["probe", "cnn", "conditioned_cnn14", "bert", "bert trainable"])
def fresh(request, tiny_probe, tiny_bert) -> Checkpoint:
    """A checkpoint with random weights, not saved yet."""
    content = {
        "probe": tiny_probe,
        "cnn": {"name": "cnn"},
        "conditioned_cnn14": {"name": "conditioned_cnn14", "encoder": {"width": 2}, "words": tiny_bert},
        "bert": {"name": "bert", "encoder": tiny_bert},
        "bert trainable": {"name": "bert", "encoder": {**tiny_bert, "trainable": True}},
    }[request.param]
    settings = models.parse_settings(content, source="test")
    torch.manual_seed(0)
    model = models.get(settings.name).create(settings, len(LABELS))
    if settings.hears_words:
        model.load_pretrained()
    torch.nn.init.normal_(model.classifier.weight)  # a probe begins with zeros, which hear nothing
    task = Categories(LABELS, CategoriesSettings(class_weights="balanced"))
    return Checkpoint(model.eval(), settings, task, {"name": "tiny", "heard": ["0123456789ab"]}, "# tiny\n\nä card\n")


@pytest.fixture
def folder(fresh, tmp_path) -> Path:
    """The same, saved."""
    checkpoint.save(fresh, tmp_path / "model")
    return tmp_path / "model"


def change(path: Path, **changes) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in {**content, **changes}.items() if value != "absent"}))


def waveform() -> torch.Tensor:
    return 0.1 * torch.randn(12_000, generator=torch.Generator().manual_seed(1))


# Round trip


@pytest.mark.parametrize("fresh", ["bert", "bert trainable"], indirect=True)
def test_a_model_of_words_needs_nothing_but_its_checkpoint(fresh, folder):
    config = json.loads((folder / "config.json").read_text())
    config["model"]["encoder"]["weights"] = "/gone"
    change(folder / "config.json", model=config["model"])
    golden = load_file(folder / "golden.safetensors")
    assert bytes(golden["words"].tolist()).decode() == checkpoint.GOLDEN_WORDS
    loaded = checkpoint.load(folder)
    torch.testing.assert_close(loaded.golden_answer(golden), golden["probabilities"], atol=1e-6, rtol=0)
    assert loaded.answers([], ["Nobody."]).shape == (1, 3)


def test_a_checkpoint_comes_back_as_it_was_saved(fresh, folder):
    loaded = checkpoint.load(folder)
    assert loaded.settings == fresh.settings
    assert loaded.task == fresh.task
    assert loaded.provenance == fresh.provenance
    assert loaded.card == fresh.card
    assert loaded.name == "tiny"
    assert not loaded.model.training
    for name, tensor in fresh.model.trained_state.items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)
    before, after = (each.answers([waveform().numpy()], ["Who is there?"]) for each in (fresh, loaded))
    torch.testing.assert_close(before, after, atol=2e-3, rtol=0)  # the encoder is stored in half precision


def test_saved_again_it_is_the_same_to_the_byte(folder, tmp_path):
    checkpoint.save(checkpoint.load(folder), tmp_path / "again")
    for file in FILES:
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()


def test_unrounded_weights_can_be_kept(fresh, tmp_path):
    checkpoint.save(fresh, tmp_path / "full", half_encoder=False)
    loaded = checkpoint.load(tmp_path / "full")
    for name, tensor in fresh.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)


def test_all_files_of_a_checkpoint_are_as_readable_as_any_other(folder, tmp_path):
    (tmp_path / "any").touch()
    assert {path.stat().st_mode for path in folder.iterdir()} == {(tmp_path / "any").stat().st_mode}


def test_a_save_that_is_interrupted_leaves_nothing_that_passes_for_a_model(fresh, tmp_path, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(Checkpoint, "answers", fail)
    with pytest.raises(MemoryError):
        checkpoint.save(fresh, tmp_path / "model")
    assert not (tmp_path / "model" / "config.json").exists()


def test_a_model_is_described_without_its_weights(folder):
    (folder / "model.safetensors").unlink()
    described = checkpoint.describe(folder)
    assert described["labels"] == list(LABELS)
    assert described["format"] == checkpoint.FORMAT
    assert described["audio"] == {"sample_rate": 16_000, "resampler": "soxr-HQ"}
    assert checkpoint.card(folder) == "# tiny\n\nä card\n"


def test_the_golden_waveform_is_a_second_that_can_be_heard():
    golden = checkpoint.golden_waveform()
    assert golden.shape == (16_000,)
    assert golden.dtype == torch.float32
    assert 0.1 < golden.abs().max() <= 0.3


# Nothing is executed


def test_a_checkpoint_is_text_and_numbers(folder):
    assert {path.name for path in folder.iterdir()} == FILES
    json.loads((folder / "config.json").read_text())
    load_file(folder / "model.safetensors")
    load_file(folder / "golden.safetensors")


class Intruder:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("file", ["model.safetensors", "golden.safetensors", "config.json"])
def test_loading_executes_nothing(file, folder, tmp_path):
    trace = tmp_path / "was-here"
    content = pickle.dumps(Intruder(trace))
    pickle.loads(content)
    assert trace.exists(), "the trap does not work"
    trace.unlink()
    (folder / file).write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(folder)
    assert not trace.exists()


# Words that a user sees


def test_changed_weights_are_refused(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["classifier.weight"] = -weights["classifier.weight"].clone()
    path.unlink()
    save_file(weights, path)
    with pytest.raises(
        CheckpointError,
        match=r"model: does not give its golden answer \(off by [\d.e-]+, at most 0\.001 allowed\): "
        "its files were changed, or belong to different models",
    ):
        checkpoint.load(folder)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(value, folder):
    path = folder / "model.safetensors"
    weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    path.unlink()
    save_file({**weights, "classifier.bias": torch.full((3,), value)}, path)
    with pytest.raises(CheckpointError, match="does not give its golden answer"):
        checkpoint.load(folder)


def test_the_golden_answer_of_another_number_of_classes_is_refused(folder):
    path = folder / "golden.safetensors"
    golden = {name: tensor.clone() for name, tensor in load_file(path).items()}
    path.unlink()
    save_file({**golden, "probabilities": torch.full((1, 2), 0.5)}, path)
    with pytest.raises(CheckpointError, match=r"does not give its golden answer \(off by inf"):
        checkpoint.load(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "golden.safetensors"])
@pytest.mark.parametrize("damage", ["empty", "half", "foreign"])
def test_a_damaged_safetensors_file_is_named_as_such(file, damage, folder):
    content = (folder / file).read_bytes()
    (folder / file).write_bytes({"empty": b"", "half": content[: len(content) // 2], "foreign": b"letter" * 99}[damage])
    with pytest.raises(CheckpointError, match=r"model: a safetensors file is damaged \(.+\)$"):
        checkpoint.load(folder)


@pytest.mark.parametrize("file", sorted(FILES))
def test_a_missing_file_is_named(file, folder):
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=rf"model: has no {file}, so it is not a model folder"):
        checkpoint.load(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", r"config\.json is damaged \(.+\)"),
        ('{"format": 1,', r"config\.json is damaged \(.+\)"),
        ("[1, 2]", r"config\.json is not that of an affetto model"),
        ('{"architectures": ["BertModel"]}', r"config\.json is not that of an affetto model"),
        ('{"format": "1"}', r"config\.json is not that of an affetto model"),
        ('{"format": 2}', r"has format 2; this affetto \(0\.1\.0\) reads up to 1: upgrade it"),
        ('{"format": 1}', r"config\.json does not describe a model \('model'\)"),
    ],
)
def test_a_config_that_is_damaged_foreign_or_newer_is_refused(content, words, folder):
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=f"model: {words}") as caught:
        checkpoint.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": "absent"}, "does not describe a model"),
        ({"labels": 5}, "does not describe a model"),
        ({"provenance": "absent"}, "does not describe a model"),
        ({"task": {"name": "categories", "dimensions": 3}}, "does not describe a model"),
        ({"model": {"name": "cnn41"}}, r"does not describe a model \(no model is called 'cnn41'; the models are"),
        ({"model": "cnn"}, "does not describe a model"),
        ({"labels": ["anger", "fear"]}, "the weights do not fit config.json"),
        ({"model": {"name": "linear_probe", "encoder": {"heads": 7}}}, "does not describe a model"),
        ({"model": {"name": "linear_probe", "encoder": {"width": 64, "heads": 2, "inner": 8}}}, "weights do not fit"),
    ],
)
def test_a_config_that_describes_another_model_is_refused_in_one_line(changes, words, folder):
    change(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=words) as caught:
        checkpoint.load(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_a_golden_file_without_its_tensors_is_refused(folder):
    (folder / "golden.safetensors").unlink()
    save_file({"something": torch.zeros(1)}, folder / "golden.safetensors")
    with pytest.raises(CheckpointError, match=r"model: golden\.safetensors does not hold a waveform"):
        checkpoint.load(folder)


def test_what_is_not_a_folder_is_refused(folder, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere: no such folder; expected a model folder or a hub id such as"):
        checkpoint.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"config\.json: is a file; expected a model folder or a hub id"):
        checkpoint.load(folder / "config.json")


def test_without_the_internet_a_hub_id_fails_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"nobody/nothing: no such folder, and not to be had from the hub \(.+\)"):
        fetch("nobody/nothing", "config.json")


# What ships


RECOGNISE = [
    name for name in pretrained.names() if not checkpoint.is_pretrained(checkpoint.describe(pretrained.folder(name)))
]


@pytest.fixture(scope="module", params=RECOGNISE)
def shipped(request) -> tuple[Path, Checkpoint]:
    folder = pretrained.folder(request.param)
    return folder, checkpoint.load(folder)


def test_the_default_ships():
    assert pretrained.DEFAULT in pretrained.names()
    there = "those that do: speech_bert-small, whisper4-emodb"
    with pytest.raises(CheckpointError, match=f"no model called 'whisper9' ships with affetto; {there}"):
        pretrained.folder("whisper9")


def test_what_ships_is_small_and_of_four_files_or_five(shipped):
    folder, model = shipped
    domain = {"domain.safetensors"} if model.domain else set()
    assert {path.name for path in folder.iterdir()} == FILES | domain
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 30e6


def test_what_ships_says_what_it_must_not_be_used_for(shipped):
    _, loaded = shipped
    section = loaded.card.partition("## Forbidden uses")[2]
    assert "the EU AI Act forbids it" in section
    assert all(f"* {use}" in section for use in cards.FORBIDDEN)
    assert all(f"* {use}" in loaded.card for use in cards.INTENDED)
    assert loaded.provenance["trained_on"]["licence"] in loaded.card
    assert loaded.provenance["trained_on"]["citation"] in loaded.card


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            {"name": "bert", "encoder": {"name": "text_bert"}},
            "`bert` on what is said, read by bert-base-uncased, frozen.",
        ),
        (
            {"name": "conditioned_cnn14"},
            "`conditioned_cnn14` on the voice and on what is said, read by bert-base-uncased",
        ),
    ],
)
def test_a_card_says_whose_ears_for_words_a_model_has(shipped, model, words):
    _, loaded = shipped
    settings = models.parse_settings(model, source="test").model_dump(mode="json")
    experiment = {**loaded.provenance["experiment"], "model": settings}
    card = cards.write("reader", ("anger", "fear"), {}, {**loaded.provenance, "experiment": experiment})
    assert words in card


def test_what_ships_has_not_heard_the_samples(shipped):
    _, loaded = shipped
    clips = sorted(SAMPLES.glob("*.wav"))
    assert len(clips) == 7
    assert not any(runs.heard(loaded.provenance, clip) for clip in clips)
    excluded = loaded.provenance["trained_on"]["excluded"]
    assert {Path(file).name for file in excluded} == {clip.name for clip in clips}


def test_what_ships_has_heard_the_rest_of_emodb(shipped, emodb_root):
    _, loaded = shipped
    corpus = corpora.read("emodb", emodb_root)
    heard = sum(runs.heard(loaded.provenance, corpus.path(file)) for file, _, _ in corpus.table.index)
    assert heard == loaded.provenance["trained_on"]["utterances"] == 528
    assert loaded.provenance["trained_on"]["manifest_sha256"] == corpus.manifest_sha256()


def test_what_ships_is_what_its_recipe_makes(shipped):
    """The shipped settings are those of the experiment that is marked as shipped, wherever it stands."""
    _, loaded = shipped
    rows = [row for name in experiment.names() for row in experiment.read(name)]
    recipe, *again = [row for row in rows if row.shipped]
    assert {each.fingerprint for each in again} <= {recipe.fingerprint}
    made = experiment.from_config(loaded.provenance["experiment"], source="its provenance")
    for part in ("name", "model", "task", "views", "final"):  # not the training, part of which was open
        assert all(getattr(made, part) == getattr(each, part) for each in (recipe, *again))
    assert loaded.settings == recipe.model
    assert loaded.task.settings == recipe.task
    assert loaded.task.labels == ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
