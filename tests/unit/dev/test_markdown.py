"""Markdown tables that read well in a terminal too."""

from dev.markdown import WIDEST_PADDED, markdown_table


def test_columns_are_padded_to_their_widest_cell_and_aligned():
    assert markdown_table(["peer", "jobs/s"], [["a", "7"], ["longer", "12,345"]], right=[1]) == (
        "| peer   | jobs/s |\n"
        "| ------ | -----: |\n"
        "| a      |      7 |\n"
        "| longer | 12,345 |"
    )  # fmt: skip


def test_a_very_long_cell_does_not_widen_its_column():
    long = "x" * (WIDEST_PADDED + 1)
    lines = markdown_table(["name"], [["a"], [long]]).splitlines()
    assert lines == ["| name |", "| ---- |", "| a    |", f"| {long} |"]


def test_a_cell_stays_one_cell_on_one_line():
    assert markdown_table(["a"], [["x|y\nz"]]).splitlines()[2] == "| x/y z |"
