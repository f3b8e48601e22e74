"""Audits a division into train, dev and test: what do they have in common that they must not have?

A protocol, or any table of splits (`splits`), is looked through for clips, recordings, speakers, sessions and sentences
on both sides, for copies and near-copies of the same sound, for epochs or settings that were chosen on test, and for
normalisers that were fitted on it. What cannot be looked for is said, too.
"""

import hashlib
import json
import math
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt

from affetto import corpora, fingerprint, splits, tables
from affetto.bench import Bench
from affetto.corpora.base import Corpus
from affetto.dataset import Progress, no_progress
from affetto.errors import ConfigError, ProtocolError
from affetto.protocol import Protocol, row_key

Status = Literal["clean", "shared", "leak", "warning", "unknown"]
"""clean: nothing found; shared: in common, as the protocol says; leak: in common, and it must not be; warning: depends
on how the division is used; unknown: could not be looked for."""

COLUMNS = {"speaker": ("speaker",), "session": ("session",), "sentence": ("sentence", "text")}
"""Where a table says what a clip has in common with others; the first column with a filled cell counts."""
NORMALISER_TOLERANCE = 1e-3
"""A normaliser was fitted on those clips whose mean and deviation are its own, to this share of the deviation."""


@dataclass(frozen=True)
class Finding:
    """What one check came to.

    Args:
        check: what was looked for.
        status: what was found.
        detail: in words.
        folds: those concerned.
    """

    check: str
    status: Status
    detail: str
    folds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """All findings about one division.

    Args:
        subject: the protocol's id or the table's name.
        findings: in the order of the checks.
    """

    subject: str
    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """Those that make a number under this division say something else than it seems to."""
        return tuple(finding for finding in self.findings if finding.status == "leak")


@dataclass(frozen=True)
class Part:
    """One fold as an audit sees it: clips by their keys, in each split.

    Args:
        name: of the fold.
        train, dev, test: keys of clips (`protocol.row_key`, the path in its shortest form).
    """

    name: str
    train: frozenset[str]
    dev: frozenset[str]
    test: frozenset[str]

    @property
    def seen(self) -> frozenset[str]:
        """Clips that training or choice may look at."""
        return self.train | self.dev


@dataclass(frozen=True)
class Division:
    """Folds, and what is known of their clips.

    Args:
        subject: what is audited, in a word.
        folds: in order.
        known: for each of `COLUMNS`, clip -> value; a column that is not known is absent.
        shares: what train and test have in common by design.
        corpus: with the sound; None: only names are known.
    """

    subject: str
    folds: tuple[Part, ...]
    known: dict[str, dict[str, str]]
    shares: tuple[str, ...] = ()
    corpus: Corpus | None = field(default=None, repr=False)


def of_protocol(protocol: Protocol) -> Division:
    """A protocol as an audit sees it."""
    keys = _keys(protocol.corpus)
    folds = tuple(
        Part(fold.name, *(frozenset(keys[row] for row in rows) for rows in (fold.train, fold.dev, fold.test)))
        for fold in protocol.folds
    )
    return Division(protocol.id, folds, _columns(protocol.corpus), protocol.shares, protocol.corpus)


