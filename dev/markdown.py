"""Markdown tables for a terminal: columns are padded, so that the source reads as a table too."""

from collections.abc import Iterable, Sequence

WIDEST_PADDED = 72  # a longer cell sticks out, because it would push all others apart


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Render a table.

    Args:
        head: the names of the columns.
        rows: the cells; pipes and line ends in them are replaced.
        right: the indexes of the columns that are aligned to the right.
    """
    lines = [[_clean(cell) for cell in line] for line in (head, *rows)]
    widths = [_width(column) for column in zip(*lines, strict=True)]
    lines.insert(
        1, ["-" * (width - 1) + ":" if n in right else "-" * width for n, width in enumerate(widths)]
    )
    return "\n".join(_render(line, widths, right) for line in lines)


def _clean(cell: str) -> str:
    return cell.replace("|", "/").replace("\n", " ")


def _width(cells: Sequence[str]) -> int:
    return max(3, *(len(cell) for cell in cells if len(cell) <= WIDEST_PADDED))


def _render(line: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if n in right else cell.ljust(width)
        for n, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return f"| {' | '.join(cells)} |"
