"""Tables in both forms."""

import csv
import io

from petcast.study.tables import Cell, Group, Line, Table, mark_best, table_of

TABLE = Table(
    "key", "A title", "Name", [Group("Left", ("a", "b")), Group("", ("c",))],
    [Line("one", [Cell("1", "[0, 2]"), Cell("2"), Cell("3")]), Line("two", [Cell("none", span=3)])],
    "A note.",
    [{"name": "one", "a": 1.0, "b": None, "c": 3}],
)  # fmt: skip


def test_csv_holds_numbers_of_fixed_decimals_and_nothing_for_the_unknown() -> None:
    assert list(csv.DictReader(io.StringIO(TABLE.to_csv()))) == [
        {"name": "one", "a": "1.000000", "b": "", "c": "3"}
    ]


def test_markdown_has_as_many_cells_in_every_row() -> None:
    rows = [line for line in TABLE.to_markdown().splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert {row.count("|") for row in rows} == {5}
    assert "1 [0, 2]" in rows[2]


def test_where_space_is_scarce_the_first_group_is_left_out() -> None:
    table = Table("k", "t", "n", TABLE.groups, TABLE.lines[:1], "", [])
    assert table.without_first_group().printed() == [["n", "c"], ["one", "3"]]


def test_a_table_survives_json() -> None:
    assert table_of(TABLE.to_json()) == TABLE


def test_the_best_of_a_column_is_found_across_cells_that_span() -> None:
    lines = [Line("x", [Cell("diverged", span=2), Cell("5")]), Line("y", [Cell("1"), Cell("2"),
             Cell("9")])]  # fmt: skip
    first, second = mark_best(lines, [[None, None, 5.0], [1.0, None, 9.0]])
    assert [cell.best for cell in first.cells] == [False, False]
    assert [cell.best for cell in second.cells] == [True, False, True]
