"""The simulated corpora: EmoBank's sentences spoken by a program. Simulated speech, which says nothing about people.

They let a machine without a licensed corpus run the second paper from end to end: `simulated_a` stands where
MSP-Podcast stands (splits of its own, ratings on seven points), `simulated_b` where IEMOCAP stands (ten speakers, five
points). `affetto corpora make` speaks them with espeak-ng on the user's machine (`affetto.simulation`, which says how a
clip's truth is made of its words and its voice), and `docs/simulated.md` holds every constant and the ceilings: what a
perfect reader of the words, of the voice, or of both could reach.

    Source    made by `affetto corpora make simulated_a --emobank emobank.csv --to FOLDER`
    Licence   CC-BY-SA-4.0, that of EmoBank's sentences, which they hold
    Citation  Buechel and Hahn (2017), as for `emobank`

A folder holds `labels.csv`, `simulated.json` (what made it, and the ceilings) and a folder of wav files a speaker. The
corpora are frozen: what changes a rating, a sentence or a voice is a new version, which stands in the protocol's id.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import audformat
import pandas as pd

from affetto import tables
from affetto.corpora import emobank
from affetto.corpora.base import Corpus, CorpusInfo, not_found, register
from affetto.errors import CorpusError
from affetto.labels import DIMENSIONS

VERSION = 1
"""Of everything but espeak-ng, whose version the bytes of the clips, and so the manifest, follow."""
LABELS, CARD = "labels.csv", "simulated.json"
LATENTS = tuple(f"{part}_{dimension}" for part in ("words", "voice") for dimension in DIMENSIONS)
"""Columns of what a clip's words and its voice say of each dimension; a perfect reader knows the three of its kind."""
CONTROLS = ("rate", "pitch", "range", "amplitude")
"""Columns of what espeak-ng was told: words a minute, pitch 0 to 99, range of the pitch in per cent of the voice's own,
amplitude 0 to 200."""

INFO_A = CorpusInfo(
    name="simulated_a",
    title="Simulated corpus A, EmoBank's sentences spoken by espeak-ng (fixed splits, seven points)",
    language="eng",
    licence="CC-BY-SA-4.0 (EmoBank's sentences)",
    source="made by `affetto corpora make simulated_a`",
    citation=emobank.INFO.citation,
    layout=(LABELS, CARD, "a01/SemEval_800.wav"),
    categories={"anger": 354, "happiness": 383, "neutral": 789, "sadness": 364},
    dimensions=dict.fromkeys(DIMENSIONS, (1, 7)),
    simulated=True,
    caveat="Simulated: a program read sentences aloud with a voice that followed drawn numbers; of people it says "
    "nothing.",
)
INFO_B = replace(
    INFO_A,
    name="simulated_b",
    title="Simulated corpus B, EmoBank's sentences spoken by espeak-ng (ten speakers, five points)",
    source="made by `affetto corpora make simulated_b`",
    layout=(LABELS, CARD, "b01/SemEval_801.wav"),
    categories={"anger": 159, "happiness": 156, "neutral": 315, "sadness": 170},
    dimensions=dict.fromkeys(DIMENSIONS, (1, 5)),
)


@register(INFO_A)
def read_a(root: Path) -> Corpus:
    """Simulated corpus A.

    The table has the columns emotion, speaker, split, valence, arousal, dominance, transcript (what was spoken),
    sentence (its id in EmoBank), voice (espeak-ng's name of it), `CONTROLS` and `LATENTS`.

    Args:
        root: the folder that `affetto corpora make` made.

    Returns:
        All clips.

    Raises:
        CorpusError: if the folder does not hold this corpus in this version.
    """
    return _read(root, INFO_A)


@register(INFO_B)
def read_b(root: Path) -> Corpus:
    """Simulated corpus B, with the columns of corpus A; it has no splits.

    Args:
        root: the folder that `affetto corpora make` made.

    Returns:
        All clips.

    Raises:
        CorpusError: if the folder does not hold this corpus in this version.
    """
    return _read(root, INFO_B)


def ceilings(corpus: Corpus) -> dict[str, dict[str, float]]:
    """What perfect readers reach under the corpus's protocol, as its maker computed it (`simulation.ceilings`).

    Args:
        corpus: all of it, as read.

    Returns:
        By reader (voice, words, joint) the CCC of each dimension and the UAR (`ua`); empty if the maker did not say.
    """
    found: dict[str, dict[str, float]] = _card(corpus.root).get("ceilings", {})
    return found


def _card(root: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((root / CARD).read_text(encoding="utf-8"))
    return card


def _read(root: Path, info: CorpusInfo) -> Corpus:
    if not (root / CARD).is_file():
        raise not_found(info, root, f"no {CARD}")
    card = _card(root)
    found = (card["corpus"], card["version"])
    if found != (info.name, VERSION):
        raise CorpusError(
            f"{info.name}: {root} holds version {found[1]} of {found[0]}; expected version {VERSION} of {info.name}"
        )
    if not (root / LABELS).is_file():
        raise CorpusError(f"{info.name}: {root} is not finished; `affetto corpora make` goes on where it stopped")
    _, lines = tables.read(root / LABELS, LABELS)
    table = pd.DataFrame([line for _, line in lines]).set_index("file")
    table.index = audformat.segmented_index(table.index.tolist())
    numbers = (*DIMENSIONS, *LATENTS)
    table = table.astype({**dict.fromkeys(numbers, "float64"), **dict.fromkeys(CONTROLS, "int64")})
    return Corpus(info, root, table.assign(split=table["split"].replace("", None)))
