import hashlib
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from affetto import checkpoint, corpora, protocol, runs
from affetto.cache import FeatureCache
from affetto.errors import ConfigError, ProtocolError
from affetto.recognizer import Recognizer

CPU = torch.device("cpu")


@pytest.fixture
def settings(tiny_experiment):
    """Makes an experiment with a tiny probe on the synthetic emotions."""
    return partial(tiny_experiment, epochs=20, seeds=[3, 4])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Of features that all tests here share."""
    return FeatureCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def train(synthetic, cache, tmp_path):
    """Runs an experiment in a folder; returns the checkpoint's."""

    def run(tried, *, folder="run", corpus=None, **arguments):
        return runs.train(
            tried,
            corpus or corpora.read("table", synthetic),
            tmp_path / folder,
            cache=cache,
            device=CPU,
            precision="fp32",
            **arguments,
        )

    return run


def test_a_run_ends_in_a_checkpoint_that_recognises(settings, train, synthetic):
    tried = settings()
    target = train(tried)
    assert target.name == "checkpoint"
    assert {path.name for path in target.parent.iterdir()} == {
        "settings.yaml",
        "origin.yaml",
        "weights.yaml",
        "metrics.jsonl",
        "tensorboard",
        "checkpoint",
    }
    assert yaml.safe_load((target.parent / "settings.yaml").read_text()) == json.loads(json.dumps(tried.config))
    recognizer = Recognizer.from_pretrained(target)
    assert recognizer.labels == ("anger", "happiness", "sadness")
    corpus = corpora.read("table", synthetic)
    right = [a.emotion == b for a, b in zip(recognizer.predict_corpus(corpus), corpus.table.emotion, strict=True)]
    assert sum(right) > 0.7 * len(right)


def test_the_checkpoint_tells_what_it_was_trained_on(settings, train, synthetic):
    corpus = corpora.read("table", synthetic)
    told = checkpoint.describe(train(settings()))["provenance"]
    assert told["name"] == "tiny"
    assert told["best_epoch"] == 20
    assert told["chosen"] is None
    assert told["expected"] is None
    assert told["trained_on"]["utterances"] == 96
    assert told["trained_on"]["speakers"] == ["ann", "ben", "cem", "dia"]
    assert told["trained_on"]["manifest_sha256"] == corpus.manifest_sha256()
    assert told["experiment"]["training"]["epochs"] == 20


def test_what_is_excluded_is_not_heard(settings, train, synthetic, tmp_path):
    kept_out = ("ann_anger_0.wav", "ben_sadness_7.wav")
    target = train(settings(final={"exclude": kept_out}))
    told = checkpoint.describe(target)["provenance"]
    assert told["trained_on"]["utterances"] == 94
    assert tuple(told["trained_on"]["excluded"]) == kept_out
    for file, _, _ in corpora.read("table", synthetic).table.index:
        assert runs.heard(told, synthetic.parent / file) == (file not in kept_out)
    assert all(file in checkpoint.card(target) for file in kept_out)


