"""Comparisons, and what is remembered of them."""

import math
from typing import Any

TOLERANCE = 1e-9
"""Largest difference between two computations of the same fraction, or share of a larger number."""


class Comparer:
    """Counts comparisons and remembers those that fail."""

    def __init__(self) -> None:
        self.numbers = 0
        self.faults: list[str] = []

    def same(self, stored: Any, computed: Any, where: str, says: str = "its predictions say") -> None:
        """Compare two pieces of JSON; undefined is null."""
        if isinstance(computed, dict):
            keys = set(computed) | (set(stored) if isinstance(stored, dict) else set())
            for key in sorted(keys, key=str):
                below = stored.get(key) if isinstance(stored, dict) else None
                self.same(below, computed.get(key), f"{where}.{key}", says)
        elif isinstance(computed, list):
            if not isinstance(stored, list) or len(stored) != len(computed):
                self.fault(where, f"expected {len(computed)} entries: the file says {stored!r}, {says} {computed!r}")
                return
            for number, (ours, theirs) in enumerate(zip(stored, computed, strict=True)):
                self.same(ours, theirs, f"{where}[{number}]", says)
        else:
            self.numbers += isinstance(computed, int | float)
            if not equal(stored, computed):
                self.fault(where, f"the file says {stored!r}, {says} {computed!r}")

    def true(self, holds: bool, where: str, what: str) -> None:
        """Remember a fault where something does not hold."""
        if not holds:
            self.fault(where, what)

    def fault(self, where: str, what: str) -> None:
        """Remember a fault."""
        self.faults.append(f"{where}: {what}")


def equal(stored: Any, computed: Any) -> bool:
    """Whether a piece of a file is what was computed, numbers within `TOLERANCE`; undefined is null."""
    if isinstance(computed, float) and math.isnan(computed):
        return stored is None
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (stored, computed))
    if numbers:
        return math.isclose(stored, computed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return isinstance(stored, bool) == isinstance(computed, bool) and bool(stored == computed)
