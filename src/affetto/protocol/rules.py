"""Rules that deal out the clips of any corpus: by speaker, by session, as the corpus says, at random."""

from dataclasses import replace

from affetto import splits
from affetto.corpora.base import Corpus
from affetto.errors import ProtocolError
from affetto.protocol.base import Fold, Kind, Protocol
from affetto.protocol.dealing import column_of, dealt, like, rotate, rows_of, stratified

DRAWS = 5
"""Independent divisions of a random protocol."""
BILL_SPEAKER_GROUPS, BILL_SENTENCE_GROUPS = 5, 2
"""A fold of the leakage bill tests one group of speakers saying one group of sentences."""


def speaker_kfold(corpus: Corpus, k: int) -> Protocol:
    """Speakers in sorted order dealt to k groups in turn; each group is test once, the next one is dev.

    Raises:
        ProtocolError: if rows lack a speaker, or there are fewer speakers than folds, or fewer than three folds.
    """
    column = column_of(corpus, "speaker", "folds by speaker")
    if not 3 <= k <= len(corpus.speakers):
        raise ProtocolError(
            f"speaker-{k}fold: {len(corpus.speakers)} speakers can be dealt to 3..{len(corpus.speakers)} folds "
            "(train, dev and test each need one)"
        )
    groups = dealt(column, k)
    one_each = k == len(corpus.speakers)
    fold_names = [group[0] if one_each else f"{number:02d}" for number, group in enumerate(groups, start=1)]
    return Protocol(
        f"{corpus.name}-speaker{k}fold-v1",
        corpus,
        rotate(fold_names, groups, column),
        rule=f"speakers in sorted order dealt to {k} groups in turn, each tested once",
        dev_rule="the next group of speakers",
        shares=("sentence",),
    )


def leave_one_speaker_out(corpus: Corpus) -> Protocol:
    """Each speaker is tested once, the next one is dev, all others train.

    Raises:
        ProtocolError: if rows lack a speaker, or there are fewer than three.
    """
    protocol = speaker_kfold(corpus, len(corpus.speakers))
    return replace(
        protocol,
        id=f"{corpus.name}-leave-one-speaker-out-v1",
        rule="each speaker is tested once",
        dev_rule="the next speaker",
    )


def leave_one_session_out(corpus: Corpus) -> Protocol:
    """Each session is tested once, the next one is dev, all others train.

    Raises:
        ProtocolError: if the corpus has no column `session`, rows lack it, or there are fewer than three.
    """
    column = column_of(corpus, "session", "folds by session")
    sessions = dealt(column, column.nunique())
    if len(sessions) < 3:
        raise ProtocolError(f"{corpus.name}: has {len(sessions)} sessions; train, dev and test each need one")
    return Protocol(
        f"{corpus.name}-leave-one-session-out-v1",
        corpus,
        rotate([session[0] for session in sessions], sessions, column),
        rule="each session is tested once",
        dev_rule="the next session",
        shares=("sentence",),
    )


def official(corpus: Corpus, test: str | None = None) -> Protocol:
    """The partition that the corpus itself gives in its column `split`.

    Args:
        corpus: with a split in each row.
        test: the test set, test or test with a number; by default test, or the first of several. What is tested by
            another name says so in its id, so that a number on one never passes for a number on the other.

    Raises:
        ProtocolError: if it gives none.
    """
    words = column_of(corpus, "split", "the official partition")
    column = words.map({word: splits.canonical(word, f"{corpus.name}: split") for word in words.unique()})
    tests = sorted(set(column) - {"train", "dev"})
    if not tests or test not in (None, *tests):
        raise ProtocolError(
            f"{corpus.name}: has no {test or 'test'} set; its splits are {', '.join(sorted(set(column)))}"
        )
    tested = test or tests[0]
    parts = {split: rows_of(column, [split]) for split in ("train", "dev", tested)}
    return Protocol(
        f"{corpus.name}-official-v1" if tested == tests[0] else f"{corpus.name}-official-{tested}-v1",
        corpus,
        (Fold(tested, parts["train"], parts["dev"], parts[tested]),),
        rule="the corpus's own partition" + (f", of {', '.join(tests)} only {tested}" if len(tests) > 1 else ""),
        dev_rule="the corpus's own" if parts["dev"] else "none: epochs cannot be chosen",
        shares=("sentence",),
    )


