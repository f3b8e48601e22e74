"""MSP-Podcast, the MSP Podcast corpus: turns cut from podcasts, English, spontaneous.

Made by R. Lotfian, C. Busso and others at the University of Texas at Dallas, and growing: each release adds turns
(16 kHz mono, 2 to 12 s), which raters gave a category and, on scales of seven points, valence, arousal and dominance.
How many there are is the release's; the second paper uses 1.7.

    Source    https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html
    Licence   its own, on request: for research
    Citation  Lotfian and Busso (2019), Building naturalistic emotionally balanced speech corpus by retrieving emotional
              speech from existing podcast recordings, IEEE Transactions on Affective Computing 10(4), 471-483

Two corpora are read from one release, as of IEMOCAP: `msp_podcast` is the four classes that the field scores (the
second paper, section 4.2), `msp_podcast-full` all turns, for work on dimensions; turns on which the raters did not
agree have no category there.

Releases differ in how they spell things, and all that is known is taken: `Audios/` or `Audio/`; `labels_concensus.csv`
(so until 1.8) or `labels_consensus.csv`; `Validation` (until 1.8) or `Development`; `Partitions.txt` or
`Partition.txt`; `Transcripts/` in later ones. The table of labels says split and speaker; where it does not, the lists
beside it do.

This reader was written from published descriptions of the layout and tested on a toy copy of it, never on the corpus.
"""

import math
import re
from dataclasses import replace
from pathlib import Path

import audformat
import pandas as pd

from affetto import tables
from affetto.corpora.base import Corpus, CorpusInfo, not_found, register
from affetto.errors import CorpusError

EMOTIONS: dict[str, str | None] = {
    "A": "anger",
    "C": "contempt",
    "D": "disgust",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "O": "other",
    "S": "sadness",
    "U": "surprise",
    "X": None,
}
"""From MSP-Podcast's letters to categories; X is for turns on which the raters did not agree."""
FOUR_CLASSES = {letter: EMOTIONS[letter] for letter in "AHNS"}
"""The letters that the field scores, as categories (the second paper, section 4.2)."""
RATINGS = {"valence": "EmoVal", "arousal": "EmoAct", "dominance": "EmoDom"}
"""Dimension -> its column; on disk activation, which is arousal, comes first."""
SEXES = {"Female": "female", "Male": "male"}

INFO = CorpusInfo(
    name="msp_podcast",
    title="MSP-Podcast (four classes)",
    language="eng",
    licence="MSP-Podcast's own, for research",
    source="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
    citation="Lotfian and Busso (2019), Building naturalistic emotionally balanced speech corpus by retrieving "
    "emotional speech from existing podcast recordings, IEEE Transactions on Affective Computing 10(4), 471-483",
    layout=("Labels/labels_consensus.csv", "Audios/MSP-PODCAST_0001_0008.wav", "Partitions.txt", "Speaker_ids.txt"),
    dimensions=dict.fromkeys(RATINGS, (1, 7)),
    caveat="Podcasts in English; utterances on which raters did not agree or that carry another emotion are left out: "
    "on other languages, recordings of other kinds and mixed feelings expect less.",
)
FULL = replace(
    INFO,
    name="msp_podcast-full",
    title="MSP-Podcast, all turns",
    caveat="Podcasts in English: on other languages and recordings of other kinds expect less.",
)

_FILE = re.compile(r"MSP-PODCAST_(\d+)(?:_\d+)+\.wav")
_UNKNOWN = ("", "Unknown")


@register(INFO)
def read(root: Path) -> Corpus:
    """The four classes of MSP-Podcast from the folder that holds `Labels/` and so on.

    The table has the columns emotion, speaker and sex (both missing where nobody knows), split (in the release's own
    word), podcast (its number), code (the letter), valence, arousal, dominance (means over raters, on scales of seven
    points) and transcript (missing without `Transcripts/`).

    Args:
        root: the corpus's folder.

    Returns:
        The turns in these classes. Whether their files exist is for `corpora.check` to say.

    Raises:
        CorpusError: if there are no labels, or one cannot be understood.
    """
    return _read(root, INFO, FOUR_CLASSES)


