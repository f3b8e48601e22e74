"""Who is train, dev and test: a protocol is folds of a corpus with an id that stands beside every number.

Two numbers may be compared when their ids, their corpus's manifest and their classes agree. A rule deals out clips by
what they are called (file and times), never by where they stand in a table or by a library's random numbers, so that a
protocol is the same on every machine and with every release.

A `Transfer` is a protocol whose models are tested on another corpus than they learned from.
"""

import hashlib
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pandas as pd

from affetto import splits
from affetto.corpora import simulated
from affetto.corpora.base import Corpus
from affetto.errors import ProtocolError
from affetto.files import is_safe_name

Kind = Literal["speaker", "session", "sentence"]
"""What train and test can have in common without having a clip in common."""

EMODB_PAIRS = (("03", "08"), ("09", "10"), ("11", "12"), ("13", "14"), ("15", "16"))
"""The first paper tests one speaker of a session and develops on the other (section 4.2.1). EMO-DB has no sessions:
speakers are paired in order."""
IEMOCAP_PAIRS = tuple((f"Ses{session:02d}F", f"Ses{session:02d}M") for session in range(1, 6))
"""The woman and the man of each session."""
SIMULATED_PAIRS = tuple((f"b{number:02d}", f"b{number + 1:02d}") for number in range(1, 10, 2))
"""The ten speakers of simulated corpus B in order."""
DRAWS = 5
"""Independent divisions of a random protocol."""
BILL_SPEAKER_GROUPS, BILL_SENTENCE_GROUPS = 5, 2
"""A fold of the leakage bill tests one group of speakers saying one group of sentences."""
METRICS = ("wa", "ua", "macro_f1", "weighted_f1")
"""Of categories. UA and macro F1 are means over the classes that the fold's test clips have."""
RATING_METRICS = ("ccc", "pearson", "mse", "mae")
"""Of each dimension, on the corpus's own scale."""
AGGREGATION = "mean over folds, then over seeds; pooled over all clips beside it"


@dataclass(frozen=True)
class Fold:
    """One way of dealing the clips out.

    Args:
        name: the test speaker where each fold tests one, otherwise what is tested, or a number.
        train, dev, test: rows of the corpus's table, ascending; dev may be empty.
    """

    name: str
    train: tuple[int, ...]
    dev: tuple[int, ...]
    test: tuple[int, ...]

    @property
    def seen(self) -> tuple[int, ...]:
        """Rows that may be looked at: train and dev."""
        return tuple(sorted({*self.train, *self.dev}))


@dataclass(frozen=True)
class Protocol:
    """Folds of a corpus, and everything else that decides whether two numbers may be compared.

    Args:
        id: names corpus, rule and version; printed beside every number.
        corpus: what is dealt out.
        folds: in order.
        rule: how the folds are made, as a sentence.
        dev_rule: what dev is, as a sentence.
        shares: what train and test have in common by design; everything else is to be kept apart.
        transductive: whether statistics of the test speakers' unlabelled clips are used.
        ceilings: what perfect readers of a simulated corpus would reach on the test clips: by reader, by `ua` or by
            dimension (its CCC), mean over folds; empty where nobody can know.
    """

    id: str
    corpus: Corpus = field(repr=False, compare=False)
    folds: tuple[Fold, ...] = field(repr=False)
    rule: str
    dev_rule: str
    shares: tuple[Kind, ...] = ()
    transductive: bool = False
    ceilings: Mapping[str, Mapping[str, float]] = field(default_factory=dict, repr=False, compare=False)

    def checked(self) -> "Protocol":
        """The protocol itself, if it can be trained and tested.

        Raises:
            ProtocolError: if a fold has nothing to train or to test on or a clip twice, or two folds share a name, or
                one cannot be part of a file's name.
        """
        names = [fold.name for fold in self.folds]
        if len({name.lower() for name in names}) < len(names) or not names:
            raise ProtocolError(f"{self.id}: expected folds of different names, got {', '.join(names) or 'none'}")
        for fold in self.folds:
            if not is_safe_name(fold.name):
                raise ProtocolError(
                    f"{self.id}: fold '{fold.name}' cannot name a file on every system; use letters, digits and _+-."
                )
            if not fold.train or not fold.test:
                raise ProtocolError(
                    f"{self.id}, fold {fold.name}: has {len(fold.train)} clips to train and {len(fold.test)} to test "
                    "on; expected some of both"
                )
            for split in ("train", "dev", "test"):
                repeated = [row for row, times in Counter(getattr(fold, split)).items() if times > 1]
                if repeated:
                    raise ProtocolError(
                        f"{self.id}, fold {fold.name}: {self.corpus.table.index[repeated[0]][0]} and "
                        f"{len(repeated) - 1} other clips are in {split} twice"
                    )
            for one, other in (("train", "test"), ("dev", "test"), ("train", "dev")):
                common = sorted(set(getattr(fold, one)) & set(getattr(fold, other)))
                if common:
                    raise ProtocolError(
                        f"{self.id}, fold {fold.name}: {self.corpus.table.index[common[0]][0]} and {len(common) - 1} "
                        f"other clips are in {one} and in {other}; `affetto audit` lists all leaks"
                    )
        return self

    @cached_property
    def definition(self) -> dict[str, Any]:
        """All of it as plain JSON: what `protocol.json` beside the results holds.

        Raises:
            CorpusError: if an audio file is missing, so that the corpus has no manifest.
        """
        speakers, keys = self.corpus.table["speaker"], row_keys(self.corpus.table)
        folds = [
            {
                "fold": fold.name,
                "train": len(fold.train),
                "dev": len(fold.dev),
                "test": len(fold.test),
                "dev_speakers": sorted(speakers.iloc[list(fold.dev)].dropna().unique()),
                "test_speakers": sorted(speakers.iloc[list(fold.test)].dropna().unique()),
                "sha256": _digest(
                    f"{split} {key}"
                    for split in ("train", "dev", "test")
                    for key in sorted(keys[row] for row in getattr(fold, split))
                ),
            }
            for fold in self.folds
        ]
        known = {reader: dict(scores) for reader, scores in self.ceilings.items()}
        return {
            **_about(self),
            **({"ceilings": known} if known else {}),
            "folds_sha256": _digest(f"{fold['fold']} {fold['sha256']}" for fold in folds),
            "folds": folds,
        }


