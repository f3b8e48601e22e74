"""Speech of any kind: a folder of recordings, of which nothing is known. No emotions: for pretraining.

All files of the types that can be heard (`audio.EXTENSIONS`) are taken, whatever they are called and however deep they
lie. It is read only when it is asked for by name, because every folder of a corpus is such a folder as well.
"""

from pathlib import Path

import audformat
import pandas as pd

from affetto import audio
from affetto.corpora.base import Corpus, CorpusInfo, not_found, register

INFO = CorpusInfo(
    name="speech",
    title="A folder of recordings (no emotions)",
    language="any",
    licence="that of your recordings",
    source="your own",
    citation="your own",
    layout=("monday.wav", f"talks/tuesday.ogg (also {', '.join(audio.EXTENSIONS)})"),
)


@register(INFO, by_name=True)
def read(root: Path) -> Corpus:
    """The recordings in a folder and below it, each a whole file; emotion and speaker are missing.

    Args:
        root: the folder.

    Returns:
        The recordings, sorted by their paths; nothing is decoded. Whether they can be heard is for `corpora.check` to
        say.

    Raises:
        CorpusError: if there are none.
    """
    files = sorted(path.relative_to(root).as_posix() for path in audio.find(root, recursive=True))
    if not files:
        raise not_found(INFO, root, "no audio files")
    index = audformat.segmented_index(files)
    return Corpus(INFO, root, pd.DataFrame(index=index, columns=["emotion", "speaker"], dtype=object))
