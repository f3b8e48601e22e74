"""A run: one training on a whole corpus that ends in a checkpoint to use.

The run folder holds `settings.yaml` (resolved), `origin.yaml` (the data's manifest, the precision), `weights.yaml` (the
hashes of weights in folders that it began from, if it did), `metrics.jsonl`, `tensorboard/`, `state.pt` while it is
unfinished, and `checkpoint/`.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import yaml

from affetto import calibration, cards, checkpoint, protocol
from affetto.bench import Bench
from affetto.cache import FeatureCache
from affetto.calibration import Calibration
from affetto.checkpoint import Checkpoint
from affetto.config import JSON
from affetto.corpora.base import Corpus
from affetto.device import Precision, use_bf16
from affetto.errors import ConfigError
from affetto.experiment import Experiment
from affetto.files import write_whole
from affetto.models.late_fusion import LateFusion, LateFusionSettings
from affetto.progress import Progress, no_progress
from affetto.provenance import HEARD_DIGITS, commit, machine
from affetto.tasks import Recognition


def train(
    experiment: Experiment,
    corpus: Corpus,
    folder: Path,
    *,
    cache: FeatureCache,
    device: torch.device,
    precision: Precision = "auto",
    progress: Progress = no_progress,
    results: Path | None = None,
) -> Path:
    """Train an experiment's model on a corpus, less what its `final` settings keep out; the checkpoint's folder.

    A run that was interrupted goes on where it was; a finished one is left as it is.

    Args:
        experiment: what is trained.
        corpus: on what.
        folder: of the run.
        cache: of features.
        device: where to compute.
        precision: in which numbers.
        progress: told of what goes on.
        results: a results file of the same experiment, whose numbers the card quotes, and whose predictions, if they
            are of categories, calibrate the checkpoint.

    Raises:
        ConfigError: if the folder holds a run of other settings or weights, the results are of another experiment or
            come with a fold to leave unheard, or the settings keep out files or speakers, or name a fold, that the
            corpus does not have.
        ProtocolError: if a fold is named, and the corpus does not allow the protocol.
        AudioError: if a clip cannot be heard.
    """
    for each in (experiment, *experiment.parts):
        if each.second_stage is not None:
            raise ConfigError(f"{each.name}: second_stage is for benchmarks; a checkpoint cannot hold one")
    if results is not None and experiment.final.fold is not None:
        raise ConfigError(
            f"{experiment.name}: final.fold keeps test clips unheard, and results would calibrate on them; "
            "give one of the two"
        )
    expected = None if results is None else _expected(results, experiment)
    if experiment.average is not None:
        parts = [
            train(each, corpus, folder / each.name, cache=cache, device=device, precision=precision, progress=progress)
            for each in experiment.average
        ]
        return _fuse(experiment, parts, folder / "checkpoint", expected, results)
    learned, dev = _rows(corpus, experiment)
    manifest = corpus.manifest_sha256()
    words = {"words_sha256": corpus.transcripts_sha256} if experiment.model.hears_words else {}
    origin = {"manifest_sha256": manifest, "bf16": use_bf16(device, precision), **words}
    claim = {
        folder / "settings.yaml": yaml.safe_dump(experiment.config, sort_keys=False),
        folder / "origin.yaml": yaml.safe_dump(origin),
    }
    check(claim)
    target = folder / "checkpoint"
    if (target / "config.json").exists():
        return target
    if weights := experiment.weights_sha256:  # which a finished run does without
        claim[folder / "weights.yaml"] = yaml.safe_dump(weights)
        check(claim)
    bench = Bench.prepare(experiment, corpus, cache=cache, device=device, precision=precision, progress=progress)
    calibrated = _calibration(results, bench.task)
    chosen, seed = None, experiment.seeds[0]
    if experiment.choose:
        chosen = bench.choose(learned, dev, seed=seed)
        experiment = experiment.with_settings(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in claim.items():
        write_whole(file, text.encode())
    [(model, history)] = bench.train(experiment, learned, dev, seed=seed, folder=folder, progress=progress)
    hashes = corpus.file_hashes()
    files = corpus.table.index.get_level_values("file")
    provenance: JSON = {
        "name": experiment.name,
        "experiment": experiment.config,
        **({"weights_sha256": weights} if weights else {}),
        "chosen": chosen,
        "best_epoch": history.best.epoch,
        "dev": history.best.dev or None,
        "expected": expected,
        "trained_on": {
            "corpus": corpus.name,
            "title": corpus.info.title,
            "language": corpus.info.language,
            "licence": corpus.info.licence,
            "citation": corpus.info.citation,
            "caveat": corpus.info.caveat,
            "manifest_sha256": manifest,
            **words,
            "utterances": len(learned),
            "speakers": sorted(corpus.table["speaker"].iloc[learned].dropna().unique()),
            "excluded": list(experiment.final.exclude),
            **({"fold": f"{experiment.final.fold} of {experiment.protocol}"} if experiment.final.fold else {}),
        },
        "commit": commit(),
        "machine": machine(device, precision),
        "heard": sorted({hashes[files[row]][:HEARD_DIGITS] for row in (*learned, *dev)}),
    }
    card = cards.write(experiment.name, bench.task.labels, bench.task.scales, provenance)
    checkpoint.save(Checkpoint(model, experiment.model, bench.task, provenance, card, calibrated), target)
    (folder / "state.pt").unlink(missing_ok=True)
    return target


def _fuse(
    experiment: Experiment, parts: Sequence[Path], target: Path, expected: JSON | None, results: Path | None
) -> Path:
    """Write the checkpoint of an average of trained ones."""
    trained = [checkpoint.load(part) for part in parts]
    task = trained[0].task
    assert isinstance(experiment.model, LateFusionSettings)
    model = LateFusion(experiment.model, len(task.labels))
    model.take([each.model for each in trained])
    begun = {source: sha for each in trained for source, sha in each.provenance.get("weights_sha256", {}).items()}
    provenance: JSON = {
        **trained[0].provenance,
        **({"weights_sha256": begun} if begun else {}),
        "name": experiment.name,
        "experiment": experiment.config,
        "averages": [each.provenance for each in trained],
        "expected": expected,
        "heard": sorted({digest for each in trained for digest in each.provenance["heard"]}),
    }
    card = cards.write(experiment.name, task.labels, task.scales, provenance)
    calibrated = _calibration(results, task)
    checkpoint.save(Checkpoint(model.eval(), experiment.model, task, provenance, card, calibrated), target)
    return target


def heard(provenance: JSON, path: Path) -> bool:
    """Whether a checkpoint of this provenance was trained, or chosen, on an audio file, judged by the file's bytes."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return digest[:HEARD_DIGITS] in provenance.get("heard", ())