def of_table(path: Path, corpus: Corpus | None = None) -> Division:
    """A table of splits: what its columns tell, and where it has none, its corpus's or its files' names.

    Speakers, sessions and sentences are called as the table calls them; the corpus's own names are taken for a kind of
    which the table has no filled cell. The two are never mixed: "03" and "3" would pass for two speakers.

    Args:
        path: the CSV.
        corpus: with the sound, and further columns; a file is found by its path below the corpus's root, or by its
            bare name where only one file has it. None: what names and columns tell must do.

    Raises:
        CorpusError: if it cannot be read.
        ProtocolError: if a split is not train, dev or test, a fold lacks train or test, or the corpus lacks a clip.
    """
    parts: dict[str, dict[str, set[str]]] = {}
    cells: dict[str, dict[str, str]] = {}
    files: dict[str, str] = {}
    clip_of = _Finder(path, corpus)
    for line in splits.read(path):
        key = clip_of(line)
        files[key] = line.file
        parts.setdefault(line.fold, {}).setdefault(line.split, set()).add(key)
        for column, cell in line.others.items():
            if cell:
                cells.setdefault(column, {})[key] = cell
    known = {} if corpus is None else _columns(corpus)
    for kind, columns in COLUMNS.items():
        if filled := next((cells[column] for column in columns if column in cells), None):
            known[kind] = filled
    if "speaker" not in known:
        stated = {key: speaker for key, file in files.items() if (speaker := _speaker_in_name(file))}
        known |= {"speaker": stated} if stated else {}
    folds = tuple(
        Part(
            name if test == "test" else f"{name}-{test}",
            *(frozenset(sides.get(side, ())) for side in ("train", "dev", test)),
        )
        for name, sides in parts.items()
        for test in sorted(set(sides) - {"train", "dev"}) or ["test"]
    )
    return _complete(Division(path.name, folds, known, corpus=corpus))


class _Finder:
    """From a line of a table of splits to its clip's key, which is the corpus's where there is one."""

    def __init__(self, path: Path, corpus: Corpus | None) -> None:
        self.path, self.corpus = path, corpus
        self.known = set() if corpus is None else set(_keys(corpus))
        self.bare: dict[str, set[str]] = {}
        for file in () if corpus is None else corpus.table.index.get_level_values("file"):
            self.bare.setdefault(PurePosixPath(file).name, set()).add(_plain(file))

    def __call__(self, line: splits.Line) -> str:
        file = _plain(line.file)
        if self.corpus is None:
            return row_key(file, line.start, line.end)
        candidates = self.bare.get(PurePosixPath(file).name, set())
        file = file if file in candidates or len(candidates) != 1 else next(iter(candidates))
        key = row_key(file, line.start, line.end)
        if key not in self.known:
            raise ProtocolError(
                f"{self.path}: {self.corpus.name} has no clip {file} from {line.start:g} s; check the names"
            )
        return key


def _complete(division: Division) -> Division:
    """The division itself, if every fold has something to train and to test on."""
    for part in division.folds:
        if not part.train or not part.test:
            raise ProtocolError(
                f"{division.subject}, fold {part.name}: has {len(part.train)} clips to train and {len(part.test)} to "
                "test on; an audit compares the two, so expected some of both"
            )
    if not division.folds:
        raise ProtocolError(f"{division.subject}: has no folds, so there is nothing to compare")
    return division


def _plain(file: str) -> str:
    """A file's path in its shortest form, so that `./b.wav`, `a/../b.wav` and `b.wav` are one."""
    return posixpath.normpath(file.replace("\\", "/"))


def _keys(corpus: Corpus) -> list[str]:
    """What the rows of a corpus are called here."""
    return [
        row_key(_plain(file), start.total_seconds(), end.total_seconds()) for file, start, end in corpus.table.index
    ]


def _speaker_in_name(file: str) -> str | None:
    """The speaker that the name of a file states, if it is one of a corpus whose names are labels."""
    stem = PurePosixPath(file).stem
    for name in corpora.names():
        stated = (read := corpora.get(name).label_from_name) and read(stem)
        if stated:
            return f"{name} {stated[1]}"
    return None


def _columns(corpus: Corpus) -> dict[str, dict[str, str]]:
    """For each of `COLUMNS` that the corpus has, clip -> value."""
    keys, known = _keys(corpus), {}
    for kind, columns in COLUMNS.items():
        for values in (corpus.table[name] for name in columns if name in corpus.table):
            pairs = zip(keys, values, values.notna(), strict=True)
            found = {key: str(value) for key, value, there in pairs if there and value != ""}
            if found:
                known[kind] = found
                break
    return known


