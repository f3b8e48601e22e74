"""The checkpoint that comes of adapting one: all but its last layer as it was, and a card that says what it brought."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from affetto import cards
from affetto.adaptation.efficiency import LEVEL, Curve, curve
from affetto.adaptation.head import Array, Head, Recipe, adapt, recipes
from affetto.adaptation.validation import FEWEST_SPEAKERS, Clips, Validated, choose, validate
from affetto.checkpoint import Checkpoint
from affetto.config import JSON
from affetto.corpora.base import Corpus
from affetto.device import Precision, autocast
from affetto.errors import AudioError, ConfigError, CorpusError
from affetto.layers import Classifier, Standardize
from affetto.progress import Progress, no_progress
from affetto.provenance import HEARD_DIGITS
from affetto.statistics import Interval
from affetto.tasks import Categories

FEWEST_CLIPS = 10
"""Below, nothing can be said about what was learned."""


@dataclass(frozen=True)
class Adapted:
    """A model made to fit one's own clips.

    Args:
        checkpoint: the new one.
        recipe: how its head was refitted.
        validated: how well that does on clips that it has not seen.
        curve: how much the clips have brought.
        faults: clips that could not be heard, and were left out.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    validated: Validated
    curve: Curve
    faults: tuple[AudioError, ...]


def adapted(
    old: Checkpoint,
    corpus: Corpus,
    *,
    narrow: bool = False,
    seed: int = 0,
    device: torch.device,
    precision: Precision = "auto",
    progress: Progress = no_progress,
) -> Adapted:
    """A model adapted to the clips of a corpus.

    Args:
        old: the model as it is.
        corpus: one's own clips, with emotions that the model knows.
        narrow: whether the new model knows the clips' emotions alone, and not the others that the old one knows.
        seed: of how clips are held out.
        device: where the encoder computes.
        precision: in which numbers.
        progress: told of clips that were heard, then of what is done with clips held out.

    Raises:
        ConfigError: if the model gives no categories, or its last layer is none that can be refitted.
        CorpusError: if an emotion is none of the model's, or the clips are too few or all of one emotion.
    """
    layer = getattr(old.model, "classifier", None)
    if not isinstance(old.task, Categories) or not isinstance(layer, Classifier):
        raise ConfigError(f"{old.name}: cannot be adapted; expected a model of emotions that ends in a linear layer")
    _check(corpus, old.task)
    features, faults = heard(old, corpus, device=device, precision=precision, progress=progress)
    labels = tuple(label for label in old.task.labels if not narrow or label in corpus.categories)
    clips = _clips(corpus, features, labels)
    head = _head(layer, [old.task.labels.index(label) for label in labels])
    known = recipes(standardised=_is_standardised(old))
    progress("clips held out", 0, 2)
    validated = validate(head, clips, known, seed=seed)
    progress("clips held out", 1, 2)
    found = curve(head, clips, known, seed=seed)
    progress("clips held out", 2, 2)
    recipe = choose(head, clips, known, seed=seed)
    new = _with(old, adapt(head, clips.features, clips.classes, recipe), labels)
    provenance = _provenance(old, corpus, clips, labels, recipe, validated, found)
    card = cards.write(provenance["name"], labels, {}, provenance)
    return Adapted(replace(new, provenance=provenance, card=card), recipe, validated, found, faults)


def heard(
    old: Checkpoint,
    corpus: Corpus,
    *,
    device: torch.device,
    precision: Precision = "auto",
    progress: Progress = no_progress,
) -> tuple[list[Array | None], tuple[AudioError, ...]]:
    """What a model's last layer hears of each utterance, (D,) each; None and the reason where it cannot be heard."""
    found: list[Array | None] = []
    faults = []
    inputs: list[torch.Tensor] = []
    model = old.model.to(device).eval()
    layer = model.classifier
    assert isinstance(layer, Classifier)
    handle = layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    try:
        for row in range(len(corpus)):
            progress("clips", row, len(corpus))
            try:
                waveform = corpus.recording(row).waveform if "sound" in model.senses else None
            except AudioError as error:
                faults.append(error)
                found.append(None)
                continue
            words = [corpus.transcripts[row] or ""] if "words" in model.senses else None
            with autocast(device, precision):
                old.answers(None if waveform is None else [waveform], words, device=device)
            found.append(inputs.pop()[0].double().cpu().numpy())
        progress("clips", len(corpus), len(corpus))
    finally:
        handle.remove()
    return found, tuple(faults)


