"""Who is train, dev and test: a protocol is folds of a corpus with an id that stands beside every number.

Two numbers may be compared when their ids, their corpus's manifest and their classes agree. A rule deals out clips by
what they are called (file and times), so that a protocol is the same on every machine and with every release.

`Across` learns from whole corpora and tests another. A `Transfer` is a protocol whose models are tested on another
corpus than they learned from.
"""

from affetto.protocol.across import Across
from affetto.protocol.base import AGGREGATION, METRICS, RATING_METRICS, Fold, Kind, Protocol, row_key, row_keys
from affetto.protocol.names import create, names
from affetto.protocol.table import from_table, row_finder
from affetto.protocol.transfer import Transfer, tested, transfer

__all__ = [
    "AGGREGATION",
    "Across",
    "METRICS",
    "RATING_METRICS",
    "Fold",
    "Kind",
    "Protocol",
    "Transfer",
    "create",
    "from_table",
    "names",
    "row_finder",
    "row_key",
    "row_keys",
    "tested",
    "transfer",
]
