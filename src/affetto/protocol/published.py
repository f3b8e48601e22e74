"""Protocols of one corpus each: those of papers, and our own where a corpus comes without."""

from collections.abc import Sequence
from dataclasses import replace

from affetto.corpora import simulated
from affetto.corpora.base import Corpus
from affetto.errors import ProtocolError
from affetto.protocol.base import Fold, Protocol
from affetto.protocol.dealing import fold_of, rotate, rows_of
from affetto.protocol.rules import official

EMODB_PAIRS = (("03", "08"), ("09", "10"), ("11", "12"), ("13", "14"), ("15", "16"))
"""The first paper tests one speaker of a session and develops on the other (section 4.2.1). EMO-DB has no sessions:
speakers are paired in order."""
IEMOCAP_PAIRS = tuple((f"Ses{session:02d}F", f"Ses{session:02d}M") for session in range(1, 6))
"""The woman and the man of each session."""
SIMULATED_PAIRS = tuple((f"b{number:02d}", f"b{number + 1:02d}") for number in range(1, 10, 2))
"""The ten speakers of simulated corpus B in order."""
RAVDESS_ACTORS = tuple(f"{actor:02d}" for actor in range(1, 25))
RAVDESS_TUNING = RAVDESS_ACTORS[:12]
"""Actors on whom settings may be chosen; the others are for the score."""


def emodb_loso10(corpus: Corpus) -> Protocol:
    """Leave one speaker out of EMO-DB: eight train, the test speaker's partner is dev (the first paper, 4.2.1).

    Raises:
        ProtocolError: if the corpus does not have EMO-DB's ten speakers.
    """
    return Protocol(
        "emodb-loso10-v1",
        corpus,
        leaving_out("emodb-loso10", corpus, EMODB_PAIRS),
        rule="each of the ten speakers is tested once",
        dev_rule="the speaker whom the test speaker is paired with: "
        + ", ".join(f"({a}, {b})" for a, b in EMODB_PAIRS),
        shares=("sentence",),
    )


def iemocap_loso10(corpus: Corpus) -> Protocol:
    """Leave one speaker out of IEMOCAP: the other one of the session is dev, eight train (the first paper, 4.2.1).

    Dev and test are the two sides of the same conversations, so the session that is tested is seen when epochs are
    chosen, and by a model that learns from dev as well. Scripts are the same in every session. The id begins with the
    corpus's name, which tells the four classes from the whole (iemocap-full).

    Raises:
        ProtocolError: if the corpus does not have IEMOCAP's ten speakers.
    """
    return Protocol(
        f"{corpus.name}-loso10-v1",
        corpus,
        leaving_out("iemocap-loso10", corpus, IEMOCAP_PAIRS),
        rule="each of the ten speakers is tested once",
        dev_rule="the other speaker of the test speaker's session",
        shares=("session", "sentence"),
    )


def simulated_a_official(corpus: Corpus) -> Protocol:
    """The splits of simulated corpus A; the id ends in the corpus's version.

    Raises:
        ProtocolError: if the corpus has no splits.
    """
    dealt = official(corpus)
    known = simulated.ceilings(corpus)
    return replace(dealt, id=f"simulated_a-official-v{simulated.VERSION}", shares=(), ceilings=known)


def simulated_b_loso10(corpus: Corpus) -> Protocol:
    """Leave one speaker out of simulated corpus B: a partner is dev, eight train, as on IEMOCAP.

    No sentence is spoken twice. The id ends in the corpus's version.

    Raises:
        ProtocolError: if the corpus does not have its ten speakers.
    """
    return Protocol(
        f"simulated_b-loso10-v{simulated.VERSION}",
        corpus,
        leaving_out("simulated_b-loso10", corpus, SIMULATED_PAIRS),
        rule="each of the ten speakers is tested once",
        dev_rule="the speaker whom the test speaker is paired with: "
        + ", ".join(f"({a}, {b})" for a, b in SIMULATED_PAIRS),
        ceilings=simulated.ceilings(corpus),
    )


def ravdess_tuning_half(corpus: Corpus) -> Protocol:
    """RAVDESS's actors 01 to 12, each tested once by a model of the others of these: the half to choose settings on.

    Raises:
        ProtocolError: if the corpus does not have the 24 actors.
    """
    _check_actors("ravdess-actors1to12", corpus)
    speaker = corpus.table["speaker"]
    folds = []
    for actor, following in zip(RAVDESS_TUNING, (*RAVDESS_TUNING[1:], RAVDESS_TUNING[0]), strict=True):
        train = [other for other in RAVDESS_TUNING if other not in (actor, following)]
        folds.append(Fold(actor, *(rows_of(speaker, part) for part in (train, [following], [actor]))))
    return Protocol(
        "ravdess-actors1to12-v1",
        corpus,
        tuple(folds),
        rule="each of the actors 01 to 12 is tested once; 13 to 24 have no part in it",
        dev_rule="the next of these actors",
        shares=("sentence",),
    )


def ravdess_test_half(corpus: Corpus) -> Protocol:
    """RAVDESS's actors 13 to 24, tested by a model of 01 to 12: the half that is scored when settings are chosen.

    Raises:
        ProtocolError: if the corpus does not have the 24 actors.
    """
    _check_actors("ravdess-actors13to24", corpus)
    speaker = corpus.table["speaker"]
    test = [actor for actor in RAVDESS_ACTORS if actor not in RAVDESS_TUNING]
    return Protocol(
        "ravdess-actors13to24-v1",
        corpus,
        (Fold("13-24", rows_of(speaker, RAVDESS_TUNING), (), rows_of(speaker, test)),),
        rule="actors 01 to 12 train, 13 to 24 are tested",
        dev_rule="none",
        shares=("sentence",),
    )


def _check_actors(name: str, corpus: Corpus) -> None:
    if corpus.speakers != RAVDESS_ACTORS:
        raise ProtocolError(f"{name}: expected the actors 01 to 24, got {', '.join(corpus.speakers) or 'none'}")


def ravdess_6fold(corpus: Corpus) -> Protocol:
    """RAVDESS in six folds of four actors in order, 01 to 04 first; dev is the next four.

    Raises:
        ProtocolError: if the corpus does not have the 24 actors.
    """
    _check_actors("ravdess-6fold", corpus)
    groups = [RAVDESS_ACTORS[first : first + 4] for first in range(0, 24, 4)]
    return Protocol(
        "ravdess-6fold-v1",
        corpus,
        rotate([f"{group[0]}-{group[-1]}" for group in groups], groups, corpus.table["speaker"]),
        rule="four actors a fold, in order",
        dev_rule="the four actors of the next fold",
        shares=("sentence",),
    )


def leaving_out(name: str, corpus: Corpus, pairs: Sequence[tuple[str, str]]) -> tuple[Fold, ...]:
    """Each speaker is test once, the partner is dev; refused under a protocol's name if there are others than those."""
    expected = tuple(speaker for pair in pairs for speaker in pair)
    if corpus.speakers != expected:
        raise ProtocolError(
            f"{name}: expected the speakers {', '.join(expected)}, got {', '.join(corpus.speakers) or 'none'}"
        )
    partner = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    return tuple(fold_of(test, corpus.table["speaker"], [partner[test]], [test]) for test in expected)
