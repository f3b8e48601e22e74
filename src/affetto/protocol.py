"""Who is train, dev and test: folds over speakers, with an id that is printed beside every number.

Two numbers may be compared when their ids, their corpus's manifest and their classes agree. Every protocol here is
speaker-independent: no speaker is in two splits of a fold.
"""

import re
from dataclasses import dataclass

from affetto.corpora.base import Corpus
from affetto.errors import ProtocolError

EMODB_PAIRS = (("03", "08"), ("09", "10"), ("11", "12"), ("13", "14"), ("15", "16"))
"""The first paper tests one speaker of a session and develops on the other (section 4.2.1). EMO-DB has no sessions:
speakers are paired in order."""


@dataclass(frozen=True)
class Fold:
    """One way of dealing the speakers out.

    Args:
        name: the test speaker where each fold tests one, otherwise the fold's number.
        train, dev, test: speakers; disjoint.
    """

    name: str
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        together = (*self.train, *self.dev, *self.test)
        if len(set(together)) != len(together):
            raise ProtocolError(f"fold {self.name} has a speaker in two splits: {', '.join(sorted(together))}")

    @property
    def seen(self) -> tuple[str, ...]:
        """Speakers that may be looked at: train and dev, sorted."""
        return tuple(sorted((*self.train, *self.dev)))


@dataclass(frozen=True)
class Protocol:
    """Folds of a corpus.

    Args:
        id: names protocol and version; printed beside every number.
        folds: in order.
    """

    id: str
    folds: tuple[Fold, ...]


def create(name: str, corpus: Corpus) -> Protocol:
    """The protocol called `name` on a corpus.

    Args:
        name: `emodb-loso10`, or `speaker-<k>fold` for any corpus with speakers.
        corpus: what is dealt out.

    Raises:
        ProtocolError: if there is no such protocol, or the corpus does not allow it.
    """
    if name == "emodb-loso10":
        return emodb_loso10(corpus)
    match = re.fullmatch(r"speaker-(\d+)fold", name)
    if match:
        return speaker_kfold(corpus, int(match[1]))
    raise ProtocolError(f"no protocol is called '{name}'; the protocols are emodb-loso10 and speaker-<k>fold")


def emodb_loso10(corpus: Corpus) -> Protocol:
    """Leave one speaker out of EMO-DB: eight train, the test speaker's partner is dev (the first paper, 4.2.1).

    Raises:
        ProtocolError: if the corpus does not have EMO-DB's ten speakers.
    """
    expected = tuple(speaker for pair in EMODB_PAIRS for speaker in pair)
    if corpus.speakers != expected:
        raise ProtocolError(
            f"emodb-loso10: expected the speakers {', '.join(expected)}, got {', '.join(corpus.speakers) or 'none'}"
        )
    partner = {a: b for pair in EMODB_PAIRS for a, b in (pair, pair[::-1])}
    folds = tuple(
        Fold(test, tuple(s for s in expected if s not in (test, partner[test])), (partner[test],), (test,))
        for test in expected
    )
    return Protocol("emodb-loso10-v1", folds)


def speaker_kfold(corpus: Corpus, k: int) -> Protocol:
    """Speakers in sorted order dealt to k groups in turn; each group is test once, the next one is dev.

    Raises:
        ProtocolError: if rows lack a speaker, or there are fewer speakers than folds, or fewer than three folds.
    """
    nameless = int(corpus.table["speaker"].isna().sum())
    if nameless:
        raise ProtocolError(
            f"{corpus.name}: {nameless} of {len(corpus)} rows have no speaker, which folds by speaker need"
        )
    if not 3 <= k <= len(corpus.speakers):
        raise ProtocolError(
            f"speaker-{k}fold: {len(corpus.speakers)} speakers can be dealt to 3..{len(corpus.speakers)} folds "
            "(train, dev and test each need one)"
        )
    groups = [corpus.speakers[i::k] for i in range(k)]
    folds = []
    for i, test in enumerate(groups):
        dev = groups[(i + 1) % k]
        train = tuple(s for s in corpus.speakers if s not in (*dev, *test))
        folds.append(Fold(test[0] if k == len(corpus.speakers) else f"{i + 1:02d}", train, dev, test))
    return Protocol(f"{corpus.name}-speaker{k}fold-v1", tuple(folds))
