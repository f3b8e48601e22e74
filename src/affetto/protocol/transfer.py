"""Models of one corpus tested on another (the second paper, section 4.2)."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from affetto.corpora.base import Corpus
from affetto.errors import ProtocolError
from affetto.protocol.base import Protocol, about, digest, row_keys
from affetto.protocol.names import create


@dataclass(frozen=True)
class Transfer(Protocol):
    """The models of one protocol tested on clips of another corpus (the second paper, section 4.2).

    Train and dev of its folds are rows of the corpus that was learned from, test is rows of `corpus`. Every fold's
    model is tested on the same clips, so that the mean over folds is over models.

    Args:
        trained: the protocol whose models these are.
        clips: which of the other corpus are tested: `all`, or the test clips of one of its protocols, by its name.
    """

    trained: Protocol = field(kw_only=True, repr=False)
    clips: str = field(kw_only=True)

    def checked(self) -> "Transfer":
        """The transfer itself, if no tested file is one that was learned from.

        Raises:
            ProtocolError: if a file of both corpora has the same bytes.
        """
        files = self.corpus.table.index.get_level_values("file")
        tested = {files[row] for fold in self.folds for row in fold.test}
        hashes, learned = self.corpus.file_hashes(), set(self.trained.corpus.file_hashes().values())
        if common := sorted(file for file in tested if hashes[file] in learned):
            raise ProtocolError(
                f"{self.id}: {common[0]} and {len(common) - 1} other files are in {self.trained.corpus.name}, too"
            )
        return self

    @cached_property
    def definition(self) -> dict[str, Any]:
        """As a protocol's, of the tested corpus, with what was learned from.

        Raises:
            CorpusError: if an audio file is missing.
        """
        theirs, keys = self.trained.definition, row_keys(self.corpus.table)
        speakers = self.corpus.table["speaker"]
        folds = [
            {
                **{key: trained[key] for key in ("fold", "train", "dev")},
                "test": len(fold.test),
                "dev_speakers": [],
                "test_speakers": sorted(speakers.iloc[list(fold.test)].dropna().unique()),
                "sha256": digest(
                    [f"trained {trained['sha256']}", *(f"test {key}" for key in sorted(keys[row] for row in fold.test))]
                ),
            }
            for fold, trained in zip(self.folds, theirs["folds"], strict=True)
        ]
        learned = {key: theirs[key] for key in ("corpus", "manifest_sha256", "folds_sha256")}
        return {
            **about(self),
            "learned_from": {"protocol": theirs["id"], **learned},
            "clips": self.clips,
            "folds_sha256": digest(f"{fold['fold']} {fold['sha256']}" for fold in folds),
            "folds": folds,
        }


def transfer(trained: Protocol, corpus: Corpus, clips: str = "all") -> Transfer:
    """The models of a protocol tested on another corpus.

    Args:
        trained: whose models.
        corpus: the other corpus.
        clips: `all`, or a protocol of that corpus, whose test clips are taken, of all its folds together.

    Raises:
        ProtocolError: if the corpus does not allow that protocol.
    """
    stem = f"{corpus.name}-all" if clips == "all" else create(clips, corpus).id
    rows = tested(corpus, clips)
    return Transfer(
        f"{trained.id}-on-{stem}",
        corpus,
        tuple(replace(fold, test=rows) for fold in trained.folds),
        rule=f"models of {trained.id} tested on {corpus.name}: "
        + ("all its clips" if clips == "all" else f"the test clips of {stem}"),
        dev_rule=f"as in {trained.id}",
        transductive=trained.transductive,
        trained=trained,
        clips=clips,
    )


def tested(corpus: Corpus, clips: str) -> tuple[int, ...]:
    """The rows of a corpus that models of others are tested on, as `transfer` takes them."""
    if clips == "all":
        return tuple(range(len(corpus)))
    return tuple(sorted({row for fold in create(clips, corpus).folds for row in fold.test}))
