"""The errors that a user can meet, as a tree.

    AffettoError
    |-- AudioError        a recording that cannot be heard: missing, not audio, silent, without its words, ...
    |-- CorpusError       a folder or table that is not the corpus that it was said to be
    |-- ProtocolError     a split that cannot be made from this corpus
    |-- ConfigError       a setting that does not exist or has a wrong value
    |-- TrainingError     a training that cannot go on
    `-- CheckpointError   a model folder that is incomplete, damaged or gives other answers than it should

Every message says what went wrong, what was found, what was expected and what to do, in one line.
"""

import difflib
from collections.abc import Iterable
from typing import Literal

AudioReason = Literal[
    "missing", "undecodable", "truncated", "empty", "too_short", "silent", "not_finite", "no_words", "no_sound"
]


class AffettoError(Exception):
    """Base of every error that Affetto raises on purpose; its text is one line for the user."""


class AudioError(AffettoError):
    """A recording that cannot be heard.

    Args:
        source: the file's name as the user gave it.
        reason: the kind of fault, for code that counts faults.
        detail: what was found and what was expected.
    """

    def __init__(self, source: str, reason: AudioReason, detail: str) -> None:
        super().__init__(f"{source}: {detail}")
        self.source = source
        self.reason: AudioReason = reason
        self.detail = detail


class CorpusError(AffettoError):
    """A folder or table that is not the corpus that it was said to be."""


class ProtocolError(AffettoError):
    """A split that cannot be made from this corpus."""


class ConfigError(AffettoError):
    """A setting that does not exist or has a wrong value."""


class TrainingError(AffettoError):
    """A training that cannot go on."""


class CheckpointError(AffettoError):
    """A model folder that is incomplete, damaged or gives other answers than it should."""


def not_called(name: str, known: Iterable[str], kind: str, *, kinds: str = "") -> str:
    """What to say of a name that nothing has: which names there are, and the nearest, if one is near.

    Args:
        name: the name.
        known: the names that there are, as they are listed.
        kind: what has such names: "row".
        kinds: the same of several, where it is not `kind` with an s.
    """
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"no {kind} is called '{name}'; the {kinds or kind + 's'} are {', '.join(names)}{hint}"
