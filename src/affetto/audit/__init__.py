"""Audits a division into train, dev and test: what do they have in common that they must not have?

A protocol, or any table of splits (`splits`), is looked through for clips, recordings, speakers, sessions and sentences
on both sides, for copies and near-copies of the same sound, for epochs or settings that were chosen on test, and for
normalisers that were fitted on it. What cannot be looked for is said, too.
"""

from affetto.audit.checks import audit, touched, tuned
from affetto.audit.division import Audit, Division, Finding, of_protocol, of_table
from affetto.audit.normaliser import normaliser

__all__ = ["Audit", "Division", "Finding", "audit", "normaliser", "of_protocol", "of_table", "touched", "tuned"]
