import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affetto import files


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    files.write_whole(path, json.dumps([1]).encode())

    def full(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_whole(path, b"[1, 2")
    assert json.loads(path.read_text()) == [1]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_json_is_read_back_as_it_was(content):
    assert json.loads(files.json_bytes(content)) == content


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_does_not_know_is_refused(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.json_bytes({"ua": value})