def _check(corpus: Corpus, task: Categories) -> None:
    """See that the clips can teach anything.

    Raises:
        CorpusError: if not.
    """
    strange = [name for name in corpus.categories if name not in task.labels]
    if strange:
        raise CorpusError(
            f"{corpus.name}: the model does not know {', '.join(strange)}, but {', '.join(task.labels)}; leave these "
            "clips out, or train a model of your own (`affetto train own_recordings`)"
        )
    if corpus.table["emotion"].isna().any():
        raise CorpusError(f"{corpus.name}: {int(corpus.table['emotion'].isna().sum())} clips have no emotion")
    if len(corpus) < FEWEST_CLIPS or len(corpus.categories) < 2:
        raise CorpusError(
            f"{corpus.name}: {len(corpus)} clips of {len(corpus.categories)} emotions are too few to adapt with; "
            f"expected {FEWEST_CLIPS} or more, of two emotions or more"
        )


def _clips(corpus: Corpus, features: Sequence[Array | None], labels: tuple[str, ...]) -> Clips:
    """The clips that were heard, in groups by speaker or by file.

    Raises:
        CorpusError: if too few were heard.
    """
    rows = [row for row, each in enumerate(features) if each is not None]
    if len(rows) < FEWEST_CLIPS:
        raise CorpusError(f"{corpus.name}: {len(rows)} of {len(corpus)} clips can be heard; expected {FEWEST_CLIPS}")
    table = corpus.table.iloc[rows]
    by_speaker = not table["speaker"].isna().any() and table["speaker"].nunique() >= FEWEST_SPEAKERS
    groups = table["speaker"] if by_speaker else table.index.get_level_values("file")
    classes = np.array([labels.index(emotion) for emotion in table["emotion"]], np.int64)
    return Clips(
        np.stack([each for each in features if each is not None]), classes, np.asarray(groups, dtype=str), by_speaker
    )


def _is_standardised(old: Checkpoint) -> bool:
    """Whether what the last layer hears had mean 0 and deviation 1 in training."""
    layer, standardize = old.model.classifier, getattr(old.model, "standardize", None)
    assert isinstance(layer, Classifier)
    return isinstance(standardize, Standardize) and len(standardize.mean) == layer.in_features


def _head(layer: Classifier, places: list[int]) -> Head:
    weight, bias = layer.weight.detach().double().cpu().numpy(), layer.bias.detach().double().cpu().numpy()
    return Head(weight[places], bias[places])


def _with(old: Checkpoint, head: Head, labels: tuple[str, ...]) -> Checkpoint:
    """The model with another last layer."""
    model = copy.deepcopy(old.model).cpu()
    layer = Classifier(head.weight.shape[1], len(labels))
    layer.load_state_dict({"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)})
    model.classifier = layer
    assert isinstance(old.task, Categories)
    return replace(old, model=model.eval(), task=Categories(labels, old.task.settings))


def _provenance(
    old: Checkpoint,
    corpus: Corpus,
    clips: Clips,
    labels: tuple[str, ...],
    recipe: Recipe,
    validated: Validated,
    found: Curve,
) -> JSON:
    """The old one's, with what was done to it."""
    hashes = sorted({digest[:HEARD_DIGITS] for digest in corpus.file_hashes().values()})
    counts = {label: int((clips.classes == place).sum()) for place, label in enumerate(labels)}
    done: JSON = {
        "from": old.name,
        "clips": len(clips),
        "counts": {label: number for label, number in counts.items() if number},
        "groups": validated.groups,
        "by_speaker": validated.by_speaker,
        "recipe": recipe.words,
        "chosen_by_fold": [each.words for each in validated.chosen],
        "before": round(validated.before, 4),
        "before_interval": _ends(validated.before_interval),
        "after": round(validated.after, 4),
        "after_interval": _ends(validated.after_interval),
        "gain_interval": _ends(validated.gain_interval),
        "curve": [[point.clips, round(point.ua, 4)] for point in found.points],
        "doubling": None if math.isnan(found.doubling) else round(found.doubling, 4),
        "doubling_interval": None
        if math.isnan(found.doubling)
        else [round(float(end), 4) for end in found.doubling_interval],
        "forecasts": [
            [each.clips, *(round(ua, 4) for ua in (each.ua, each.low, each.high))] for each in found.forecasts
        ],
        "forecast_level": LEVEL,
    }
    return {
        **old.provenance,
        "name": f"{old.name}-adapted",
        "adapted": done,
        "expected": None,
        "heard": sorted({*old.provenance.get("heard", ()), *hashes}),
    }


def _ends(interval: Interval) -> list[float] | None:
    return None if math.isnan(interval.low) else [round(interval.low, 4), round(interval.high, 4)]