def audit(division: Division, *, progress: Progress = no_progress) -> Audit:
    """Everything that can be found from the division alone, and from the sound where there is a corpus.

    Args:
        division: of a protocol or a table.
        progress: told of each recording that is listened to.

    Raises:
        ProtocolError: if a fold has nothing to train or nothing to test on.
        AudioError: if a clip cannot be heard.
    """
    _complete(division)
    findings = [_clips(division), _recordings(division), _dev_is_test(division)]
    findings += [_in_common(division, kind) for kind in COLUMNS]
    findings += _sounds(division, progress)
    findings += [_paired(division), _coverage(division)]
    return Audit(division.subject, tuple(findings))


def _clips(division: Division) -> Finding:
    """The same clip on both sides, or in train and dev."""
    pairs = {key: (key, key) for part in division.folds for key in part.seen | part.test}
    return _across(division, pairs.values(), "clip", "in {} as well")


def _recordings(division: Division) -> Finding:
    """Stretches of one file on both sides: the same sound where they overlap, the same room and day where not."""
    check = "recording"
    overlapping, apart = [], {}
    for part in division.folds:
        seen = _stretches(part.seen)
        tested = {file: stretches for file, stretches in _stretches(part.test).items() if file in seen}
        pairs = [(t, s) for file in tested for t in tested[file] for s in seen[file] if t[2] != s[2]]
        overlapping += [(t[2], s[2]) for t, s in pairs if max(t[0], s[0]) < min(t[1], s[1])]
        if pairs:
            apart[part.name] = ({t[2] for t, _ in pairs}, min(file for file in tested))
    for part in division.folds:  # of dev and train only the overlapping ones: that they share a file is harmless
        train, dev = _stretches(part.train), _stretches(part.dev)
        overlapping += [
            (d[2], t[2])
            for file in dev.keys() & train.keys()
            for d in dev[file]
            for t in train[file]
            if d[2] != t[2] and max(d[0], t[0]) < min(d[1], t[1])
        ]
    worst = _across(division, sorted(set(overlapping)), check, "partly the same stretch of a file as a clip in {}")
    if worst.status == "leak" or not apart:
        return (
            worst if worst.status != "clean" else Finding(check, "clean", "no file has stretches in test and outside")
        )
    number, example = sum(len(clips) for clips, _ in apart.values()), next(iter(apart.values()))[1]
    what = f"{_clips_are(number)} cut out of a file that train or dev have other stretches of, such as {example}"
    if declared := [f"{kind}s" for kind in ("speaker", "session") if kind in division.shares]:
        detail = f"{what}; to be expected where the protocol shares {' and '.join(declared)}"
        found = Finding(check, "shared", detail, (*apart,))
    else:
        detail = f"{what}: the same room, microphone and day, and often the same voice or conversation"
        found = Finding(check, "warning", detail, (*apart,))
    if worst.status == "warning":
        found = Finding(check, "warning", f"{found.detail}; {worst.detail}", found.folds)
    return found


def _stretches(keys: Iterable[str]) -> dict[str, list[tuple[float, float, str]]]:
    """File -> (start, end, key) of its clips; an end that is not known lies at infinity."""
    found: dict[str, list[tuple[float, float, str]]] = {}
    for key in sorted(keys):
        file, start, end = key.rsplit(",", 2)
        found.setdefault(file, []).append((float(start), float(end) if end else math.inf, key))
    return found


def _dev_is_test(division: Division) -> Finding:
    """Epochs chosen on what is then tested."""
    folds = tuple(part.name for part in division.folds if part.dev & part.test)
    whole = tuple(part.name for part in division.folds if part.dev and part.dev == part.test)
    without = tuple(part.name for part in division.folds if not part.dev)
    if folds:
        what = "dev is test" if whole == folds else "dev and test have clips in common"
        return Finding("dev = test", "leak", f"{what}: the epoch with the best dev score was chosen on test", folds)
    if without:
        where = "there is no dev" if len(without) == len(division.folds) else "some folds have no dev"
        detail = f"{where}, so nothing says how epochs are chosen; whoever chooses them by test scores leaks"
        return Finding("dev = test", "unknown", detail, without if len(without) < len(division.folds) else ())
    return Finding("dev = test", "clean", "dev and test have no clip in common")