def heard_of(provenance: JSON, corpus: Corpus, files: Iterable[str]) -> int:
    """How many of a corpus's files a checkpoint was trained, or chosen, on; of text alone, judged by the sentences.

    A model of words needs no sound: of a file that is not there nobody can tell, and it does not count.
    """
    if not corpus.info.has_sound:
        hashes = corpus.file_hashes()
        return sum(hashes[file][:HEARD_DIGITS] in provenance.get("heard", ()) for file in files)
    return sum(heard(provenance, path) for path in map(corpus.path, files) if path.is_file())


def check(claim: dict[Path, str]) -> None:
    """See that the run's folder holds no other run: each file that says whose it is is missing or the same.

    Raises:
        ConfigError: if one is another run's.
    """
    for file, text in claim.items():
        if file.exists() and file.read_text(encoding="utf-8") != text:
            what = {"settings.yaml": "settings", "weights.yaml": "weights to begin from"}
            other = what.get(file.name, "data or precision")
            raise ConfigError(f"{file.parent}: holds a run with other {other}; give another folder with --out")


def _rows(corpus: Corpus, experiment: Experiment) -> tuple[list[int], list[int]]:
    """The rows to learn from, and those to choose an epoch on."""
    if experiment.final.fold is not None:
        folds = protocol.create(experiment.protocol, corpus, transductive=experiment.speaker_statistics).checked().folds
        found = next((fold for fold in folds if fold.name == experiment.final.fold), None)
        if found is None:
            known = ", ".join(fold.name for fold in folds)
            raise ConfigError(
                f"final.fold: {experiment.protocol} has no fold '{experiment.final.fold}'; it has {known}"
            )
        return list(found.train), list(found.dev)
    files = list(corpus.table.index.get_level_values("file"))
    for file in experiment.final.exclude:
        if file not in files:
            raise ConfigError(f"final.exclude: {corpus.name} has no file '{file}'")
    for speaker in experiment.final.dev_speakers:
        if speaker not in corpus.speakers:
            raise ConfigError(f"final.dev_speakers: {corpus.name} has no speaker '{speaker}'")
    rows = [row for row, file in enumerate(files) if file not in experiment.final.exclude]
    dev = [row for row in rows if corpus.table["speaker"].iloc[row] in experiment.final.dev_speakers]
    return sorted(set(rows) - set(dev)), dev


def _calibration(results: Path | None, task: Recognition) -> Calibration | None:
    """Of the predictions of categories, of two folds or more, beside a results file; None without them."""
    if results is None or task.gives != "probabilities" or not results.with_suffix(".csv").exists():
        return None
    folds = json.loads(results.read_text(encoding="utf-8"))["folds"]
    if len({fold["fold"] for fold in folds}) < 2:
        return None
    return calibration.of_results(results, task.labels)


def _expected(path: Path, experiment: Experiment) -> JSON:
    """What the card quotes of a results file."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not a results file ({error})") from error
    if not isinstance(results, dict) or "fingerprint" not in results:
        raise ConfigError(f"{path}: is not a results file; expected what `affetto benchmark` writes")
    if results["fingerprint"] != experiment.fingerprint:
        raise ConfigError(f"{path}: holds results of other settings than {experiment.name} has now")
    return {
        "protocol": results["protocol"],
        "seeds": len(results["seeds"]),
        **{name: score for name, score in results["fold_mean"].items() if name in cards.QUOTED},
    }
