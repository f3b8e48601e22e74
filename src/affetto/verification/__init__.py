"""Verifies a results file: every number in it is computed anew from the predictions beside it.

Three roads lead to a number and must meet: our own (audmetric inside), scikit-learn's and SciPy's, and the file. What
the file says of its origin must follow from what lies beside it: its own settings, the protocol, the trainings. With
the corpus at hand, the truth, the speakers and the whole protocol are compared with it as well.

folder      results files and what lies beside them
comparer    comparisons, and what is remembered of them
origin      what a file says of its settings and its protocol
numbers     scores, computed anew
trainings   where the predictions came from
truth       predictions and protocol against the corpus
verifying   all of it
"""

from affetto.verification.folder import find
from affetto.verification.verifying import Verification, verify

__all__ = ["Verification", "find", "verify"]