def _in_common(division: Division, kind: str) -> Finding:
    """Speakers, sessions or sentences on both sides."""
    values = division.known.get(kind)
    if values is None:
        return Finding(kind, "unknown", f"nothing says which {kind} a clip has (columns {', '.join(COLUMNS[kind])})")
    touched, tested, folds, examples = 0, 0, [], set()
    for part in division.folds:
        seen = {values[key] for key in part.seen if key in values}
        shared = [key for key in part.test if values.get(key) in seen]
        touched, tested = touched + len(shared), tested + len(part.test)
        if shared:
            folds.append(part.name)
            examples |= {values[key] for key in shared}
    nameless = sum(key not in values for part in division.folds for key in part.seen | part.test)
    hole = f"; no {kind} is known of {nameless} clip{'s' if nameless > 1 else ''}" if nameless else ""
    if not touched:
        return Finding(kind, "unknown" if nameless else "clean", f"no {kind} of test is in train or dev{hole}")
    share = f"{touched / tested:.0%} of the test clips have a {kind} that is in train or dev"
    listed = ", ".join(sorted(examples)[:4]) + (", ..." if len(examples) > 4 else "")
    if kind in division.shares:
        return Finding(kind, "shared", f"{share}, as the protocol says: its numbers hold for known {kind}s", (*folds,))
    return Finding(kind, "leak", f"{share} ({listed}){hole}", (*folds,))


def _sounds(division: Division, progress: Progress) -> list[Finding]:
    """Copies and near-copies on both sides."""
    if division.corpus is None:
        why = "the table names files but nobody has heard them; give their corpus with --corpus"
        return [Finding(check, "unknown", why) for check in ("same sound", "near-duplicate")]
    keys = _keys(division.corpus)
    used = sorted({key for part in division.folds for key in part.seen | part.test})
    row = {key: number for number, key in enumerate(keys)}
    hashes, prints = [], []
    for done, key in enumerate(used, start=1):
        waveform = division.corpus.recording(row[key]).waveform
        hashes.append(hashlib.sha256(waveform.tobytes()).hexdigest())
        prints.append(fingerprint.fingerprint(waveform))
        progress("listening", done, len(used))
    of_hash: dict[str, list[str]] = {}
    for key, digest in zip(used, hashes, strict=True):
        of_hash.setdefault(digest, []).append(key)
    copies = [(a, b) for same in of_hash.values() for a in same for b in same if a < b]
    exact = set(copies)
    near = [(used[match.first], used[match.second]) for match in fingerprint.matches(prints)]
    return [
        _across(division, copies, "same sound", "the very sound of a clip in {}"),
        _across(
            division,
            [pair for pair in near if pair not in exact and pair[::-1] not in exact],
            "near-duplicate",
            "a clip in {} under another guise (gain, noise, coding, cut)",
        ),
    ]


def _across(division: Division, pairs: Iterable[tuple[str, str]], check: str, what: str) -> Finding:
    """Those pairs of alike clips that stand on both sides of a fold: a leak with test, a warning between train and dev.

    `what` says in words what a clip of the one side is, with {} for the other.
    """
    pairs = list(pairs)
    leaks = _facing(pairs, {part.name: (part.test, part.seen) for part in division.folds})
    flattered = _facing(pairs, {part.name: (part.dev, part.train) for part in division.folds})
    hint = f"{_told(flattered, what, 'dev', 'train')}; dev scores flatter" if flattered else ""
    if leaks:
        detail = _told(leaks, what, "test", "train or dev")
        return Finding(check, "leak", f"{detail}; {hint}" if hint else detail, (*leaks,))
    if flattered:
        return Finding(check, "warning", hint, (*flattered,))
    distinct = sum(a != b for a, b in pairs)
    inside = f" ({distinct} such pair{'s stand' if distinct > 1 else ' stands'} on one side)" if distinct else ""
    return Finding(check, "clean", f"no test clip is {what.format('train or dev')}{inside}")