def test_excluded_clips_do_not_matter(settings, train, synthetic):
    """Left out by the settings or gone from the table: the weights are the same."""
    corpus = corpora.read("table", synthetic)
    files = corpus.table.index.get_level_values("file")
    first = train(settings(final={"exclude": list(files[:9])}))
    second = train(settings(), folder="other", corpus=corpus.select(~files.to_series().isin(files[:9])))
    third = train(settings(), folder="third")
    weights = [checkpoint.load(each).model.state_dict()["classifier.weight"] for each in (first, second, third)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_dev_speakers_choose_the_epoch_and_count_as_heard(settings, train, synthetic):
    target = train(settings(final={"dev_speakers": ["dia"]}))
    told = checkpoint.describe(target)["provenance"]
    assert told["trained_on"]["speakers"] == ["ann", "ben", "cem"]
    assert told["trained_on"]["utterances"] == 72
    assert set(told["dev"]) == {"wa", "ua", "macro_f1", "weighted_f1"}
    assert runs.heard(told, synthetic.parent / "dia_anger_0.wav"), "what chose the epoch is no test"
    assert runs.heard(told, synthetic.parent / "ann_anger_0.wav")


def test_open_settings_are_chosen_and_told(settings, train):
    choose = {"grid": {"training.learning_rate": [0.0, 0.05]}}
    told = checkpoint.describe(train(settings(choose=choose)))["provenance"]
    assert told["chosen"] == {"training.learning_rate": 0.05}
    assert told["experiment"]["training"]["learning_rate"] == 0.05


def test_open_settings_may_be_chosen_on_the_dev_speakers(settings, train):
    choose = {"grid": {"training.learning_rate": [0.0, 0.05]}, "validation": "dev"}
    told = checkpoint.describe(train(settings(choose=choose, final={"dev_speakers": ["dia"]})))["provenance"]
    assert told["chosen"] == {"training.learning_rate": 0.05}
    assert told["trained_on"]["speakers"] == ["ann", "ben", "cem"]
    with pytest.raises(ProtocolError, match="has no dev clips to choose on"):
        train(settings(choose=choose), folder="other")


def test_the_choice_is_made_without_excluded_clips(settings, train, synthetic, tmp_path):
    """Their sound can be anything that can be read: noise in their place changes no weight."""
    files = [f"{speaker}_sadness_{version}.wav" for speaker in ("ann", "ben") for version in range(4)]
    tried = settings(choose={"grid": {"training.weight_decay": [0.0, 0.5]}}, final={"exclude": files})
    first = train(tried)
    other = tmp_path / "other"
    other.mkdir()
    for path in synthetic.parent.iterdir():
        source = synthetic.parent / "cem_anger_0.wav" if path.name in files else path
        (other / path.name).write_bytes(source.read_bytes())
    second = train(tried, folder="second", corpus=corpora.read("table", other / synthetic.name))
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_the_first_seed_is_the_runs(settings, train):
    target = train(settings(model={"name": "cnn", "dense": 8}, training={"epochs": 1}, seeds=[5], final=few()))
    other = train(
        settings(model={"name": "cnn", "dense": 8}, training={"epochs": 1}, seeds=[6], final=few()), folder="b"
    )
    again = train(
        settings(model={"name": "cnn", "dense": 8}, training={"epochs": 1}, seeds=[5, 6], final=few()), folder="c"
    )
    weights = [(folder / "model.safetensors").read_bytes() for folder in (target, other, again)]
    assert weights[0] == weights[2]
    assert weights[0] != weights[1]


def few() -> dict[str, list[str]]:
    """Final settings that keep all but three clips out, for models that take long."""
    names = [
        f"{speaker}_{emotion}_{version}.wav"
        for speaker in ("ann", "ben", "cem", "dia")
        for emotion in ("anger", "happiness", "sadness")
        for version in range(8)
    ]
    return {"exclude": [name for name in names if not name.startswith("ann") or not name.endswith("_0.wav")]}


def test_a_finished_run_is_left_as_it_is(settings, train):
    target = train(settings())
    before = {path: path.stat().st_mtime_ns for path in target.iterdir()}
    assert train(settings()) == target
    assert {path: path.stat().st_mtime_ns for path in target.iterdir()} == before


def test_a_folds_test_clips_stay_unheard(settings, train, synthetic):
    target = train(settings(final={"fold": "dia"}))
    told = checkpoint.describe(target)["provenance"]
    corpus = corpora.read("table", synthetic)
    [fold] = [each for each in protocol.create("speaker-4fold", corpus).folds if each.name == "dia"]
    assert told["trained_on"]["utterances"] == len(fold.train)
    for row, (file, _, _) in enumerate(corpus.table.index):
        assert runs.heard(told, synthetic.parent / file) == (row not in fold.test)
    assert "Kept out of training: the test clips of fold dia of speaker-4fold." in checkpoint.card(target)
    left_out = corpus.table.index.get_level_values("file")[corpus.table.speaker == "dia"]
    by_hand = {"exclude": list(left_out), "dev_speakers": sorted(corpus.table.speaker.iloc[list(fold.dev)].unique())}
    other = train(settings(final=by_hand), folder="other")
    first, second = (checkpoint.load(each).model.state_dict()["classifier.weight"] for each in (target, other))
    assert torch.equal(first, second)


def test_who_leaves_a_fold_unheard_is_not_calibrated_on_it(settings, train, tmp_path):
    tried = settings(final={"fold": "dia"})
    with pytest.raises(ConfigError, match=r"^tiny: final\.fold keeps test clips unheard, and results would calibrate"):
        train(tried, results=results_file(tmp_path / "tiny.json", tried))


def test_a_run_goes_on_from_the_weights_that_it_began_from(tiny_experiment, tiny_bert, spoken, cache, tmp_path):
    folder = tmp_path / "bert"
    shutil.copytree(tiny_bert["weights"], folder)
    model = {"name": "bert", "encoder": {**tiny_bert, "weights": str(folder)}}
    tried = tiny_experiment(epochs=1, model=model)

    def train(where: str) -> Path:
        return runs.train(tried, corpora.read("table", spoken), tmp_path / where, cache=cache, device=CPU)

    told = checkpoint.describe(train("whole"))["provenance"]["weights_sha256"]
    assert told == {str(folder): hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()}
    (tmp_path / "torn").mkdir()
    for name in ("settings.yaml", "origin.yaml", "weights.yaml"):
        shutil.copy(tmp_path / "whole" / name, tmp_path / "torn")
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ConfigError, match="torn: holds a run with other weights to begin from; give another folder"):
        train("torn")
    assert train("whole") == tmp_path / "whole" / "checkpoint", "a finished one is left as it is"


