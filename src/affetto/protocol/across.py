"""Learned on some corpora, tested on another: protocols of several corpora as one (`corpora.joint`).

Other than a `Transfer`, which tests the models of a corpus's own protocol elsewhere, these learn from all that the
corpora of training have, on the classes that are shared: a model that also knew classes that the tested corpus does not
have would have to be forbidden to answer them, and would not be the model that somebody uses.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from affetto.corpora.base import Corpus
from affetto.corpora.joint import Joint
from affetto.errors import ProtocolError
from affetto.protocol.base import Fold, Kind, Protocol

ON = "-on-"
"""Between the corpora of training and what is tested."""


@dataclass(frozen=True, kw_only=True)
class Across(Protocol):
    """A protocol of a joint corpus.

    Args:
        trained: corpora that are learned from.
        tested: the corpus that is tested.
        clips: which of it: `all`, or the test clips of one of its protocols, by its name.
    """

    trained: tuple[str, ...]
    tested: str
    clips: str

    def checked(self) -> "Across":
        """The protocol itself, if it can be trained and tested and no tested file is one that is learned from.

        Raises:
            ProtocolError: as any protocol, or if a file of two corpora has the same bytes.
        """
        super().checked()
        files, hashes = self.corpus.table.index.get_level_values("file"), self.corpus.file_hashes()
        for fold in self.folds:
            learned = {hashes[files[row]] for row in fold.seen}
            if common := sorted({files[row] for row in fold.test if hashes[files[row]] in learned}):
                raise ProtocolError(
                    f"{self.id}: {common[0]} and {len(common) - 1} other tested files are learned from, too"
                )
        return self

    @cached_property
    def definition(self) -> dict[str, Any]:
        """As a protocol's, with the corpora that are learned from and what is tested.

        Raises:
            CorpusError: if an audio file is missing.
        """
        about = super().definition
        return {**about, "trained": list(self.trained), "tested": self.tested, "clips": self.clips}


def is_across(name: str) -> bool:
    """Whether a name is one of these protocols'."""
    return ON in name


def across(corpus: Corpus, name: str, dealt: Protocol | None) -> Across:
    """Learned on some corpora, tested on another.

    Where the tested corpus is not learned from, there is one fold. Where it is, its own protocol says who is learned
    from and who is tested, fold by fold, and the other corpora are learned from as a whole.

    Args:
        corpus: of all of them.
        name: `TRAIN-on-TEST-CLIPS`, with corpora to learn from joined by +, as in emodb-on-ravdess-actors13to24.
        dealt: the protocol of the tested corpus alone that CLIPS names; None for `all`.

    Raises:
        ProtocolError: if the name does not fit the corpus, or nobody is left to learn from.
    """
    trained, tested, clips = parse(corpus, name)
    assert isinstance(corpus, Joint)
    rows = {part: [row for row, own in enumerate(corpus.table["corpus"]) if own == part] for part in corpus.parts}
    elsewhere = [row for part in trained if part != tested for row in rows[part]]
    shares: tuple[Kind, ...] = ()
    if tested not in trained:
        wanted = {row for fold in dealt.folds for row in fold.test} if dealt else set(range(len(rows[tested])))
        test = tuple(row for number, row in enumerate(rows[tested]) if number in wanted)
        folds: tuple[Fold, ...] = (Fold(tested, tuple(sorted(elsewhere)), (), test),)
    elif dealt is None:
        raise ProtocolError(f"{name}: {tested} is learned from and tested; say with which protocol of its own")
    else:
        folds = tuple(_in_whole(fold, rows[tested], elsewhere) for fold in dealt.folds)
        shares = dealt.shares
    which = "all its clips" if dealt is None else f"the test clips of {dealt.id}"
    return Across(
        f"{'+'.join(trained)}{ON}{tested}-{clips}-{'-'.join(corpus.categories)}-v1",
        corpus,
        folds,
        rule=f"learned from {' and '.join(trained)}, on the shared classes alone; tested on {tested}: {which}"
        + (", with models of its other clips" if tested in trained else ""),
        dev_rule="none" if not any(fold.dev for fold in folds) else f"as in {dealt.id if dealt else name}",
        shares=shares,
        trained=trained,
        tested=tested,
        clips=clips,
    )


def parse(corpus: Corpus, name: str) -> tuple[tuple[str, ...], str, str]:
    """The corpora that a name learns from, the one that it tests, and which clips of it.

    Raises:
        ProtocolError: if it is not such a name, or names a corpus that is not there.
    """
    left, _, right = name.partition(ON)
    parts = tuple(corpus.parts) if isinstance(corpus, Joint) else ()
    tested = max((part for part in parts if right.startswith(f"{part}-")), key=len, default="")
    trained = tuple(sorted({*left.split("+")}))
    if not tested or (strange := [part for part in trained if part not in parts]):
        raise ProtocolError(
            f"{name}: expected TRAIN-on-TEST-CLIPS of joined corpora, such as emodb-on-ravdess-all; got {corpus.name}"
            + (f", which has no {strange[0]}" if tested else "")
        )
    # Once and once more, as in ravdess-ravdess-actors13to24: by whichever name, one protocol has one id.
    return trained, tested, right.removeprefix(f"{tested}-").removeprefix(f"{tested}-")


def _in_whole(fold: Fold, rows: list[int], elsewhere: list[int]) -> Fold:
    """A fold of one corpus as a fold of the joint one, in which other corpora are learned from as well."""
    train, dev, test = (tuple(rows[row] for row in part) for part in (fold.train, fold.dev, fold.test))
    return Fold(fold.name, tuple(sorted((*elsewhere, *train))), dev, test)