def _facing(
    pairs: Sequence[tuple[str, str]], sides: dict[str, tuple[frozenset[str], frozenset[str]]]
) -> dict[str, list[tuple[str, str]]]:
    """Fold -> those pairs of which one is on its first side and the other on its second."""
    found = {
        name: [(x, y) for a, b in pairs for x, y in dict.fromkeys(((a, b), (b, a))) if x in first and y in second]
        for name, (first, second) in sides.items()
    }
    return {name: facing for name, facing in found.items() if facing}


def _told(found: dict[str, list[tuple[str, str]]], what: str, side: str, other: str) -> str:
    clips = sum(len({x for x, _ in facing}) for facing in found.values())
    x, y = min(next(iter(found.values())))
    example = _clip(x) if x == y else f"{_clip(x)} = {_clip(y)}"
    return f"{_clips_are(clips, side)} {what.format(other)}, such as {example}"


def _paired(division: Division) -> Finding:
    """Folds whose dev is another fold's test: harmless while each fold chooses for itself."""
    dev = frozenset().union(*(part.dev for part in division.folds))
    test = frozenset().union(*(part.test for part in division.folds))
    check = "choice across folds"
    if not dev & test:
        return Finding(check, "clean", "no fold's dev is another fold's test")
    share = f"{len(dev & test) / len(test):.0%}"
    detail = (
        f"{share} of the test clips are dev in another fold: one setting chosen by the dev scores of all folds has "
    )
    return Finding(check, "warning", detail + "been chosen on test; choose inside each fold", ())


def _coverage(division: Division) -> Finding:
    """Whether every clip is tested once; not a leak, but good to know."""
    times: dict[str, int] = {}
    for part in division.folds:
        for key in part.test:
            times[key] = times.get(key, 0) + 1
    everything = frozenset().union(*(part.seen | part.test for part in division.folds))
    never, often = len(everything) - len(times), sum(number > 1 for number in times.values())
    detail = f"{len(times)} of {len(everything)} clips are tested, {often} of them more than once"
    return Finding("coverage", "clean" if not never and not often else "warning", detail)


def tuned(protocol: Protocol, tuned_on: Sequence[str] | None) -> Finding:
    """Whether an experiment's settings were chosen on speakers that it tests.

    Settings that are chosen inside each fold leave others that somebody wrote, so that all experiments have to declare.

    Args:
        protocol: under which it runs.
        tuned_on: speakers whose scores were looked at when its settings were written; None: nothing is declared.

    Raises:
        ConfigError: if the corpus does not have such a speaker.
    """
    check = "settings"
    if tuned_on is None:
        return Finding(
            check, "unknown", "the experiment does not say whose scores were looked at when its settings were written"
        )
    if not tuned_on:
        return Finding(check, "clean", "the experiment declares that nobody's scores were looked at")
    if strangers := sorted(set(tuned_on) - set(protocol.corpus.speakers)):
        raise ConfigError(
            f"tuned_on: {protocol.corpus.name} has no speaker {', '.join(strangers)}; "
            f"its speakers are {', '.join(protocol.corpus.speakers) or 'not known'}"
        )
    speakers, looked = protocol.corpus.table["speaker"], ", ".join(tuned_on)
    folds = tuple(fold.name for fold in protocol.folds if set(speakers.iloc[list(fold.test)]) & set(tuned_on))
    if folds:
        return Finding(
            check, "leak", f"settings were written after looking at speakers {looked}, whom these folds test", folds
        )
    return Finding(check, "clean", f"settings were written after looking at speakers {looked}, whom no fold tests")