def _about(protocol: Protocol) -> dict[str, Any]:
    """What a protocol's definition says of it as a whole, and of the corpus that is tested."""
    corpus, rated = protocol.corpus, protocol.corpus.dimensions
    return {
        "id": protocol.id,
        "corpus": corpus.name,
        "manifest_sha256": corpus.manifest_sha256(),
        "utterances": len(corpus),
        "speakers": list(corpus.speakers),
        "classes": list(corpus.categories),
        **({"dimensions": {name: list(scale) for name, scale in rated.items()}} if rated else {}),
        "rule": protocol.rule,
        "dev_rule": protocol.dev_rule,
        "shares": list(protocol.shares),
        "transductive": protocol.transductive,
        "metrics": [*(METRICS if corpus.categories else ()), *(RATING_METRICS if rated else ())],
        "aggregation": AGGREGATION,
    }


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
                "sha256": _digest(
                    [f"trained {trained['sha256']}", *(f"test {key}" for key in sorted(keys[row] for row in fold.test))]
                ),
            }
            for fold, trained in zip(self.folds, theirs["folds"], strict=True)
        ]
        learned = {key: theirs[key] for key in ("corpus", "manifest_sha256", "folds_sha256")}
        return {
            **_about(self),
            "learned_from": {"protocol": theirs["id"], **learned},
            "clips": self.clips,
            "folds_sha256": _digest(f"{fold['fold']} {fold['sha256']}" for fold in folds),
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


Rule = Callable[[Corpus], Protocol]


def names() -> tuple[str, ...]:
    """What `create` takes; a rule may also be written after its corpus, as in emodb-random80."""
    return (*_FIXED, *_RULES, "official-test<number>", "speaker-<k>fold", "random<percent>", "<splits>.csv")


def create(name: str, corpus: Corpus, *, transductive: bool = False) -> Protocol:
    """The protocol called `name` on a corpus.

    Args:
        name: one of `names()` with numbers for <k> and <percent>, or the path of a table of splits (`splits`).
        corpus: what is dealt out.
        transductive: whether features are standardised with each speaker's own unlabelled clips, those of test
            included; the id then says so. The same is meant by a name that ends in `-transductive`.

    Raises:
        ProtocolError: if there is no such protocol, or the corpus does not allow it.
        CorpusError: if a table of splits cannot be read.
    """
    rule = name.removesuffix("-transductive")
    protocol = _rule(rule, corpus)(corpus)
    if transductive or rule != name:
        stem, _, version = protocol.id.rpartition("-")
        protocol = replace(protocol, id=f"{stem}-transductive-{version}", transductive=True)
    return protocol


def _rule(name: str, corpus: Corpus) -> Rule:
    if name.endswith(".csv"):
        return partial(from_table, Path(name))
    rule = name.removeprefix(f"{corpus.name}-")
    for fixed in (name, f"{corpus.name}-{rule}"):  # by whichever name, so that an id has one definition
        if fixed in _FIXED:
            return _FIXED[fixed]
    if rule in _RULES:
        return _RULES[rule]
    if match := re.fullmatch(r"official-(test\d+)", rule):
        return partial(official, test=match[1])
    if match := re.fullmatch(r"speaker-(\d+)fold", rule):
        return partial(speaker_kfold, k=int(match[1]))
    if match := re.fullmatch(r"random([1-9]\d)", rule):
        return partial(random_draws, percent=int(match[1]))
    raise ProtocolError(f"no protocol is called '{name}'; the protocols are {', '.join(names())}")


def emodb_loso10(corpus: Corpus) -> Protocol:
    """Leave one speaker out of EMO-DB: eight train, the test speaker's partner is dev (the first paper, 4.2.1).

    Raises:
        ProtocolError: if the corpus does not have EMO-DB's ten speakers.
    """
    return Protocol(
        "emodb-loso10-v1",
        corpus,
        _leaving_out("emodb-loso10", corpus, EMODB_PAIRS),
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
        _leaving_out("iemocap-loso10", corpus, IEMOCAP_PAIRS),
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
        _leaving_out("simulated_b-loso10", corpus, SIMULATED_PAIRS),
        rule="each of the ten speakers is tested once",
        dev_rule="the speaker whom the test speaker is paired with: "
        + ", ".join(f"({a}, {b})" for a, b in SIMULATED_PAIRS),
        ceilings=simulated.ceilings(corpus),
    )


def ravdess_6fold(corpus: Corpus) -> Protocol:
    """RAVDESS in six folds of four actors in order, 01 to 04 first; dev is the next four.

    Raises:
        ProtocolError: if the corpus does not have the 24 actors.
    """
    expected = tuple(f"{actor:02d}" for actor in range(1, 25))
    if corpus.speakers != expected:
        raise ProtocolError(f"ravdess-6fold: expected the actors 01 to 24, got {', '.join(corpus.speakers) or 'none'}")
    groups = [expected[first : first + 4] for first in range(0, 24, 4)]
    return Protocol(
        "ravdess-6fold-v1",
        corpus,
        _rotate([f"{group[0]}-{group[-1]}" for group in groups], groups, corpus.table["speaker"]),
        rule="four actors a fold, in order",
        dev_rule="the four actors of the next fold",
        shares=("sentence",),
    )


def speaker_kfold(corpus: Corpus, k: int) -> Protocol:
    """Speakers in sorted order dealt to k groups in turn; each group is test once, the next one is dev.

    Raises:
        ProtocolError: if rows lack a speaker, or there are fewer speakers than folds, or fewer than three folds.
    """
    column = _column(corpus, "speaker", "folds by speaker")
    if not 3 <= k <= len(corpus.speakers):
        raise ProtocolError(
            f"speaker-{k}fold: {len(corpus.speakers)} speakers can be dealt to 3..{len(corpus.speakers)} folds "
            "(train, dev and test each need one)"
        )
    groups = _dealt(column, k)
    one_each = k == len(corpus.speakers)
    fold_names = [group[0] if one_each else f"{number:02d}" for number, group in enumerate(groups, start=1)]
    return Protocol(
        f"{corpus.name}-speaker{k}fold-v1",
        corpus,
        _rotate(fold_names, groups, column),
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
    column = _column(corpus, "session", "folds by session")
    sessions = _dealt(column, column.nunique())
    if len(sessions) < 3:
        raise ProtocolError(f"{corpus.name}: has {len(sessions)} sessions; train, dev and test each need one")
    return Protocol(
        f"{corpus.name}-leave-one-session-out-v1",
        corpus,
        _rotate([session[0] for session in sessions], sessions, column),
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
    words = _column(corpus, "split", "the official partition")
    column = words.map({word: splits.canonical(word, f"{corpus.name}: split") for word in words.unique()})
    tests = sorted(set(column) - {"train", "dev"})
    if not tests or test not in (None, *tests):
        raise ProtocolError(
            f"{corpus.name}: has no {test or 'test'} set; its splits are {', '.join(sorted(set(column)))}"
        )
    tested = test or tests[0]
    parts = {split: _rows(column, [split]) for split in ("train", "dev", tested)}
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
        test = _stratified(corpus, rows, size, salt=f"random{percent} {draw}")
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
    speaker = _column(corpus, "speaker", "the leakage bill")
    sentence = _column(corpus, "sentence", "the leakage bill")
    speaker_groups = _dealt(speaker, min(BILL_SPEAKER_GROUPS, speaker.nunique()))
    sentence_groups = _dealt(sentence, min(BILL_SENTENCE_GROUPS, sentence.nunique()))
    if min(len(speaker_groups), len(sentence_groups)) < 2:
        raise ProtocolError(f"{corpus.name}: the leakage bill needs two speakers and two sentences or more")
    folds = []
    for i, speakers in enumerate(speaker_groups, start=1):
        for j, sentences in enumerate(sentence_groups, start=1):
            of_speakers, of_sentences = set(_rows(speaker, speakers)), set(_rows(sentence, sentences))
            test = of_speakers & of_sentences
            strict = set(range(len(corpus))) - of_speakers - of_sentences
            allowed = set(range(len(corpus))) - test
            allowed -= set() if "speaker" in shared else of_speakers
            allowed -= set() if "sentence" in shared else of_sentences
            fold = f"{i}{'abcdefgh'[j - 1]}"
            train = _like(corpus, sorted(allowed), sorted(strict), salt=f"{name} {fold}")
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


def from_table(path: Path, corpus: Corpus) -> Protocol:
    """The folds of a table of splits (`splits`); the id ends in a hash of who is where.

    A file is found by its path below the corpus's root, or by the end of one where that leaves no choice.

    Raises:
        CorpusError: if the table cannot be read.
        ProtocolError: if it names a clip that the corpus does not have.
    """
    lines, content = splits.read(path), []
    find = row_finder(path, corpus)
    keys = row_keys(corpus.table)
    parts: dict[str, dict[str, list[int]]] = {}
    for line in lines:
        row = find(line)
        parts.setdefault(line.fold, {}).setdefault(line.split, []).append(row)
        content.append(f"{line.fold} {line.split} {keys[row]}")
    folds = tuple(
        Fold(
            fold if test == "test" else f"{fold}-{test}",
            tuple(sorted(part.get("train", []))),
            tuple(sorted(part.get("dev", []))),
            tuple(sorted(part.get(test, []))),
        )
        for fold, part in parts.items()
        for test in sorted(set(part) - {"train", "dev"}) or ["test"]
    )
    protocol = Protocol("", corpus, folds, rule=f"the table {path.name}", dev_rule="as in the table")
    stem = re.sub(r"[^\w.+-]+", "-", path.stem)
    return replace(protocol, id=f"{corpus.name}-{stem}-{_digest(sorted(content))[:8]}")


def row_finder(path: Path, corpus: Corpus) -> Callable[[splits.Line], int]:
    """From a line of a table of splits to the corpus's row, as `from_table` finds it.

    Args:
        path: of the table, for errors; a line that names no clip of the corpus is a ProtocolError.
        corpus: whose rows.
    """
    known = {key: row for row, key in enumerate(row_keys(corpus.table))}
    bare: dict[str, set[str]] = {}
    for file in corpus.table.index.get_level_values("file"):
        bare.setdefault(PurePosixPath(file).name, set()).add(file)

    def find(line: splits.Line) -> int:
        named = posixpath.normpath(line.file)
        alike = bare.get(PurePosixPath(named).name, set())
        ends = [file for file in alike if f"/{file}".endswith(f"/{named}") or f"/{named}".endswith(f"/{file}")]
        file = ends[0] if len(ends) == 1 else named
        row = known.get(row_key(file, line.start, line.end))
        if row is None:
            raise ProtocolError(f"{path}: {corpus.name} has no clip {file} from {line.start:g} s; check the names")
        return row

    return find


_FIXED: dict[str, Rule] = {
    "emodb-loso10": emodb_loso10,
    "iemocap-loso10": iemocap_loso10,
    "ravdess-6fold": ravdess_6fold,
    "simulated_a-official": simulated_a_official,
    "simulated_b-loso10": simulated_b_loso10,
}
_RULES: dict[str, Rule] = {
    "leave-one-speaker-out": leave_one_speaker_out,
    "leave-one-session-out": leave_one_session_out,
    "official": official,
    "bill-none": partial(bill, shared=(), name="bill-none"),
    "bill-sentences": partial(bill, shared=("sentence",), name="bill-sentences"),
    "bill-speakers": partial(bill, shared=("speaker",), name="bill-speakers"),
    "bill-both": partial(bill, shared=("speaker", "sentence"), name="bill-both"),
}


def row_key(file: str, start: float, end: float | None) -> str:
    """What a clip is called: file, start and end in microseconds; an end of None or NaN is the end of the file.

    Example:
        >>> row_key("calls/monday.wav", 0.0, 3.2)
        'calls/monday.wav,0.000000,3.200000'
    """
    return f"{file},{start:.6f},{'' if end is None or pd.isna(end) else f'{end:.6f}'}"


def row_keys(table: pd.DataFrame) -> list[str]:
    """What the rows of a corpus's table are called."""
    return [row_key(file, start.total_seconds(), end.total_seconds()) for file, start, end in table.index]


def _fold(name: str, column: "pd.Series[str]", dev: Sequence[str], test: Sequence[str]) -> Fold:
    """A fold by the values of a column; what is neither dev nor test is train."""
    train = [value for value in column.unique() if value not in (*dev, *test)]
    return Fold(name, _rows(column, train), _rows(column, dev), _rows(column, test))


def _leaving_out(name: str, corpus: Corpus, pairs: Sequence[tuple[str, str]]) -> tuple[Fold, ...]:
    """Each speaker is test once, the partner is dev; refused under a protocol's name if there are others than those."""
    expected = tuple(speaker for pair in pairs for speaker in pair)
    if corpus.speakers != expected:
        raise ProtocolError(
            f"{name}: expected the speakers {', '.join(expected)}, got {', '.join(corpus.speakers) or 'none'}"
        )
    partner = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    return tuple(_fold(test, corpus.table["speaker"], [partner[test]], [test]) for test in expected)


def _rotate(fold_names: Sequence[str], groups: Sequence[Sequence[str]], column: "pd.Series[str]") -> tuple[Fold, ...]:
    """Each group is test once, the next one is dev."""
    dev = [*groups[1:], groups[0]]
    return tuple(_fold(*each) for each in zip(fold_names, [column] * len(groups), dev, groups, strict=True))


def _dealt(column: "pd.Series[str]", k: int) -> list[list[str]]:
    """The values of a column in sorted order, dealt to k groups in turn."""
    values = sorted(column.unique())
    return [values[i::k] for i in range(k)]


def _rows(column: "pd.Series[str]", values: Iterable[str]) -> tuple[int, ...]:
    wanted = column.isin(list(values))
    return tuple(row for row, yes in enumerate(wanted) if yes)


def _column(corpus: Corpus, name: str, what: str) -> "pd.Series[str]":
    """A column without holes."""
    if name not in corpus.table.columns:
        raise ProtocolError(f"{corpus.name}: has no column '{name}', which {what} needs")
    column = corpus.table[name]
    if missing := int(column.isna().sum() + (column == "").sum()):
        raise ProtocolError(f"{corpus.name}: {missing} of {len(corpus)} rows have no {name}, which {what} needs")
    return column


def _stratified(corpus: Corpus, rows: Iterable[int], size: int, *, salt: str) -> tuple[int, ...]:
    """`size` of some rows, each class in its share, by largest remainder."""
    classes = _column(corpus, "emotion", "a division by class").iloc[list(rows)]
    if not 0 < size < len(classes):
        raise ProtocolError(f"{corpus.name}: {len(classes)} clips cannot be divided with {size} of them on one side")
    exact = {emotion: number * size / len(classes) for emotion, number in Counter(classes).items()}
    share = {emotion: int(number) for emotion, number in exact.items()}
    by_remainder = sorted(exact, key=lambda emotion: (share[emotion] - exact[emotion], emotion))
    for emotion in by_remainder[: size - sum(share.values())]:
        share[emotion] += 1
    return _drawn(corpus, rows, share, salt)


def _like(corpus: Corpus, rows: Sequence[int], model: Sequence[int], *, salt: str) -> tuple[int, ...]:
    """As many of some rows of each class as another set of rows has."""
    return _drawn(corpus, rows, Counter(corpus.table["emotion"].iloc[list(model)]), salt)


def _drawn(corpus: Corpus, rows: Iterable[int], share: Mapping[str, int], salt: str) -> tuple[int, ...]:
    """So many rows of each class, those whose salted names hash lowest: random, yet the same everywhere."""
    keys, emotions = row_keys(corpus.table), corpus.table["emotion"].tolist()
    order = sorted(rows, key=lambda row: hashlib.sha256(f"{salt} {keys[row]}".encode()).digest())
    chosen: list[int] = []
    for emotion, number in share.items():
        chosen += [row for row in order if emotions[row] == emotion][:number]
    return tuple(sorted(chosen))


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()
