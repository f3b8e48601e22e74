"""Recognition: from files, bytes or arrays, and where the model needs them transcripts, to emotions or ratings.

heard         what goes in: a recording, its words, what is known of its speaker
recognizer    what judges it
prediction    what comes out
running       a speaker's baseline that grows with every clip
"""

from affetto.recognizer.heard import Heard, Source
from affetto.recognizer.prediction import Prediction
from affetto.recognizer.recognizer import Recognizer, locate
from affetto.recognizer.running import RunningBaseline

__all__ = ["Heard", "Prediction", "Recognizer", "RunningBaseline", "Source", "locate"]