def test_a_folder_with_another_run_is_refused(settings, train):
    train(settings())
    with pytest.raises(ConfigError, match="run: holds a run with other settings; give another folder with --out"):
        train(settings(training={"epochs": 3}))


@pytest.mark.parametrize(
    ("final", "words"),
    [
        ({"exclude": ["eve.wav"]}, r"final\.exclude: table has no file 'eve\.wav'"),
        ({"fold": "eve"}, r"final\.fold: speaker-4fold has no fold 'eve'; it has ann, ben, cem, dia"),
        ({"fold": "dia", "exclude": ["eve.wav"]}, "final: fold says already what is kept out and who is dev"),
        ({"dev_speakers": ["eve"]}, r"final\.dev_speakers: table has no speaker 'eve'"),
    ],
)
def test_files_and_speakers_that_are_not_there_cannot_be_kept_out(final, words, settings, train):
    with pytest.raises(ConfigError, match=words):
        train(settings(final=final))


def results_file(path: Path, tried, **changes) -> Path:
    content = {
        "protocol": "table-speaker4fold-v1",
        "seeds": [3, 4],
        "fingerprint": tried.fingerprint,
        "fold_mean": {"wa": 0.8125, "ua": 0.75, "macro_f1": 0.7},
        **changes,
    }
    path.write_text(json.dumps(content))
    return path


def test_the_predictions_beside_results_calibrate_the_checkpoint(settings, train, tmp_path):
    tried = settings()
    folds = [{"fold": "1"}, {"fold": "2"}]
    path = results_file(tmp_path / "tiny.json", tried, folds=folds, model="tiny", seeds=[4, 3])
    labels = ("anger", "happiness", "sadness")
    rows = [
        f"{n}.wav,0,,{1 + n % 2},{seed},{labels[n % 3]},{answer(n)}"
        for seed, answer in (
            (3, lambda n: f"{labels[n % 3]},{','.join('0.9' if k == n % 3 else '0.05' for k in range(3))},s{n % 2}"),
            (4, lambda n: f"anger,0.5,0.3,0.2,s{n % 2}"),
        )
        for n in range(12)
    ]
    head = f"file,start,end,fold,seed,truth,prediction,{','.join(labels)},speaker"
    path.with_suffix(".csv").write_text("\n".join([head, *rows]) + "\n")
    found = checkpoint.load(train(tried, results=path)).calibration
    assert found is not None
    assert found.fitted_on == {
        "protocol": "table-speaker4fold-v1",
        "row": "tiny",
        "seeds": 1,
        "clips": 12,
        "speakers": 2,
    }
    assert found.temperature > 10  # what seed 4, the first one named, answers is worth nothing


def test_the_card_quotes_results_of_the_same_settings(settings, train, tmp_path):
    tried = settings()
    target = train(tried, results=results_file(tmp_path / "tiny.json", tried))
    assert "WA 81.2 % and UA 75.0 %" in checkpoint.card(target)
    assert "(table-speaker4fold-v1, mean over folds, 2 seeds)" in checkpoint.card(target)
    assert checkpoint.describe(target)["provenance"]["expected"] == {
        "protocol": "table-speaker4fold-v1",
        "seeds": 2,
        "wa": 0.8125,
        "ua": 0.75,
    }


def test_a_card_without_results_says_so(settings, train):
    assert "has not been measured on unseen speakers" in checkpoint.card(train(settings()))


def test_results_of_other_settings_are_not_quoted(settings, train, tmp_path):
    path = results_file(tmp_path / "tiny.json", settings(training={"epochs": 3}))
    with pytest.raises(ConfigError, match=r"tiny\.json: holds results of other settings than tiny has now"):
        train(settings(), results=path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", ["", "WA 80", "[]", "{}"])
def test_what_is_not_a_results_file_is_refused(content, settings, train, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"results\.json: is not a results file"):
        train(settings(), results=path)


def test_heard_goes_by_content_not_by_name(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"sound")
    (tmp_path / "b.wav").write_bytes(b"other")
    told = {"heard": [hashlib.sha256(b"sound").hexdigest()[: runs.HEARD_DIGITS]]}
    assert runs.heard(told, tmp_path / "a.wav")
    assert not runs.heard(told, tmp_path / "b.wav")
    assert not runs.heard({}, tmp_path / "a.wav")
