"""What the commands share."""

from affetto.cli import console


def test_a_log_is_told_how_far_work_is_but_not_every_time(monkeypatch, capsys):
    clock = iter([0.0, 59.0, 60.0, 60.0, 61.0, 119.0, 120.0, 120.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.progress_bars() as progress:
        for done in range(1, 6):
            progress("cells", done, 10)
    assert capsys.readouterr() == ("", "cells: 2 of 10\ncells: 5 of 10\n")