def touched(protocol: Protocol, bench: Bench) -> Finding:
    """Whether a training, its normaliser and the choice of open settings included, listens to clips of its test fold.

    In the first fold settings are chosen, if any are open, and a model is trained, with one epoch everywhere, and
    watched; every fold trains by the same code.

    Args:
        protocol: under which the experiment runs.
        bench: of the experiment.
    """
    check, fold = "normaliser, training", protocol.folds[0]
    short, choose = bench.experiment.with_settings({"training.epochs": 1}), bench.experiment.choose
    bench.features.heard.clear()
    if choose is not None:
        grid = {key: values for key, values in choose.grid.items() if key != "training.epochs"}
        open_ = short.model_copy(update={"choose": choose.model_copy(update={"grid": grid})})
        replace(bench, experiment=open_).choose(fold.train, fold.dev, seed=0)
        if leaked := bench.features.heard & set(fold.test):
            return Finding(check, "leak", f"choosing settings listened to {len(leaked)} test clips", (fold.name,))
    bench.train(short, fold.train, fold.dev, seed=0)
    if leaked := bench.features.heard & set(fold.test):
        return Finding(check, "leak", f"a training listened to {len(leaked)} of its test clips", (fold.name,))
    if protocol.transductive:
        return Finding(check, "shared", "test speakers' statistics are used, as the protocol's id says (transductive)")
    what = "a training" if choose is None else "a training with its choice of settings"
    return Finding(check, "clean", f"{what} was watched in fold {fold.name}: it listened to no test clip")


Moments = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""A normaliser's mean and scale, (D,) each."""


def normaliser(division: Division, features: Path, statistics: Path) -> Finding:
    """Whether a stored normaliser was fitted on test, told by its numbers.

    Args:
        division: the folds.
        features: CSV of the features before normalisation: `file`, `start` and `end` if need be, and columns of
            numbers.
        statistics: JSON with `mean` and `scale` (as scikit-learn's StandardScaler has them), one object, or one a fold
            by its name.

    Raises:
        CorpusError: if the features are not such a table.
        ConfigError: if the statistics are not such JSON, name other folds, or have another width.
    """
    values = _features(features)
    stored = _statistics(statistics, division)
    if not any(key in values for part in division.folds for key in part.seen | part.test):
        raise ConfigError(f"{features}: none of its files is a clip of {division.subject}; check the names")
    guilty: dict[str, str] = {}
    unclear: dict[str, list[str]] = {}
    for part in division.folds:
        if part.name not in stored:
            unclear.setdefault("no normaliser is stored for it", []).append(part.name)
            continue
        fits = _fitting(values, part, stored[part.name])
        if not fits:
            unclear.setdefault("it was fitted on none of the splits as they are", []).append(part.name)
        elif len({holds_test for _, holds_test in fits}) > 1:
            fitting = ", ".join(name for name, _ in fits)
            unclear.setdefault(f"cannot be told apart: {fitting} have the same mean and deviation", []).append(
                part.name
            )
        elif fits[0][1]:
            guilty[part.name] = fits[0][0]
    if guilty:
        sources = ", ".join(sorted(set(guilty.values())))
        return Finding("normaliser", "leak", f"its mean and deviation are those of {sources}", (*guilty,))
    if unclear:
        folds = tuple(name for group in unclear.values() for name in group)
        return Finding("normaliser", "unknown", "; ".join(unclear), folds)
    return Finding("normaliser", "clean", "its mean and deviation are those of train (and dev)")


