"""How a long recording is cut and judged."""

from dataclasses import dataclass, field

from affetto.audio import SAMPLE_RATE
from affetto.errors import ConfigError
from affetto.pieces import Channels
from affetto.segments.regions import Region, RegionSettings
from affetto.segments.voices import Baselines


@dataclass(frozen=True)
class TimelineSettings:
    """How a recording is cut and judged.

    Args:
        window: seconds that are judged at once; None: one answer a region.
        stride: seconds from one window to the next; None: half a window.
        change: seconds of full certainty that a change of emotion within a region costs.
        channels: averaged into one voice, or each a voice of its own.
        regions: how speech is found.
        given: speech that somebody else has found; None: it is found.
        baseline: what each voice is judged beside: nothing, what was heard of it before, or recordings in a folder.
        words: have the recogniser's ASR write down what is said in each utterance.

    Raises:
        ConfigError: if windows would be shorter than their strides, or nothing long.
    """

    window: float | None = 5.0
    stride: float | None = None
    change: float = 1.0
    channels: Channels = "mix"
    regions: RegionSettings = field(default_factory=RegionSettings)
    given: tuple[Region, ...] | None = None
    baseline: Baselines = "none"
    words: bool = False

    def __post_init__(self) -> None:
        if self.window is not None and not 0.1 <= self.window <= self.regions.longest:
            raise ConfigError(f"--window {self.window}: expected 0.1 to {self.regions.longest:g} s")
        if self.stride is not None and (self.window is None or not 0.05 <= self.stride <= self.window):
            raise ConfigError(f"--stride {self.stride}: expected 0.05 s to the window of {self.window} s")
        if self.change < 0:
            raise ConfigError(f"a change cannot cost {self.change} s")

    @property
    def length(self) -> int:
        """Samples of a window."""
        return round((self.regions.longest if self.window is None else self.window) * SAMPLE_RATE)

    @property
    def hop(self) -> int:
        """Samples from one window to the next."""
        return self.length // 2 if self.stride is None else round(self.stride * SAMPLE_RATE)
