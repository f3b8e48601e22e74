"""Long recordings: who felt what, when.

utterance   what is found: utterances, each with one answer, on a timeline
regions     where speech is: heard by `affetto.vad`, or given by somebody else
windows     stretches of a region that are judged, and one answer from those that overlap
voices      windows judged beside the speaker's own baseline
journal     what is done, so that a run that was killed goes on
settings, judging, hearing
            all of it: from a file to its timeline
given       speech that somebody else has found: tables, RTTM
formats     what timelines are written as
diarization how wrong one is
"""

from affetto.segments.hearing import timeline
from affetto.segments.regions import Region, RegionSettings
from affetto.segments.settings import TimelineSettings
from affetto.segments.utterance import Timeline, Utterance

__all__ = ["Region", "RegionSettings", "Timeline", "TimelineSettings", "Utterance", "timeline"]
