import json
from pathlib import Path

import pytest

from affetto import changes
from affetto.changes import Line

RESULTS = {
    "protocol": "toy-v1",
    "model": "cnn",
    "fingerprint": "ab12",
    "task": "categories",
    "seeds": [0, 1],
    "fold_mean": {"wa": 0.71234, "ua": 0.5},
    "commit": "6bd1acf2700000000000",
}


def lines(folder: Path) -> list[str]:
    return (folder / changes.NAME).read_text(encoding="utf-8").splitlines()


def test_a_folder_without_a_list_remembers_nothing(tmp_path):
    assert changes.read(tmp_path) == []
    assert changes.tries(tmp_path, "toy-v1") == 0


def test_what_was_scored_is_remembered_once(tmp_path):
    changes.remember(tmp_path, RESULTS)
    first = (tmp_path / changes.NAME).read_bytes()
    assert lines(tmp_path)[-1] == "| toy-v1 | cnn | ab12 | 2 | 71.23 | 50.00 | 6bd1acf270 |"
    assert changes.read(tmp_path) == [Line("toy-v1", "cnn", "ab12", "2", ("71.23", "50.00"))]
    changes.remember(tmp_path, RESULTS | {"commit": None})
    assert (tmp_path / changes.NAME).read_bytes() == first


def test_what_is_trained_anew_is_a_line_and_a_try_and_more_seeds_are_a_line(tmp_path):
    changes.remember(tmp_path, RESULTS)
    changes.remember(tmp_path, RESULTS | {"fold_mean": {"wa": 0.75, "ua": 0.5}})
    assert changes.tries(tmp_path, "toy-v1") == 2
    changes.remember(tmp_path, RESULTS | {"fold_mean": {"wa": 0.76, "ua": 0.5}, "seeds": [0, 1, 2]})
    assert len(changes.read(tmp_path)) == 3
    assert changes.tries(tmp_path, "toy-v1") == 2


@pytest.mark.parametrize("changed", [{"fingerprint": "cd34"}, {"model": "other"}, {"protocol": "toy-v2"}])
def test_other_settings_rows_and_protocols_are_lines_of_their_own(changed, tmp_path):
    changes.remember(tmp_path, RESULTS)
    before = lines(tmp_path)
    changes.remember(tmp_path, RESULTS | changed)
    assert lines(tmp_path)[:-1] == before
    assert len(changes.read(tmp_path)) == 2
    assert changes.tries(tmp_path, "toy-v1") == (1 if "protocol" in changed else 2)


def test_lines_written_by_hand_count_too(tmp_path):
    changes.remember(tmp_path, RESULTS)
    with (tmp_path / changes.NAME).open("a", encoding="utf-8") as file:
        file.write("| toy-v1 | svm | eGeMAPS, linear SVM | 1 | 60.00 | 55.00 | a notebook |\n")
    assert changes.tries(tmp_path, "toy-v1") == 2
    changes.remember(tmp_path, RESULTS | {"fingerprint": "cd34", "commit": None})
    assert changes.tries(tmp_path, "toy-v1") == 3
    assert lines(tmp_path)[-1].endswith("| ? |")


def test_dimensions_are_remembered_by_their_ccc(tmp_path):
    changes.remember(tmp_path, RESULTS | {"task": "dimensions", "fold_mean": {"ccc": 0.4567}})
    assert lines(tmp_path)[-1].split(" | ")[4:6] == ["CCC 0.457", "\N{EN DASH}"]


def test_an_undefined_score_is_remembered_as_such(tmp_path):
    changes.remember(tmp_path, RESULTS | {"fold_mean": {"wa": float("nan"), "ua": 0.5}})
    assert lines(tmp_path)[-1].split(" | ")[4:6] == ["nan", "50.00"]


def test_every_result_of_this_repository_is_on_its_list():
    folder = Path(__file__).parents[1] / "results"
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*/*.json")]
    own = [changes.line_of(results) for results in found if "fold_mean" in results]
    assert own and not set(own) - set(changes.read(folder))
