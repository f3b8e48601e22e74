"""Audits a division into train, dev and test: what do they have in common that they must not have?

A protocol, or any table of splits (`splits`), is looked through for clips, speakers, sessions and sentences on both
sides, for copies and near-copies of the same sound, for epochs or settings that were chosen on test, and for
normalisers that were fitted on it. What cannot be looked for is said, too.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt

from affetto import corpora, fingerprint, splits, tables
from affetto.bench import Bench
from affetto.corpora.base import Corpus
from affetto.dataset import Progress, no_progress
from affetto.errors import ConfigError
from affetto.protocol import Protocol, row_key, row_keys

Status = Literal["clean", "shared", "leak", "warning", "unknown"]
"""clean: nothing found; shared: in common, as the protocol says; leak: in common, and it must not be; warning: depends
on how the division is used; unknown: could not be looked for."""

COLUMNS = {"speaker": ("speaker",), "session": ("session",), "sentence": ("sentence", "text")}
"""Where a table says what a clip has in common with others; the first column that is there counts."""
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
        train, dev, test: keys of clips (`protocol.row_key`).
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
    keys = row_keys(protocol.corpus.table)
    folds = tuple(
        Part(fold.name, *(frozenset(keys[row] for row in rows) for rows in (fold.train, fold.dev, fold.test)))
        for fold in protocol.folds
    )
    return Division(protocol.id, folds, _columns(protocol.corpus), protocol.shares, protocol.corpus)


def of_table(path: Path) -> Division:
    """A table of splits without its corpus: what its columns and its files' names tell.

    Raises:
        CorpusError: if it cannot be read.
        ProtocolError: if a split is not train, dev or test.
    """
    parts: dict[str, dict[str, set[str]]] = {}
    known: dict[str, dict[str, str]] = {}
    for line in splits.read(path):
        key = row_key(line.file, line.start, line.end)
        side = "test" if line.split.startswith("test") else line.split
        parts.setdefault(line.fold, {}).setdefault(side, set()).add(key)
        for kind, columns in COLUMNS.items():
            value = next((line.others[column] for column in columns if line.others.get(column)), None)
            if value is None and kind == "speaker":
                value = _speaker_in_name(line.file)
            if value is not None:
                known.setdefault(kind, {})[key] = value
    folds = tuple(
        Part(name, *(frozenset(sides.get(side, ())) for side in ("train", "dev", "test")))
        for name, sides in parts.items()
    )
    return Division(path.name, folds, known)


def _speaker_in_name(file: str) -> str | None:
    """The speaker that the name of a file states, if it is one of a corpus whose names are labels."""
    stem = PurePosixPath(file).stem
    for name in corpora.names():
        stated = (read := corpora.get(name).label_from_name) and read(stem)
        if stated:
            return f"{name} {stated[1]}"
    return None


def _columns(corpus: Corpus) -> dict[str, dict[str, str]]:
    keys, known = row_keys(corpus.table), {}
    for kind, columns in COLUMNS.items():
        column = next((name for name in columns if name in corpus.table), None)
        if column is not None:
            values = corpus.table[column]
            pairs = zip(keys, values, values.notna(), strict=True)
            found = {key: str(value) for key, value, there in pairs if there and value != ""}
            if found:
                known[kind] = found
    return known


def audit(division: Division, *, progress: Progress = no_progress) -> Audit:
    """Everything that can be found from the division alone, and from the sound where there is a corpus.

    Args:
        division: of a protocol or a table.
        progress: told of each recording that is listened to.

    Raises:
        AudioError: if a clip cannot be heard.
    """
    findings = [_clips(division), _dev_is_test(division)]
    findings += [_in_common(division, kind) for kind in COLUMNS]
    findings += _sounds(division, progress)
    findings += [_paired(division), _coverage(division)]
    return Audit(division.subject, tuple(findings))


def _clips(division: Division) -> Finding:
    """The same clip on both sides."""
    common = {part.name: part.test & part.seen for part in division.folds if part.test & part.seen}
    if not common:
        return Finding("clip", "clean", "no clip is in test and in train or dev")
    number, example = sum(map(len, common.values())), min(min(clips) for clips in common.values())
    return Finding(
        "clip", "leak", f"{_clips_are(number)} in train or dev as well, such as {_file(example)}", (*common,)
    )


def _dev_is_test(division: Division) -> Finding:
    """Epochs chosen on what is then tested."""
    folds = tuple(part.name for part in division.folds if part.dev & part.test)
    whole = tuple(part.name for part in division.folds if part.dev and part.dev == part.test)
    if not any(part.dev for part in division.folds):
        return Finding(
            "dev = test", "clean", "there is no dev; whoever chooses an epoch by test scores leaks all the same"
        )
    if not folds:
        return Finding("dev = test", "clean", "dev and test have no clip in common")
    what = "dev is test" if whole == folds else "dev and test have clips in common"
    return Finding("dev = test", "leak", f"{what}: the epoch with the best dev score was chosen on test", folds)


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
    keys = row_keys(division.corpus.table)
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
        _across(division, copies, "same sound", "the very sound of a clip in train or dev"),
        _across(
            division,
            [pair for pair in near if pair not in exact and pair[::-1] not in exact],
            "near-duplicate",
            "a clip in train or dev under another guise (gain, noise, coding, cut)",
        ),
    ]


def _across(division: Division, pairs: Iterable[tuple[str, str]], check: str, what: str) -> Finding:
    """Those pairs of alike clips that stand on both sides of a fold."""
    pairs = list(pairs)
    found = {
        part.name: [(t, s) for a, b in pairs for t, s in ((a, b), (b, a)) if t in part.test and s in part.seen]
        for part in division.folds
    }
    found = {name: across for name, across in found.items() if across}
    if not found:
        inside = f" ({len(pairs)} such pairs stand on one side)" if pairs else ""
        return Finding(check, "clean", f"no test clip is {what}{inside}")
    clips = sum(len({t for t, _ in across}) for across in found.values())
    test, seen = next(iter(found.values()))[0]
    return Finding(check, "leak", f"{_clips_are(clips)} {what}, such as {_file(test)} = {_file(seen)}", (*found,))


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


def tuned(protocol: Protocol, tuned_on: Sequence[str], *, by_hand: bool) -> Finding:
    """Whether an experiment's settings were chosen on speakers that it tests.

    Args:
        protocol: under which it runs.
        tuned_on: speakers whose scores were looked at when its settings were written.
        by_hand: whether anything was left to be written; False where every open setting is chosen inside its fold.
    """
    speakers = protocol.corpus.table["speaker"]
    folds = tuple(fold.name for fold in protocol.folds if set(speakers.iloc[list(fold.test)]) & set(tuned_on))
    if folds:
        return Finding(
            "settings",
            "leak",
            f"settings were written after looking at speakers {', '.join(tuned_on)}, whom these folds test",
            folds,
        )
    how = "settings are those of the file" if by_hand else "open settings are chosen inside each fold"
    return Finding("settings", "clean", f"{how}; it names no test speaker that was looked at")


def touched(protocol: Protocol, bench: Bench) -> Finding:
    """Whether a training, its normaliser included, listens to clips of its test fold.

    One epoch of the first fold is trained and watched; every fold trains by the same code.

    Args:
        protocol: under which the experiment runs.
        bench: of the experiment.
    """
    check, fold = "normaliser, training", protocol.folds[0]
    short = bench.experiment.with_settings({"training.epochs": 1})
    bench.features.heard.clear()
    bench.train(short, fold.train, fold.dev, seed=0)
    if leaked := bench.features.heard & set(fold.test):
        return Finding(check, "leak", f"a training listened to {len(leaked)} of its test clips", (fold.name,))
    if protocol.transductive:
        return Finding(check, "shared", "test speakers' statistics are used, as the protocol's id says (transductive)")
    return Finding(check, "clean", f"a training of fold {fold.name} was watched: it listened to no test clip")


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
        ConfigError: if the statistics are not such JSON, or have another width.
    """
    values = _features(features)
    stored = _statistics(statistics, division)
    guilty, unexplained = {}, []
    for part in division.folds:
        if part.name not in stored:
            continue
        mean, scale = stored[part.name]
        candidates = {
            "train": part.train,
            "train and dev": part.seen,
            "test": part.test,
            "train and test": part.train | part.test,
            "everything": part.seen | part.test,
        }
        source = next((name for name, keys in candidates.items() if _fits(values, keys, mean, scale)), None)
        if source is None:
            unexplained.append(part.name)
        elif source not in ("train", "train and dev"):
            guilty[part.name] = source
    if guilty:
        sources = ", ".join(sorted(set(guilty.values())))
        return Finding("normaliser", "leak", f"its mean and deviation are those of {sources}", (*guilty,))
    if unexplained:
        return Finding("normaliser", "unknown", "it was fitted on none of the splits as they are", (*unexplained,))
    return Finding("normaliser", "clean", "its mean and deviation are those of train (and dev)")


