"""An experiment: which model learns what from which corpus, under which protocol, as YAML.

A file holds one experiment, or a table of them: what is common at the top, and under `rows` what differs, by row id. A
list of protocols stands for the same rows under each.

    corpus: emodb
    protocol: [emodb-loso10, emodb-random80]
    training: {epochs: 25}
    rows:
      cnn: {model: cnn}
      whisper3: {model: {name: linear_probe}}
      both: {average: [cnn, whisper3]}
      cnn-again: {model: cnn, second_stage: {first: cnn, labels: [boredom, neutral]}}

An average answers what others do on average; a second stage divides anew what its first gives to a few classes.

settings   one row's, and what of them its numbers depend on
reading    a file's rows
"""

from affetto.experiment.reading import names, read, read_one
from affetto.experiment.settings import (
    ChooseSettings,
    Experiment,
    FinalSettings,
    FurtherSettings,
    SecondStageSettings,
    ViewSettings,
    from_config,
)

__all__ = [
    "ChooseSettings",
    "Experiment",
    "FinalSettings",
    "FurtherSettings",
    "SecondStageSettings",
    "ViewSettings",
    "from_config",
    "names",
    "read",
    "read_one",
]
