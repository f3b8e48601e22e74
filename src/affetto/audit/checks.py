"""What train, dev and test have in common: clips, recordings, speakers, sessions, sentences, sounds, settings."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from affetto import fingerprint
from affetto.audit.division import COLUMNS, Audit, Division, Finding, complete, keys_of
from affetto.bench import Bench
from affetto.errors import ConfigError
from affetto.progress import Progress, no_progress
from affetto.protocol import Protocol


def audit(division: Division, *, progress: Progress = no_progress) -> Audit:
    """Everything that can be found from the division alone, and from the sound where there is a corpus.

    Args:
        division: of a protocol or a table.
        progress: told of each recording that is listened to.

    Raises:
        ProtocolError: if a fold has nothing to train or nothing to test on.
        AudioError: if a clip cannot be heard.
    """
    complete(division)
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
    """Copies and near-copies on both sides; of text alone, the same text."""
    if division.corpus is None:
        why = "the table names files but nobody has heard them; give their corpus with --corpus"
        return [Finding(check, "unknown", why) for check in ("same sound", "near-duplicate")]
    keys = keys_of(division.corpus)
    used = sorted({key for part in division.folds for key in part.seen | part.test})
    row = {key: number for number, key in enumerate(keys)}
    if not division.corpus.info.has_sound:
        texts = division.corpus.transcripts
        copies = _copies(used, [texts[row[key]] for key in used])
        return [_across(division, copies, "same text", "the very text of a clip in {}")]
    hashes, prints = [], []
    for done, key in enumerate(used, start=1):
        waveform = division.corpus.recording(row[key]).waveform
        hashes.append(hashlib.sha256(waveform.tobytes()).hexdigest())
        prints.append(fingerprint.fingerprint(waveform))
        progress("listening", done, len(used))
    copies = _copies(used, hashes)
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


def _copies(keys: Sequence[str], contents: Sequence[str | None]) -> list[tuple[str, str]]:
    """Pairs of clips with the same content, each pair once."""
    alike: dict[str | None, list[str]] = {}
    for key, content in zip(keys, contents, strict=True):
        alike.setdefault(content, []).append(key)
    return [(a, b) for same in alike.values() for a in same for b in same if a < b]


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
    bench.features.heard = set()
    if choose is not None:
        grid = {key: [1] * len(values) if key == "training.epochs" else values for key, values in choose.grid.items()}
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


def _clips_are(number: int, side: str = "test") -> str:
    return f"{number} {side} clip{'s are' if number > 1 else ' is'}"


def _clip(key: str) -> str:
    """The file of a clip's key, with its times where it is a stretch."""
    file, start, end = key.rsplit(",", 2)
    return (
        file if float(start) == 0 and not end else f"{file} [{float(start):g}, {f'{float(end):g}' if end else 'end'}]"
    )