def _features(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    columns, rows = tables.read(path, "features.csv with the column file and columns of numbers")
    numeric = [column for column in columns if column not in ("file", "start", "end")]
    values = {}
    for number, row in rows:
        where = f"{path}, row {number}"
        start, end = tables.seconds(row.get("start", ""), where) or 0.0, tables.seconds(row.get("end", ""), where)
        try:
            values[row_key(row["file"].replace("\\", "/"), start, end)] = np.array([float(row[c]) for c in numeric])
        except (KeyError, ValueError) as error:
            raise ConfigError(f"{where}: expected a file and numbers, got {error}") from error
    return values


def _statistics(path: Path, division: Division) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        by_fold = {part.name: content for part in division.folds} if "mean" in content else content
        return {
            str(name): (np.array(each["mean"], dtype=np.float64), np.array(each["scale"], dtype=np.float64))
            for name, each in by_fold.items()
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path}: expected JSON with 'mean' and 'scale', one or one a fold ({error!r})") from error


def _fits(
    values: dict[str, npt.NDArray[np.float64]],
    keys: Iterable[str],
    mean: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
) -> bool:
    """Whether mean and deviation of some clips are these."""
    own = [values[key] for key in keys if key in values]
    if not own:
        return False
    matrix = np.stack(own)  # (clips, D)
    if matrix.shape[1] != len(mean):
        raise ConfigError(f"the normaliser has {len(mean)} numbers, the features {matrix.shape[1]}")
    unit = np.where(scale > 0, scale, 1.0)
    distances = [
        *(np.abs(matrix.mean(0) - mean) / unit),
        *(np.abs(np.where(matrix.std(0) > 0, matrix.std(0), 1.0) - unit) / unit),
    ]
    return math.isfinite(max(distances)) and max(distances) < NORMALISER_TOLERANCE


def _clips_are(number: int) -> str:
    return f"{number} test clip{'s are' if number > 1 else ' is'}"


def _file(key: str) -> str:
    """The file of a clip's key, with its times where it is a stretch."""
    file, start, end = key.rsplit(",", 2)
    return file if float(start) == 0 and not end else f"{file} [{start}, {end}]"
