"""How much a difference between scores means: intervals over speakers, tests over speakers, clips and seeds.

Clips of one speaker resemble each other, so the speaker is the unit: intervals draw speakers, and the paired test swaps
the two systems speaker by speaker. What cannot be computed is NaN with a reason, as in `affetto.metrics`.
"""

from affetto.statistics.bootstrap import (
    FEWEST_SPEAKERS,
    UNDEFINED_DRAWS,
    Interval,
    Intervals,
    expanded_tail,
    speaker_bootstrap,
)
from affetto.statistics.comparison import (
    EXACT_SPEAKERS,
    RANDOM_FLIPS,
    ROUNDING,
    Comparison,
    Discordance,
    OverSeeds,
    TTest,
    mcnemar,
    over_seeds,
    paired_permutation,
    smallest_difference,
    t_test,
)

__all__ = [
    "EXACT_SPEAKERS",
    "FEWEST_SPEAKERS",
    "RANDOM_FLIPS",
    "ROUNDING",
    "UNDEFINED_DRAWS",
    "Comparison",
    "Discordance",
    "Interval",
    "Intervals",
    "OverSeeds",
    "TTest",
    "expanded_tail",
    "mcnemar",
    "over_seeds",
    "paired_permutation",
    "smallest_difference",
    "speaker_bootstrap",
    "t_test",
]
