"""Affetto hears emotion in speech.

The modules, in the order in which a recording passes them:

    errors, labels      what can go wrong; what emotions are called
    audio, media        a file, bytes or an array -> a waveform at 16 kHz; media opens MP4 and WebM
    pieces              the same for recordings of hours, piece by piece
    vad                 where in them somebody speaks
    asr                 a waveform -> the words in it
    batch               several of different lengths in one tensor
    frontend            waveform -> log-mel frames
    augment             stretches of them, and stripes struck out, in training
    layers, encoders    the parts of networks: speech BERT, Whisper's first layers, CNN14, BERT on words
    models              the networks, one file each
    tasks               targets, loss, answers: categories, and masked frames
    corpora             folders on disk -> tables of utterances
    simulation          how the simulated corpora are made, and what could be known of them
    protocol, splits    who is train, dev and test; audit and fingerprint find what they have in common
    cache, dataset      features, computed once; progress tells how far it is
    config, experiment  settings
    training            the loop, with optimizers; pretraining is the same without labels
    cells, evaluation   every fold and seed of every row, in parallel; results files; changes lists what was tried
    metrics, statistics what a score is, and how much it means
    scores              from predictions to numbers; verification checks them, report shows them
    calibration, domain confidence that comes true, refusing and sets of labels; the sounds that a model can know
    vad, flags          where speech is; what in a recording makes an answer untrustworthy
    checkpoint          a trained model as a folder; pretrained holds those that ship, cards describes them; panns makes
                        PANNs' published weights into one
    trust               calibration and domain, fitted and put into a checkpoint
    recognizer          all of it, for who only wants to know what is heard
    segments            recordings of hours: who felt what, when
    distortions         what recordings suffer: telephones, noise, rooms; stress sees what a model makes of it
    adaptation          a checkpoint's last layer, fitted to a few clips of one's own
    views, palette      what was found there as words, a picture and a page; one colour an emotion
    stream              live sound: who feels what, now; sounding is where it comes from
    serve, client       the same for others, over a network; messages is what they tell each other
    cli                 the command `affetto`

Importing the package is cheap; names below are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affetto.corpora import Corpus
    from affetto.errors import (
        AffettoError,
        AudioError,
        CheckpointError,
        ConfigError,
        CorpusError,
        ProtocolError,
        TrainingError,
    )
    from affetto.recognizer import Prediction, Recognizer

__version__ = "0.1.0"

__all__ = [
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

_HOMES = {
    "Corpus": "affetto.corpora",
    "Prediction": "affetto.recognizer",
    "Recognizer": "affetto.recognizer",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'affetto' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES.get(name, "affetto.errors")), name)


def __dir__() -> list[str]:
    return __all__