@register(FULL, by_name=True)
def read_full(root: Path) -> Corpus:
    """All of MSP-Podcast, with the columns of `read`; where raters did not agree, emotion is missing.

    Args:
        root: as for `read`.

    Returns:
        The turns that have labels; those of a test set whose labels its owners keep are not among them.

    Raises:
        CorpusError: if there are no labels, or one cannot be understood.
    """
    return _read(root, FULL, EMOTIONS)


def _read(root: Path, info: CorpusInfo, emotions: dict[str, str | None]) -> Corpus:
    """The turns whose letter is one of `emotions`, in the order of their files' names."""
    labels = _first(root, "Labels/labels_consensus.csv", "Labels/labels_concensus.csv")
    if labels is None:
        raise not_found(info, root, "no labels")
    columns, lines = tables.read(labels, INFO.layout[0])
    if missing := sorted({"FileName", "EmoClass", *RATINGS.values()} - set(columns)):
        raise CorpusError(f"msp_podcast: {labels} has no column {', '.join(missing)}; found {', '.join(columns)}")
    audio = "Audio" if (root / "Audio").is_dir() and not (root / "Audios").is_dir() else "Audios"
    split_of = _listed(_first(root, "Partitions.txt", "Partition.txt"))
    speaker_of = _listed(_first(root, "Speaker_ids.txt"))
    rows: dict[str, dict[str, str | float | None]] = {}
    seen: dict[str, int] = {}
    for number, line in lines:
        name, code = line["FileName"], line["EmoClass"]
        where = f"msp_podcast: {labels}, row {number}"
        match = _FILE.fullmatch(name)
        if match is None or code not in ("", *EMOTIONS):
            raise CorpusError(
                f"{where} is '{name}', '{code}'; expected e.g. 'MSP-PODCAST_0001_0008.wav' and one of the letters "
                f"{', '.join(EMOTIONS)}"
            )
        if code not in emotions:
            continue
        if name in seen:
            raise CorpusError(f"{where} is '{name}' again; row {seen[name]} is already")
        seen[name] = number
        speaker = _known(line.get("SpkrID"), speaker_of.get(name))
        rows[f"{audio}/{name}"] = {
            "emotion": emotions[code],
            "speaker": speaker,
            "sex": SEXES.get(_known(line.get("Gender"), speaker_of.get(f"Speaker_{speaker}")) or ""),
            "split": _known(line.get("Split_Set"), split_of.get(name)),
            "podcast": match[1],
            "code": code,
            **{dimension: _rating(line[column], f"{where}, {column}") for dimension, column in RATINGS.items()},
            "transcript": _transcript(root / "Transcripts" / f"{Path(name).stem}.txt"),
        }
    if not rows:
        raise not_found(info, root, f"no labels of its classes in {labels.name}")
    files = sorted(rows)
    return Corpus(info, root, pd.DataFrame([rows[file] for file in files], index=audformat.segmented_index(files)))


def _first(root: Path, *names: str) -> Path | None:
    """The first of some files that is there."""
    return next((root / name for name in names if (root / name).is_file()), None)


def _listed(path: Path | None) -> dict[str, str]:
    """The two sides of each line of a list, from the one that begins with MSP-PODCAST or Speaker to the other.

    Examples of lines: `Train; MSP-PODCAST_0023_0048.wav`, `MSP-PODCAST_0001_0008.wav; 30`, `Speaker_30; Male`.
    """
    if path is None:
        return {}
    pairs = (
        [cell.strip() for cell in line.split(";")][:2]
        for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        if ";" in line
    )
    return {
        name: value
        for pair in pairs
        for name, value in (pair, pair[::-1])
        if name.startswith(("MSP-PODCAST_", "Speaker_"))
    }


def _known(*cells: str | None) -> str | None:
    """The first cell that says something; a speaker may be written with the word Speaker before the number."""
    return next((cell.removeprefix("Speaker_") for cell in cells if cell is not None and cell not in _UNKNOWN), None)


def _rating(text: str, where: str) -> float:
    """A mean of ratings."""
    try:
        rating = float(text)
    except ValueError:
        rating = math.nan
    if not math.isfinite(rating):
        raise CorpusError(f"{where} is '{text}'; expected a number such as 3.6")
    return rating


def _transcript(path: Path) -> str | None:
    """What a human wrote down; None if nobody did."""
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None
