"""Several corpora as one, on the classes that they share: what is learned on one of them can be tested on another.

A file is called after its corpus (`emodb/wav/03a01Fa.wav`), and so is a speaker (`emodb-03`), as two corpora may both
have a speaker 03. The column `corpus` says where a row comes from. Categories are what `labels.between_corpora` makes
of them; rows of classes that are not shared are left out. Ratings are left out, as each corpus has a scale of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import audformat
import pandas as pd

from affetto import labels
from affetto.corpora.base import Corpus, CorpusInfo
from affetto.errors import CorpusError

KEPT = ("emotion", "speaker", "sex", "sentence")
"""Columns that mean the same in every corpus that has them."""


@dataclass(frozen=True)
class Joint(Corpus):
    """Corpora as one. Its root means nothing: every part has its own.

    Args:
        parts: the corpora, with the shared classes alone, by name.
    """

    parts: Mapping[str, Corpus] = field(default_factory=dict, kw_only=True)

    def path(self, file: str) -> Path:
        """Where the audio of an index entry lies."""
        part, _, below = file.partition("/")
        return self.parts[part].path(below)


def join(given: Sequence[Corpus], classes: Sequence[str] | None = None) -> Joint:
    """Corpora as one.

    Args:
        given: one or more; they are taken in order of name.
        classes: which of those that all of them have; None: every one.

    Raises:
        CorpusError: if two have the same name, one has no sound, or there are not two classes that all have.

    Example:
        >>> from affetto import corpora
        >>> clips = join([corpora.read("emodb", "emodb"), corpora.read("ravdess", "ravdess")])  # doctest: +SKIP
        >>> clips.name, clips.categories  # doctest: +SKIP
        ('emodb+ravdess', ('anger', 'disgust', 'fear', 'happiness', 'neutral', 'sadness'))
    """
    ordered = sorted(given, key=lambda corpus: corpus.name)
    name = "+".join(corpus.name for corpus in ordered)
    if len({corpus.name for corpus in ordered}) < len(ordered):
        raise CorpusError(f"{name}: the same corpus twice; expected different ones")
    if silent := [corpus.name for corpus in ordered if not corpus.info.has_sound]:
        raise CorpusError(f"{name}: {silent[0]} is text alone; only corpora with sound are joined")
    asked = shared(ordered, classes)
    parts = {corpus.name: _narrowed(corpus, asked) for corpus in ordered}
    table = pd.concat([_renamed(part) for part in parts.values()])
    index = audformat.segmented_index(
        *(table.index.get_level_values(level) for level in ("file", "start", "end")),
    )
    return Joint(_info(name, ordered), Path("."), table.set_axis(index), parts=parts)


def shared(given: Sequence[Corpus], classes: Sequence[str] | None = None) -> tuple[str, ...]:
    """The classes that all of some corpora have, or those of them that are asked for, sorted.

    Raises:
        CorpusError: if one that is asked for is not there, or fewer than two are.
    """
    each = {corpus.name: {labels.between_corpora(emotion) for emotion in corpus.categories} for corpus in given}
    common = reduce(set.intersection, each.values())
    wanted = common if classes is None else {labels.canonical(name) for name in classes}
    for name, own in each.items():
        if missing := sorted(wanted - own):
            raise CorpusError(f"{name}: has no {missing[0]}; all of {', '.join(each)} have {', '.join(sorted(common))}")
    if len(wanted) < 2:
        raise CorpusError(
            f"{', '.join(each)}: {len(wanted)} classes to tell apart; all of them have "
            f"{', '.join(sorted(common)) or 'none'}"
        )
    return tuple(sorted(wanted))


def _narrowed(corpus: Corpus, classes: tuple[str, ...]) -> Corpus:
    """A corpus with some classes alone, as they are called between corpora."""
    emotions = corpus.table["emotion"].map(labels.between_corpora, na_action="ignore")
    renamed = Corpus(corpus.info, corpus.root, corpus.table.assign(emotion=emotions))
    return renamed.select(emotions.isin(classes))


def _renamed(part: Corpus) -> pd.DataFrame:
    """The rows of a part with its name before files and speakers."""
    speakers = part.table["speaker"].map(lambda speaker: f"{part.name}-{speaker}", na_action="ignore")
    kept = part.table[[column for column in KEPT if column in part.table]].assign(
        speaker=speakers, corpus=part.name, transcript=pd.Series(part.transcripts, index=part.table.index, dtype=object)
    )
    files = [f"{part.name}/{file}" for file in part.table.index.get_level_values("file")]
    times = (part.table.index.get_level_values(level) for level in ("start", "end"))
    return kept.set_axis(audformat.segmented_index(files, *times))


def _info(name: str, parts: Sequence[Corpus]) -> CorpusInfo:
    infos = [part.info for part in parts]
    return CorpusInfo(
        name=name,
        title=" and ".join(info.title for info in infos),
        language=", ".join(sorted({info.language for info in infos})),
        licence="; ".join(f"{info.name}: {info.licence}" for info in infos),
        source="; ".join(info.source for info in infos),
        citation="; ".join(info.citation for info in infos),
        layout=(),
        speakers={f"{info.name}-{speaker}": about for info in infos for speaker, about in info.speakers.items()},
        simulated=any(info.simulated for info in infos),
    )
