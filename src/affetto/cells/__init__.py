"""Cells: the trainings that an experiment's numbers are made of, one a fold and seed.

Rows that average others (late fusion) have cells without a training, made from those of the others at the end; so are
those of a second stage, from its first's and its own training's.

A finished cell is a small file, `results/<protocol>/cells/<row>/<fold>-<seed>.json`. The files are the whole state of
the work: whoever runs the same experiment on the same folder, in other processes or on other machines, takes the cells
that nobody has taken yet. The state of a long training lies beside its cell, in `<fold>-<seed>.partial/`, until that is
finished: who takes the cell of somebody who was killed goes on from there. Cells that learn from the same rows, and
only choose the epoch on different ones, are taken together and made from one training.

cell       one training and its test, and its file
work       all cells of a table of experiments
making     from a cell to what its file holds: train, test, combine
taking     which cells a process takes, and how they come to lie on disk
workers    processes that take cells side by side
"""

from affetto.cells.cell import Cell
from affetto.cells.work import Work
from affetto.cells.workers import cores, finish

__all__ = ["Cell", "Work", "cores", "finish"]
