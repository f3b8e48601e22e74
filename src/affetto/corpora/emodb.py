"""EMO-DB, the Berlin Database of Emotional Speech: ten actors say ten German sentences in seven emotions.

Made by F. Burkhardt, A. Paeschke, M. Rolfes, W. Sendlmeier and B. Weiss at the Technical University of Berlin, in an
anechoic chamber. 535 utterances, 24.8 minutes, mono at 16 kHz, each recognised by at least 80 % of 20 or 21 listeners.

    Source    http://emodb.bilderbar.info
    Licence   CC0-1.0
    Citation  Burkhardt et al. (2005), A Database of German Emotional Speech, Interspeech 2005

A file name is the label: `03a01Fa.wav` is speaker 03, sentence a01, emotion F (Freude), version a. `erkennung.txt`,
when it is there, adds how many listeners recognised the emotion and how many found it natural.

A later release (audb 2.0.0) holds 816 recordings. The 281 that EMO-DB left out are dropped here by name, because no
threshold on the two ratings tells them apart: EMO-DB's own rule (at least 80 % recognised, at least 60 % natural) fails
42 of the 535, which go down to 45 % natural, and passes one recording that was left out, 14b09Tb; 80 of the 281 were
recognised by 80 % or more.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import audformat
import numpy as np
import pandas as pd

from affetto.corpora.base import Corpus, CorpusInfo, not_found, register
from affetto.errors import CorpusError

LETTERS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "N": "neutral",
    "T": "sadness",
}
"""From the sixth character of a file name to the category: Wut, Langeweile, Ekel, Angst, Freude, neutral, Trauer."""

SENTENCES = {
    "a01": ("Der Lappen liegt auf dem Eisschrank.", "The tablecloth is lying on the fridge."),
    "a02": ("Das will sie am Mittwoch abgeben.", "She will hand it in on Wednesday."),
    "a04": ("Heute abend könnte ich es ihm sagen.", "Tonight I could tell him."),
    "a05": (
        "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
        "The black sheet of paper is located up there besides the piece of timber.",
    ),
    "a07": ("In sieben Stunden wird es soweit sein.", "In seven hours it will be."),
    "b01": (
        "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
        "What about the bags standing there under the table?",
    ),
    "b02": (
        "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
        "They just carried it upstairs and now they are going down again.",
    ),
    "b03": (
        "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
        "Currently at the weekends I always went home and saw Agnes.",
    ),
    "b09": (
        "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
        "I will just discard this and then go for a drink with Karl.",
    ),
    "b10": (
        "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
        "It will be in the place where we always store it.",
    ),
}
"""Code -> (German, the English translation of the corpus's own site)."""

INFO = CorpusInfo(
    name="emodb",
    title="EMO-DB, Berlin Database of Emotional Speech",
    language="deu",
    licence="CC0-1.0",
    source="http://emodb.bilderbar.info",
    citation="Burkhardt et al. (2005), A Database of German Emotional Speech, Interspeech 2005",
    layout=("wav/03a01Fa.wav", "erkennung.txt"),
    categories={
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happiness": 71,
        "neutral": 79,
        "sadness": 62,
    },
    speakers={
        "03": ("male", 31),
        "08": ("female", 34),
        "09": ("female", 21),
        "10": ("male", 32),
        "11": ("male", 26),
        "12": ("male", 30),
        "13": ("female", 32),
        "14": ("female", 35),
        "15": ("male", 25),
        "16": ("female", 31),
    },
    caveat="Acted, ten speakers, one language, a studio: on other voices, languages and microphones expect less.",
    archive="http://www.emodb.bilderbar.info/download/download.zip",
)

_NAME = re.compile(rf"({'|'.join(INFO.speakers)})({'|'.join(SENTENCES)})([{''.join(LETTERS)}])([a-z])(?:\.wav)?")

_LEFT_OUT = {
    "03": """
        a01Ab a01Eb a01Lb a01Tc a02Ab a02Ea a02Lc a04Ac a04Eb a04Wa a05Ea a05La a05Ta a07Ad a07Ea a07Tc b01Ad b01Ed
        b01Te b02Ed b02Fc b02Tc b03Aa b03Ab b03Ed b03Fc b03La b03Ta b09Aa b09Ec b09Fa b10Ea b10Fa b10La b10Td""",
    "08": """
        a01Aa a01Ec a01Td a02Aa a02Ec a04Aa a04Ec a05Aa a05Ea a07Aa a07Ed b01Eb b01Ta b02Ac b02Ed b03Aa b03Ab b03Eb
        b09Ea b10Eb""",
    "09": """
        a01Aa a01Lc a01Tc a02Ac a02Fa a02Nc a02Ta a02Tb a04Ab a04Ea a04Ta a05Aa a05Fa a07Aa a07Fd a07Lc b01Aa b01Ad
        b01Fd b01Lb b01Td b02Ad b02Ed b02Fb b02La b03Aa b09Ab b09Ad b09Fb b09Fd b09Lb b09Tb b09Td b10Ea b10Fb b10La
        b10Ta""",
    "10": """
        a01Eb a01Fb a01Lb a01Lc a01Tb a01Td a02Ed a02Ta a02Tb a04Ab a04Eb a04Ld a04Tb a05Eb a05Fa a05Na a07Eb a07Fb
        a07Nb b01Na b01Nb b01Ta b01Tb b01Wb b02Ea b02Fa b02Ta b02Tb b03Aa b03Ab b03Ea b03Fd b03Na b03Wd b09Ae b09Ea
        b09Fe b09Nb b09Ta b10Aa b10Eb b10Nb b10Tc""",
    "11": """
        a01Ea a01Fa a01Td a02Ab a02La a04Eb a04Ec a04Ld a04Tc a04Wa a05Ea a07Ec a07Fd a07Nb b01Fb b01Td b02Eb b02Ld
        b02Wd b03Ab b03Eb b09Ea b10Eb b10Fa b10Wb""",
    "12": """
        a01Ab a01Eb a01Tb a02Fa a02Fb a02La a02Lc a02Ta a04Aa a04Eb a04Fa a04Fc a04Lb a04Nc a04Tb a05Ec a05Fc a07Ec
        a07Fd a07Nb a07Tc a07Wc b01Ad b01Ea b01Fd b01Lb b01Nb b02La b02Tb b03Ab b03Ea b03Fd b03Nc b03Wd b09Aa b09Ea
        b09Fb b09Lb b09Lc b09Nc b10Ed b10Fd b10Nc b10Td""",
    "13": """
        a01Ta a04Ea a04Nc a04Tb a04Tc a05Ac a05Fa a07Aa a07Ea b01Td b02Aa b02Ea b02Tb b02Tc b09Ac b09Ta b09Wc b10Aa
        b10Ac b10Ta""",
    "14": """
        a01Fa a01La a01Ld a01Tb a01Td a04Fc a04Fd a04Nb a05Ea b01Lb b01Ta b02Eb b02Lc b03Fb b03Na b03Nb b09Nb b09Tb
        b10Fa""",
    "15": """
        a01Ad a01Tb a01Tc a02Fa a02Lc a04Eb a04Lb a04Tb a05Ab a05Ta a05Tb a07Tc a07Wb b01Aa b01Fa b01Ta b02Eb b02Fb
        b03Ab b03Eb b03Fc b03La b09Eb b10Ab b10Eb b10Fb b10Ta""",
    "16": """
        a01Ab a02Aa a02Fc a05Na a07Ac b01Nc b02Nc b02Td b09Nb b09Tc b10Nb""",
}
LEFT_OUT = frozenset(speaker + rest for speaker, names in _LEFT_OUT.items() for rest in names.split())
"""The 281 recordings of the 816-file release that are not part of EMO-DB."""


@dataclass(frozen=True)
class Name:
    """What a file name of EMO-DB states: the speaker, the sentence's code, the category and the version."""

    speaker: str
    sentence: str
    emotion: str
    version: str


def parse(name: str) -> Name:
    """What a file name of EMO-DB states.

    Args:
        name: with or without `.wav`, without folders.

    Raises:
        CorpusError: if the name is not made by EMO-DB's key.

    Example:
        >>> parse("03a01Fa.wav")
        Name(speaker='03', sentence='a01', emotion='happiness', version='a')
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise CorpusError(
            f"emodb: {name} is not a name of EMO-DB; expected e.g. 03a01Fa.wav: speaker 03, sentence a01, emotion F "
            f"(one of {', '.join(LETTERS)}), version a"
        )
    speaker, sentence, letter, version = match.groups()
    return Name(speaker, sentence, LETTERS[letter], version)


def label_from_name(name: str) -> tuple[str, str] | None:
    """The (emotion, speaker) that a file name states; None if it is not a name of EMO-DB.

    Example:
        >>> label_from_name("16b10Wb"), label_from_name("interview")
        (('anger', '16'), None)
    """
    try:
        stated = parse(name)
    except CorpusError:
        return None
    return stated.emotion, stated.speaker


@register(INFO, label_from_name=label_from_name)
def read(root: Path) -> Corpus:
    """EMO-DB from the folder that holds `wav/`, or from the folder of wav files itself.

    The table has the columns emotion, speaker, sex, age, sentence (its code), text (German), version, and recognised
    and naturalness, the fractions of listeners who heard the emotion meant and found it natural (NaN without
    `erkennung.txt`).

    Args:
        root: the corpus's folder.

    Returns:
        The 535 utterances, or as many of them as are there.

    Raises:
        CorpusError: if there are no wav files, one does not have a name of EMO-DB, or `erkennung.txt` is not as known.
    """
    folder = root / "wav" if (root / "wav").is_dir() else root.resolve()
    paths = sorted(path for path in folder.glob("*.wav") if not path.name.startswith("._"))
    kept = [(path.name, parse(path.name)) for path in paths if path.stem not in LEFT_OUT]
    if not kept:
        raise not_found(INFO, root, "no wav files")
    ratings = _ratings(folder.parent / "erkennung.txt")
    unrated = (np.nan, np.nan)
    table = pd.DataFrame(
        {
            "emotion": [name.emotion for _, name in kept],
            "speaker": [name.speaker for _, name in kept],
            "sex": [INFO.speakers[name.speaker][0] for _, name in kept],
            "age": [INFO.speakers[name.speaker][1] for _, name in kept],
            "sentence": [name.sentence for _, name in kept],
            "text": [SENTENCES[name.sentence][0] for _, name in kept],
            "version": [name.version for _, name in kept],
            "recognised": [ratings.get(file, unrated)[0] for file, _ in kept],
            "naturalness": [ratings.get(file, unrated)[1] for file, _ in kept],
        },
        index=audformat.segmented_index([f"{folder.name}/{file}" for file, _ in kept]),
    )
    return Corpus(INFO, folder.parent, table)


def _ratings(path: Path) -> dict[str, tuple[float, float]]:
    """File name -> (recognised, naturalness) as fractions, from `erkennung.txt`; empty if it is missing.

    The file is Latin-1 with decimal commas, its columns are filled up with non-breaking spaces (`str.split` takes them
    for spaces), and it lists 816 recordings.
    """
    if not path.is_file():
        return {}
    header, *rows = path.read_text(encoding="latin-1").splitlines() or [""]
    if header.split()[1:] != ["Satz", "erkannt", "natuerlich"]:
        raise CorpusError(f"emodb: {path} begins with '{header}'; expected 'Nr. Satz erkannt natuerlich'")
    ratings = {}
    for number, row in enumerate(rows, start=2):
        if not row.strip():
            continue
        try:
            _, name, recognised, naturalness = row.split()
            ratings[name] = (_fraction(recognised), _fraction(naturalness))
        except ValueError as error:
            raise CorpusError(
                f"emodb: {path}, line {number} is '{row}'; expected e.g. '1 03a01Fa.wav 90,00 75,00'"
            ) from error
    return ratings


def _fraction(percent: str) -> float:
    return float(percent.replace(",", ".")) / 100
