"""Trials: which distortions a model has to bear, how strong, and what each may cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from affetto import config, distortions
from affetto.config import Settings
from affetto.errors import ConfigError


@dataclass(frozen=True)
class Trial:
    """One distortion in one strength.

    Args:
        distortion: its name.
        strength: in its unit.
        agreement: share of clips, at least, that must be answered as the clean ones are.
        drop: of UAR, at most, below that on the clean clips (0.05 is five points).
    """

    distortion: str
    strength: float
    agreement: float
    drop: float

    @property
    def title(self) -> str:
        """What it is, with its strength and unit."""
        return f"{self.distortion.replace('_', ' ')} {self.strength:g} {distortions.named(self.distortion).unit}"


def _trials(*rows: tuple[str, float, float, float]) -> tuple[Trial, ...]:
    return tuple(Trial(*row) for row in rows)


DEFAULT = _trials(
    # What says nothing about the voice should change next to nothing.
    ("gain", -20, 0.95, 0.02),
    ("gain", 20, 0.95, 0.02),
    ("dc", 0.1, 0.95, 0.02),
    ("phase", 90, 0.95, 0.02),
    ("phase", 180, 0.95, 0.02),
    ("resample_polyphase", 44_100, 0.95, 0.05),
    ("resample_quick", 44_100, 0.95, 0.05),
    ("resample_linear", 44_100, 0.95, 0.05),
    # What calls and cheap equipment do every day.
    ("telephone_band", 3_400, 0.8, 0.05),
    ("mu_law", 1, 0.8, 0.05),
    ("gsm", 1, 0.8, 0.05),
    ("opus", 8, 0.8, 0.05),
    ("clipping", 6, 0.8, 0.05),
    ("tilt", -3, 0.8, 0.05),
    ("tilt", 3, 0.8, 0.05),
    ("white_noise", 20, 0.8, 0.05),
    ("babble", 20, 0.8, 0.05),
    ("room", 0.3, 0.8, 0.05),
    ("stereo_delay", 1, 0.8, 0.05),
    ("stereo_inverted", 1, 0.8, 0.05),
    ("leading_silence", 2, 0.8, 0.05),
    ("truncation", 2, 0.8, 0.05),
    # What takes away much of the voice may cost something.
    ("white_noise", 10, 0.6, 0.15),
    ("babble", 10, 0.6, 0.15),
    ("room", 0.8, 0.6, 0.15),
    ("truncation", 1, 0.6, 0.15),
)
"""The trials that a model is put to unless others are asked for, each with its thresholds."""


class TrialSettings(Settings):
    """A trial as a settings file states it; thresholds that are left out are those of the same trial by default."""

    distortion: str
    strength: float
    agreement: float | None = None
    drop: float | None = None


class StressSettings(Settings):
    """A settings file of `affetto stress`."""

    agreement: float = 0.8
    """Threshold of trials that are not among the default ones and state none."""
    drop: float = 0.05
    """The same."""
    trials: tuple[TrialSettings, ...]


def read(path: Path) -> tuple[Trial, ...]:
    """The trials that a YAML file asks for.

    Example of a file:

        trials:
          - {distortion: white_noise, strength: 15}
          - {distortion: gsm, strength: 2, agreement: 0.7, drop: 0.1}

    Raises:
        ConfigError: if it cannot be read, or there is no distortion of a name.
    """
    settings = config.parse(StressSettings, config.load(path), source=str(path))
    return tuple(_stated(each, settings) for each in settings.trials)


def chosen(trials: Iterable[Trial], names: Iterable[str]) -> tuple[Trial, ...]:
    """Those of the trials whose distortions are named; all of them if none is.

    Raises:
        ConfigError: if a name is none of theirs.
    """
    names, trials = list(names), tuple(trials)
    for name in names:
        if name not in {trial.distortion for trial in trials}:
            known = ", ".join(dict.fromkeys(trial.distortion for trial in trials))
            raise ConfigError(f"--only {name}: is not tried; what is: {known}")
    return tuple(trial for trial in trials if not names or trial.distortion in names)


def _stated(asked: TrialSettings, settings: StressSettings) -> Trial:
    distortions.named(asked.distortion)
    known = next((t for t in DEFAULT if (t.distortion, t.strength) == (asked.distortion, asked.strength)), None)
    agreement = settings.agreement if known is None else known.agreement
    drop = settings.drop if known is None else known.drop
    return Trial(
        asked.distortion,
        asked.strength,
        agreement if asked.agreement is None else asked.agreement,
        drop if asked.drop is None else asked.drop,
    )
