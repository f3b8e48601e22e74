"""A timeline for people: in words, as a picture, as a page that plays it.

summary   who sounded how for how long, where that turned, what was unusual for them, what was not judged
envelope  the outline of a recording's waveform, read piece by piece
picture   one image, for ten seconds or ten hours
page      one HTML file that needs nothing beside it
"""

from affetto.views.page import write_page
from affetto.views.picture import write_picture
from affetto.views.summary import Summary, in_words, summarise

__all__ = ["Summary", "in_words", "summarise", "write_page", "write_picture"]
