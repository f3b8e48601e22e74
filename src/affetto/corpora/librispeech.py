"""LibriSpeech: a thousand hours of volunteers who read audio books aloud, in English. No emotions: for pretraining.

Made by V. Panayotov, G. Chen, D. Povey and S. Khudanpur from LibriVox's recordings, in subsets of which any may be
there alone; 16 kHz mono, FLAC. The first paper pretrains on train-clean-360 (about 364 hours; it says 1,000, which is
all subsets together).

    Source    https://www.openslr.org/12
    Licence   CC-BY-4.0
    Citation  Panayotov et al. (2015), Librispeech: an ASR corpus based on public domain audio books, ICASSP 2015

A name is `1089-134686-0000.flac`: speaker 1089, chapter 134686, utterance 0000. What is said stands in a file of each
chapter, in capitals, and the speakers' sex in `SPEAKERS.TXT` beside the subsets.

This reader was written from published descriptions of the layout and tested on a toy copy of it, never on the corpus.
"""

import re
from pathlib import Path

import audformat
import pandas as pd

from affetto.corpora.base import Corpus, CorpusInfo, not_found, register
from affetto.errors import CorpusError

SEXES = {"F": "female", "M": "male"}

INFO = CorpusInfo(
    name="librispeech",
    title="LibriSpeech, read audio books (no emotions)",
    language="eng",
    licence="CC-BY-4.0",
    source="https://www.openslr.org/12",
    citation="Panayotov et al. (2015), Librispeech: an ASR corpus based on public domain audio books, ICASSP 2015",
    layout=("train-clean-360/14/208/14-208-0000.flac", "train-clean-360/14/208/14-208.trans.txt", "SPEAKERS.TXT"),
)

_NAME = re.compile(r"(\d+)-(\d+)-\d{4}\.flac")


@register(INFO, by_name=True)
def read(root: Path) -> Corpus:
    """The subsets of LibriSpeech that are there.

    The table has the columns emotion (missing), speaker, sex (missing without `SPEAKERS.TXT`), chapter, subset and
    transcript (missing without the chapter's `.trans.txt`).

    Args:
        root: the folder `LibriSpeech/`, the one that holds it, or that of one subset.

    Returns:
        The utterances; nothing is decoded. A file is called the same, whichever of the folders was named.

    Raises:
        CorpusError: if there are no utterances, one does not have a name of LibriSpeech or lies in another chapter's
            folder, or a line of `SPEAKERS.TXT` cannot be understood.
    """
    folder, paths = _files(root)
    if not paths:
        raise not_found(INFO, root, "no flac files")
    sexes = _sexes(folder / "SPEAKERS.TXT")
    spoken: dict[Path, dict[str, str]] = {}
    rows = []
    for path in paths:
        match = _NAME.fullmatch(path.name)
        if match is None or match.groups() != path.parts[-3:-1]:
            raise CorpusError(f"librispeech: {path} is not a file of LibriSpeech; expected e.g. {INFO.layout[0]}")
        speaker, chapter = match.groups()
        if path.parent not in spoken:
            spoken[path.parent] = _transcripts(path.parent / f"{speaker}-{chapter}.trans.txt")
        rows.append(
            {
                "emotion": None,
                "speaker": speaker,
                "sex": sexes.get(speaker),
                "chapter": chapter,
                "subset": path.parts[-4],
                "transcript": spoken[path.parent].get(path.stem),
            }
        )
    files = [path.relative_to(folder).as_posix() for path in paths]
    return Corpus(INFO, folder, pd.DataFrame(rows, index=audformat.segmented_index(files), dtype=object))


def _files(root: Path) -> tuple[Path, list[Path]]:
    """The folder that holds the subsets, and the utterances below it, or those of the one subset that was named."""
    inner = root / "LibriSpeech"
    folder = (inner if inner.is_dir() else root).resolve()
    for pattern, holder in (("*/*/*/*.flac", folder), ("*/*/*.flac", folder.parent)):
        if paths := sorted(path for path in folder.glob(pattern) if not path.name.startswith("._")):
            return holder, paths
    return folder, []


def _sexes(path: Path) -> dict[str, str]:
    """Speaker -> sex, from lines such as `14   | F | train-clean-360 | 25.03 | Kristin LeMoine`.

    A name may hold the bar as well. Remarks begin with a semicolon.
    """
    if not path.is_file():
        return {}
    sexes = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip() or line.startswith(";"):
            continue
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 2 or cells[1] not in SEXES:
            raise CorpusError(
                f"librispeech: {path}, line {number} is '{line}'; expected e.g. '14 | F | train-clean-360 | 25.03 | "
                "Kristin LeMoine'"
            )
        sexes[cells[0]] = SEXES[cells[1]]
    return sexes


def _transcripts(path: Path) -> dict[str, str]:
    """Utterance -> what was said; empty if the file is missing."""
    if not path.is_file():
        return {}
    lines = (line.partition(" ") for line in path.read_text(encoding="utf-8").splitlines())
    return {utterance: words.strip() for utterance, _, words in lines}
