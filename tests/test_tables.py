import csv
import io
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto import tables
from affetto.errors import CorpusError

cells = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8)


@settings(deadline=None)
@given(
    st.lists(cells.filter(bool), min_size=2, max_size=4, unique=True).flatmap(
        lambda columns: st.tuples(
            st.just(columns), st.lists(st.lists(cells, min_size=len(columns), max_size=len(columns)), max_size=5)
        )
    ),
    st.sampled_from(",;\t"),
    st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_what_was_written_is_read_whatever_separates_it(tmp_path_factory, content, separator, encoding):
    columns, rows = content
    if any(other in column for other in ",;" for column in columns):
        return  # the first line decides what separates, and quotes do not hide a separator from it
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    found, lines = tables.read(path, "a table")
    kept = [(number, row) for number, row in enumerate(rows, start=2) if any(row)]
    assert found == columns
    assert lines == [(number, dict(zip(columns, row, strict=True))) for number, row in kept]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty; expected e.g. a table"),
        (b"a,b\n1\n", "row 2: has 1 cells; expected 2, for a, b"),
        (b"a,a\n1,2\n", "names a column twice; found a, a"),
        (b'a,b\n1,"2\n', "not CSV"),
        (b"a,b\nJ\xfcrgen,1\n", "is not UTF-8 text; save it as 'CSV UTF-8'"),
        (None, "is not a file; expected e.g. a table"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(content, words, tmp_path):
    if content is not None:
        (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=words) as caught:
        tables.read(tmp_path / "table.csv", "a table")
    assert "\n" not in str(caught.value)


@given(st.floats(0, 1e6).map(lambda value: round(value, 6)))
def test_seconds_are_read_in_three_spellings(value):
    audformats = (
        f"{int(value // 86400)} days {int(value % 86400 // 3600):02d}:{int(value % 3600 // 60):02d}:{value % 60:09.6f}"
    )
    for cell in (f"{value:.6f}", f"{value:.6f}".replace(".", ","), audformats):
        found = tables.seconds(cell, "row 2")
        assert found is not None
        assert math.isclose(found, value, abs_tol=1e-6)


@pytest.mark.parametrize("cell", ["", "NaT"])
def test_an_empty_cell_is_no_time(cell):
    assert tables.seconds(cell, "row 2") is None


@pytest.mark.parametrize("cell", ["soon", "-1", "nan", "inf", "nat", "1.2.3"])
def test_what_is_no_time_is_refused(cell):
    with pytest.raises(CorpusError, match=f"^row 2: '{cell}' is not a time"):
        tables.seconds(cell, "row 2")