def random_draws(corpus: Corpus, percent: int) -> Protocol:
    """Five divisions at random into `percent` % train and the rest test, each class in its share; no dev.

    Speaker-dependent, as in the first paper's section 4.2.2: a number under it says nothing about new voices. A class
    gives its share in whole clips, those with the largest remainders one more, so that the total is right.

    Raises:
        ProtocolError: if rows lack an emotion, or test or train would be empty.
    """
    rows = range(len(corpus))
    size = round(len(corpus) * (100 - percent) / 100)
    folds = []
    for draw in range(1, DRAWS + 1):
        test = stratified(corpus, rows, size, salt=f"random{percent} {draw}")
        folds.append(Fold(str(draw), tuple(sorted(set(rows) - set(test))), (), test))
    return Protocol(
        f"{corpus.name}-random{percent}-v1",
        corpus,
        tuple(folds),
        rule=f"{DRAWS} random divisions {percent}:{100 - percent}, stratified by class",
        dev_rule="none: the last epoch counts",
        shares=("speaker", "session", "sentence"),
    )


def bill(corpus: Corpus, *, shared: tuple[Kind, ...], name: str) -> Protocol:
    """One of four rules that test the same clips after training on as many clips, and differ in what those share.

    A fold tests one of five groups of speakers saying one of two groups of sentences. Where train may share neither
    with test, it is all clips of other speakers saying other sentences; under the other rules as many clips of each
    class are drawn from all that the rule allows. More is allowed where more is shared, so those clips are of more
    speakers or sentences, too: a variety that a random division brings along with its leak.

    Args:
        corpus: with speakers and sentences.
        shared: what train may have in common with test.
        name: of the rule.

    Raises:
        ProtocolError: if rows lack speaker or sentence, or there are fewer than two of either.
    """
    speaker = column_of(corpus, "speaker", "the leakage bill")
    sentence = column_of(corpus, "sentence", "the leakage bill")
    speaker_groups = dealt(speaker, min(BILL_SPEAKER_GROUPS, speaker.nunique()))
    sentence_groups = dealt(sentence, min(BILL_SENTENCE_GROUPS, sentence.nunique()))
    if min(len(speaker_groups), len(sentence_groups)) < 2:
        raise ProtocolError(f"{corpus.name}: the leakage bill needs two speakers and two sentences or more")
    folds = []
    for i, speakers in enumerate(speaker_groups, start=1):
        for j, sentences in enumerate(sentence_groups, start=1):
            of_speakers, of_sentences = set(rows_of(speaker, speakers)), set(rows_of(sentence, sentences))
            test = of_speakers & of_sentences
            strict = set(range(len(corpus))) - of_speakers - of_sentences
            allowed = set(range(len(corpus))) - test
            allowed -= set() if "speaker" in shared else of_speakers
            allowed -= set() if "sentence" in shared else of_sentences
            fold = f"{i}{'abcdefgh'[j - 1]}"
            train = like(corpus, sorted(allowed), sorted(strict), salt=f"{name} {fold}")
            folds.append(Fold(fold, train, (), tuple(sorted(test))))
    return Protocol(
        f"{corpus.name}-{name}-v1",
        corpus,
        tuple(folds),
        rule="leakage bill: speakers in five groups, sentences in two; the same test clips and as many training clips "
        f"under four rules; here train shares {' and '.join(f'{kind}s' for kind in shared) or 'nothing'} with test",
        dev_rule="none: the last epoch counts",
        shares=shared,
    )
