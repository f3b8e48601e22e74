import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from affetto import Recognizer, checkpoint, corpora, pretrained
from affetto.adaptation import efficiency, validation
from affetto.adaptation.adapted import adapted
from affetto.adaptation.head import AS_IS, PRIOR_CLIPS, Head, Recipe, adapt, centre, fit, recipes, weights
from affetto.adaptation.validation import Clips, divisions
from affetto.cli import app
from affetto.errors import ConfigError, CorpusError

CPU = torch.device("cpu")


def problem(n, width, *, classes=3, spread=1.0, speakers=6, seed=0):
    """Clips of some classes around centres of their own, and the layer that would tell them apart badly."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, width))
    truth = rng.integers(classes, size=n)
    features = spread * centres[truth] + rng.standard_normal((n, width))
    old = Head(0.3 * rng.standard_normal((classes, width)), 0.3 * rng.standard_normal(classes))
    groups = np.array([f"s{each}" for each in rng.integers(speakers, size=n)])
    return old, Clips(features, truth, groups, by_speaker=True)


@pytest.mark.parametrize("n, width", [(30, 100), (200, 12)])
def test_without_old_weights_it_is_scikit_learns_logistic_regression(n, width):
    old, clips = problem(n, width)
    strength = 0.1
    head = fit(Head(np.zeros_like(old.weight), np.zeros(3)), clips.features, clips.classes, strength)
    ours = np.column_stack([head.weight, head.bias])
    with_ones = np.column_stack([clips.features, np.ones(n)])  # its own intercept is not penalised
    theirs = LogisticRegression(C=1 / (strength * n), fit_intercept=False, tol=1e-8, max_iter=5000)
    theirs.fit(with_ones, clips.classes, sample_weight=weights(clips.classes))
    assert np.allclose(ours, theirs.coef_, atol=2e-4)


@pytest.mark.parametrize("n, width", [(30, 100), (200, 12)])
def test_near_old_weights_the_gradient_vanishes(n, width):
    old, clips = problem(n, width)
    head = fit(old, clips.features, clips.classes, 0.05)
    weight, bias = (torch.from_numpy(each.copy()).requires_grad_() for each in (head.weight, head.bias))
    logits = torch.from_numpy(clips.features) @ weight.T + bias
    each = F.cross_entropy(logits, torch.from_numpy(clips.classes), reduction="none")
    pull = (weight - torch.from_numpy(old.weight)).square().sum() + (bias - torch.from_numpy(old.bias)).square().sum()
    ((torch.from_numpy(weights(clips.classes)) * each).mean() + 0.025 * pull).backward()
    assert weight.grad.abs().max() < 1e-4 and bias.grad.abs().max() < 1e-4


def test_a_strong_pull_leaves_the_layer_as_it_was():
    old, clips = problem(40, 10)
    assert np.allclose(fit(old, clips.features, clips.classes, 1e6).weight, old.weight, atol=1e-5)
    assert adapt(old, clips.features, clips.classes, AS_IS) is old


def test_classes_count_alike():
    counts = weights(np.array([0, 0, 0, 2]))
    assert counts.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2]) and counts.mean() == pytest.approx(1)


def test_recentring_is_a_standard_scaler_but_for_a_few_clips():
    _, clips = problem(4000, 5, spread=3.0)
    mean, deviation = centre(clips.features + 2)
    theirs = StandardScaler().fit(clips.features + 2)
    assert np.allclose(mean, theirs.mean_, rtol=0.01) and np.allclose(deviation, theirs.scale_, rtol=0.01)
    mean, deviation = centre(np.full((5, 1), 10.0))
    drawn = np.array([10.0] * 5 + [-1.0, 1.0] * 50)  # `PRIOR_CLIPS` clips of mean 0 and deviation 1, in shares
    shares = np.array([1.0] * 5 + [PRIOR_CLIPS / 100] * 100)
    assert mean[0] == pytest.approx(np.average(drawn, weights=shares))
    assert deviation[0] ** 2 == pytest.approx(np.average((drawn - mean[0]) ** 2, weights=shares))


def test_a_recentred_head_hears_features_as_they_come():
    old, clips = problem(50, 8)
    mean, deviation = centre(clips.features)
    direct = old.log_probabilities((clips.features - mean) / deviation)
    assert np.allclose(
        adapt(old, clips.features, clips.classes, Recipe(None, True)).log_probabilities(clips.features), direct
    )


def test_recipes_recentre_only_what_was_standardised():
    assert recipes(standardised=False)[0] == recipes(standardised=True)[0] == AS_IS
    assert not any(recipe.recentre for recipe in recipes(standardised=False))
    assert sum(recipe.recentre for recipe in recipes(standardised=True)) * 2 == len(recipes(standardised=True))


@pytest.mark.parametrize("by_speaker", [True, False])
@pytest.mark.parametrize("folds", [3, 5])
def test_every_clip_is_held_out_once_and_with_its_whole_group(by_speaker, folds):
    _, clips = problem(60, 4, speakers=7)
    clips = Clips(clips.features, clips.classes, clips.groups, by_speaker)
    parts = divisions(clips, folds, np.random.default_rng(0))
    assert len(parts) == folds
    assert sorted(np.concatenate([outside for _, outside in parts])) == list(range(60))
    for inside, outside in parts:
        assert not set(clips.groups[inside]) & set(clips.groups[outside])
        assert len(inside) + len(outside) == 60


def test_files_are_dealt_so_that_parts_have_all_classes():
    classes = np.repeat([0, 1, 2], 5)
    clips = Clips(np.zeros((15, 2)), classes, np.array([f"f{n:02d}" for n in range(15)]), by_speaker=False)
    for _, outside in divisions(clips, 5, np.random.default_rng(0)):
        assert sorted(classes[outside]) == [0, 1, 2]


def test_what_can_be_learned_is_learned_and_what_cannot_is_not():
    old, clips = problem(120, 40)
    found = validation.validate(old, clips, recipes(standardised=True), seed=0)
    theirs = recall_score(clips.classes, old.log_probabilities(clips.features).argmax(axis=1), average="macro")
    assert found.before == pytest.approx(theirs)
    assert found.after > 0.9 and found.gain_interval.low > 0
    assert found.after_interval.low <= found.after <= found.after_interval.high and found.groups == 6
    shuffled = Clips(clips.features, np.random.default_rng(1).permutation(clips.classes), clips.groups, True)
    found = validation.validate(old, shuffled, recipes(standardised=True), seed=0)
    assert found.after < 0.5, "labels without sense cannot be learned, unless clips leak"
    assert found.gain_interval.low < 0.1


def test_a_voice_that_is_known_does_not_count():
    """Speakers who have one class each: by file it is learned at once, by speaker there is nothing to learn."""
    rng = np.random.default_rng(0)
    voices = rng.standard_normal((12, 30)) * 3
    speaker = np.repeat(np.arange(12), 8)
    features, classes = voices[speaker] + rng.standard_normal((96, 30)), np.repeat(rng.permutation(12) % 2, 8)
    old = Head(np.zeros((2, 30)), np.zeros(2))
    names = np.array([f"s{each:02d}" for each in speaker])
    files = np.array([f"f{each:02d}" for each in range(96)])
    known = recipes(standardised=False)
    apart = validation.validate(old, Clips(features, classes, names, True), known, seed=0)
    mixed = validation.validate(old, Clips(features, classes, files, False), known, seed=0)
    assert mixed.after > 0.95 > 0.8 > apart.after


def test_the_curve_rises_and_its_line_is_that_of_polyfit():
    old, clips = problem(160, 30, spread=0.35)
    found = efficiency.curve(old, clips, recipes(standardised=False), seed=0)
    sizes, scores = [point.clips for point in found.points], [point.ua for point in found.points]
    assert sizes[:4] == [0, 10, 20, 40] and 40 < sizes[-1] < 160
    assert scores[0] < scores[1] < scores[-1]
    slope, level = np.polyfit(np.log2(sizes[1:]), scores[1:], 1)
    assert found.doubling == pytest.approx(slope)
    assert found.doubling_interval[0] <= found.doubling <= found.doubling_interval[1]
    for forecast, clips_then in zip(found.forecasts, (320, 640), strict=True):
        assert forecast.clips == clips_then
        assert forecast.ua == pytest.approx(min(1, slope * np.log2(clips_then) + level))
        assert forecast.low <= forecast.ua <= forecast.high <= 1


def test_too_few_clips_say_nothing_of_more():
    old, clips = problem(20, 5)
    found = efficiency.curve(old, clips, recipes(standardised=False), seed=0)
    assert found.forecasts == () and np.isnan(found.doubling) and found.points[0].clips == 0


@pytest.fixture(scope="module")
def mine(synthetic: Path, tmp_path_factory) -> Path:
    """36 of the synthetic emotions: 4 speakers, 3 emotions, 3 clips each."""
    lines = synthetic.read_text(encoding="utf-8").splitlines()
    kept = [f"{synthetic.parent}/{line}" for line in lines[1:] if int(line.split(",")[0][-5]) < 3]
    path = tmp_path_factory.mktemp("mine") / "my.csv"
    path.write_text("\n".join([lines[0], *kept]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def command(mine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapted") / "model"
    arguments = ["adapt", "whisper4-emodb", "--clips", str(mine), "--out", str(folder), "--narrow"]
    return folder, CliRunner().invoke(app, arguments)


def test_the_command_makes_a_checkpoint_that_knows_the_clips(command, mine):
    folder, run = command
    assert run.exit_code == 0, run.output
    recognizer = Recognizer.from_pretrained(folder)
    assert recognizer.labels == ("anger", "happiness", "sadness")
    corpus = corpora.read("table", mine)
    right = [heard.emotion for heard in recognizer.predict_corpus(corpus)] == corpus.table["emotion"].to_numpy()
    assert right.mean() > 0.9
    done = recognizer.checkpoint.provenance["adapted"]
    assert done["clips"] == 36 and done["groups"] == 4 and done["by_speaker"]
    assert done["after"] > done["before"]


def test_its_card_says_what_was_done_and_how_far_it_goes(command):
    folder, run = command
    card = (folder / "README.md").read_text(encoding="utf-8")
    for words in (
        "# whisper4-adapted",
        "anger, happiness, sadness.",
        "36 clips (anger 12, happiness 12, sadness 12) of 4 speakers, near that of whisper4",
        "Nested cross-validation, speakers held out: UA",
        "| 0 |",
        "On speakers of one's own recordings that were held out, it reached UA",
        "Forbidden uses",
    ):
        assert words in card
    assert "unseen speakers" not in card
    assert "gain +" in run.stdout or "gain -" in run.stdout


def test_all_but_the_last_layer_is_as_it_was(command):
    folder, _ = command
    old, new = (checkpoint.load(each) for each in (pretrained.folder("whisper4-emodb"), folder))
    before, after = old.model.state_dict(), new.model.state_dict()
    changed = (
        {name for name in before if not torch.equal(before[name], after[name])} if before.keys() == after.keys() else ()
    )
    assert changed == {"classifier.weight", "classifier.bias"}


def test_it_knows_what_it_has_heard(command, mine):
    from affetto import runs

    folder, _ = command
    provenance = json.loads((folder / "config.json").read_text())["provenance"]
    corpus = corpora.read("table", mine)
    assert runs.heard_of(provenance, corpus, corpus.table.index.get_level_values("file")) == 36
    assert len(provenance["heard"]) == 36 + 528


def test_without_narrow_all_emotions_stay(mine):
    old = checkpoint.load(pretrained.folder("whisper4-emodb"))
    told = []
    data = corpora.read("table", mine)
    found = adapted(old, data, device=CPU, progress=lambda what, done, total: told.append((what, done, total)))
    assert told[-1] == ("clips held out", 2, 2) and ("clips", len(data), len(data)) in told
    assert found.checkpoint.task.labels == old.task.labels
    assert found.checkpoint.model.classifier.out_features == 7
    assert old.model.classifier.out_features == 7 and "adapted" not in old.provenance


def test_what_cannot_be_learned_from_is_refused(command, mine, tmp_path):
    folder, _ = command
    old = checkpoint.load(pretrained.folder("whisper4-emodb"))
    corpus = corpora.read("table", mine)
    with pytest.raises(CorpusError, match="9 clips of 3 emotions are too few to adapt with; expected 10 or more"):
        adapted(old, corpus.select(corpus.table["speaker"] == "ann"), device=CPU)
    with pytest.raises(CorpusError, match="12 clips of 1 emotions are too few"):
        adapted(old, corpus.select(corpus.table["emotion"] == "anger"), device=CPU)
    strange = tmp_path / "strange.csv"
    strange.write_text(mine.read_text().replace(",happiness,", ",irony,"))
    with pytest.raises(CorpusError, match="the model does not know irony, but anger, boredom"):
        adapted(old, corpora.read("table", strange), device=CPU)
    run = CliRunner().invoke(app, ["adapt", "whisper4-emodb", "--clips", str(mine), "--out", str(folder)])
    assert isinstance(run.exception, ConfigError) and "holds a checkpoint already" in str(run.exception)
