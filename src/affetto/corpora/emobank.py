"""EmoBank: ten thousand English sentences with ratings of valence, arousal and dominance. Text alone, no sound.

Made by S. Buechel and U. Hahn at Jena University from the MASC part of the American National Corpus and headlines of
SemEval 2007, rated on scales of five points from the writer's and from the reader's point of view; the file that is
read here gives one mean of both.

    Source    https://github.com/JULIELab/EmoBank
    Licence   CC-BY-SA-4.0
    Citation  Buechel and Hahn (2017), EmoBank: studying the impact of annotation perspective and representation format
              on dimensional emotion analysis, EACL 2017, volume 2, 578-585

It is read for models that read: `file` is the sentence's id, and a model that hears is told that there is nothing to
hear. The order on disk is valence, arousal, dominance; train, dev and test are the owners'.
"""

from pathlib import Path

import audformat
import pandas as pd

from affetto import tables
from affetto.corpora.base import Corpus, CorpusInfo, not_found, register
from affetto.errors import CorpusError

RATINGS = {"valence": "V", "arousal": "A", "dominance": "D"}
"""Dimension -> its column."""
FILE = "emobank.csv"

INFO = CorpusInfo(
    name="emobank",
    title="EmoBank, sentences with ratings (text, no sound)",
    language="eng",
    licence="CC-BY-SA-4.0",
    source="https://github.com/JULIELab/EmoBank",
    citation="Buechel and Hahn (2017), EmoBank: studying the impact of annotation perspective and representation "
    "format on dimensional emotion analysis, EACL 2017, volume 2, 578-585",
    layout=(FILE,),
    dimensions=dict.fromkeys(RATINGS, (1, 5)),
    has_sound=False,
    caveat="Written English, mostly of the 1990s and 2000s: on speech, other languages and other genres expect less.",
)


@register(INFO)
def read(root: Path) -> Corpus:
    """The sentences of EmoBank from the folder that holds `emobank.csv`, or from that file.

    The table has the columns emotion and speaker (both missing), split, valence, arousal, dominance (means over raters,
    on scales of five points) and transcript, the sentence.

    Args:
        root: the folder, or the file.

    Returns:
        The sentences, in the order of their ids.

    Raises:
        CorpusError: if the file is not there or a row of it cannot be understood.
    """
    path = root if root.is_file() else root / FILE
    if not path.is_file():
        raise not_found(INFO, root, f"no {FILE}")
    columns, lines = tables.read(path, FILE)
    if missing := sorted({"id", "split", "text", *RATINGS.values()} - set(columns)):
        raise CorpusError(f"emobank: {path} has no column {', '.join(missing)}; found {', '.join(columns)}")
    rows: dict[str, dict[str, str | float | None]] = {}
    for number, line in lines:
        if line["id"] in rows:
            raise CorpusError(f"emobank: {path}, row {number} repeats the id {line['id']}")
        try:
            ratings = {dimension: float(line[column]) for dimension, column in RATINGS.items()}
        except ValueError as error:
            raise CorpusError(f"emobank: {path}, row {number}: {error}; expected ratings such as 3.2") from error
        rows[line["id"]] = {
            "emotion": None,
            "speaker": None,
            "split": line["split"],
            **ratings,
            "transcript": line["text"],
        }
    ids = sorted(rows)
    table = pd.DataFrame([rows[name] for name in ids], index=audformat.segmented_index(ids))
    return Corpus(INFO, path.parent, table)