def _fitting(values: dict[str, npt.NDArray[np.float64]], part: Part, stored: Moments) -> list[tuple[str, bool]]:
    """Which clips of a fold a normaliser may have been fitted on, and whether test clips are among them; best first."""
    candidates = {
        "train": part.train,
        "train and dev": part.seen,
        "test": part.test,
        "train and test": part.train | part.test,
        "dev and test": part.dev | part.test,
        "everything": part.seen | part.test,
    }
    names: dict[frozenset[str], str] = {}
    for name, keys in candidates.items():
        names.setdefault(keys, name)
    distances = {keys: _distance(values, keys, stored) for keys in names}
    near = sorted((keys for keys in names if distances[keys] < NORMALISER_TOLERANCE), key=distances.__getitem__)
    return [(names[keys], bool(keys & part.test)) for keys in near]


def _features(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    columns, rows = tables.read(path, "features.csv with the column file and columns of numbers")
    numeric = [column for column in columns if column not in ("file", "start", "end")]
    if "file" not in columns or not numeric:
        raise ConfigError(
            f"{path}: expected a column 'file' and at least one column of numbers, got {', '.join(columns)}"
        )
    values = {}
    for number, row in rows:
        where = f"{path}, row {number}"
        start, end = tables.seconds(row.get("start", ""), where) or 0.0, tables.seconds(row.get("end", ""), where)
        try:
            values[row_key(_plain(row["file"]), start, end)] = np.array([float(row[c]) for c in numeric])
        except ValueError as error:
            raise ConfigError(f"{where}: expected a file and numbers, got {error}") from error
    return values


def _statistics(path: Path, division: Division) -> dict[str, Moments]:
    """Fold -> its normaliser's mean and scale."""
    names = [part.name for part in division.folds]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected JSON with 'mean' and 'scale' ({error!r})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected an object with 'mean' and 'scale', or one a fold, got {content!r}"[:300])
    if "mean" in content or "scale" in content:
        moments = _moments(content, str(path))
        return dict.fromkeys(names, moments)
    if not content or set(content) - set(names):
        raise ConfigError(
            f"{path}: expected 'mean' and 'scale', or one such object a fold by the names {', '.join(names)}; "
            f"got {', '.join(content) or 'nothing'}"
        )
    return {name: _moments(each, f"{path}, fold {name}") for name, each in content.items()}


def _moments(content: object, where: str) -> Moments:
    """Mean and scale as arrays, if they are two rows of as many numbers."""
    try:
        mean, scale = (np.array(content[key], dtype=np.float64) for key in ("mean", "scale"))  # type: ignore[index]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: expected 'mean' and 'scale', a list of numbers each ({error!r})") from error
    if mean.ndim != 1 or mean.shape != scale.shape or not len(mean):
        raise ConfigError(
            f"{where}: expected as many numbers in 'mean' as in 'scale', got {mean.size} and {scale.size}"
        )
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise ConfigError(f"{where}: 'mean' and 'scale' hold what is not a number; expected finite ones")
    return mean, scale


def _distance(values: dict[str, npt.NDArray[np.float64]], keys: Iterable[str], stored: Moments) -> float:
    """How far mean and deviation of some clips are from a normaliser's, in its deviations; infinite without clips."""
    mean, scale = stored
    own = [values[key] for key in keys if key in values]
    if not own:
        return math.inf
    matrix = np.stack(own)  # (clips, D)
    if matrix.shape[1] != len(mean):
        raise ConfigError(f"the normaliser has {len(mean)} numbers, the features {matrix.shape[1]}")
    unit = np.where(scale > 0, scale, 1.0)
    deviation = np.where(matrix.std(0) > 0, matrix.std(0), 1.0)
    largest = float(np.max([np.abs(matrix.mean(0) - mean) / unit, np.abs(deviation - unit) / unit]))
    return largest if math.isfinite(largest) else math.inf


def _clips_are(number: int, side: str = "test") -> str:
    return f"{number} {side} clip{'s are' if number > 1 else ' is'}"


def _clip(key: str) -> str:
    """The file of a clip's key, with its times where it is a stretch."""
    file, start, end = key.rsplit(",", 2)
    return (
        file if float(start) == 0 and not end else f"{file} [{float(start):g}, {f'{float(end):g}' if end else 'end'}]"
    )
