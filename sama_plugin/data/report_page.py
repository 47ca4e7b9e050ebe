"""A report as one HTML page: readable in light and dark, no file or address beside it; all text in it is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #222; --faint: #686d75; --rule: #ddd; --paper: #fff; --field: #f3f3f4;
  --good: #176c2b; --bad: #a8201a; --link: #0a58b5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e5e7; --faint: #a0a5ad; --rule: #3a3d43; --paper: #17181b; --field: #24262b;
    --good: #6fcf88; --bad: #ff8a80; --link: #7db7ff; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink);
  background: var(--paper); }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { border-bottom: 1px solid var(--rule); padding: .25rem .6rem; text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } td { overflow-wrap: anywhere; }
code { background: var(--field); padding: 0 .25rem; } summary { cursor: pointer; } .wide { overflow-x: auto; }
.clean { color: var(--good); } .found { color: var(--bad); } .faint { color: var(--faint); }
"""


def format_page(title: str, body: Iterable[str], *, style: str = "", script: str = "") -> str:
    """A whole page.

    Args:
        title: plain text.
        body: pieces of HTML, their text escaped.
        style: rules beside `STYLE`.
        script: run at the end; made of nothing but the program's own words.
    """
    ending = f"<script>{script}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>\n<body>"
        + "\n".join(body)
        + f"\n{ending}</body></html>\n"
    )


def format_table(heads: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """A table; numbers and their heads stand at the right.

    Args:
        heads: plain text.
        rows: plain text and numbers, one per head.
    """
    rows = [list(row) for row in rows]
    is_number = [bool(rows) and all(_is_numeric(row[i]) for row in rows) for i in range(len(heads))]
    marks = [' class="n"' if right else "" for right in is_number]
    head = "".join(f"<th{mark}>{escape(name)}</th>" for name, mark in zip(heads, marks, strict=True))
    lines = (
        "".join(f"<td{mark}>{escape(str(cell))}</td>" for cell, mark in zip(row, marks, strict=True))
        for row in rows
    )
    inner = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{head}</tr>\n{inner}</table></div>'


def align_table(heads: Sequence[str], rows: Iterable[Sequence[str | int]]) -> list[str]:
    """The same table for a terminal, in lines.

    Args:
        heads: of the columns.
        rows: text and numbers, one per head.
    """
    table = [[str(cell) for cell in row] for row in rows]
    is_number = [bool(table) and all(_is_numeric(row[i]) for row in table) for i in range(len(heads))]
    widths = [max(map(len, column)) for column in zip(heads, *table, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in (list(heads), *table)
    ]


def _is_numeric(cell: str | int) -> bool:
    """Whether it is a number, a share, or left out."""
    text = str(cell).removesuffix("%").strip()
    return text in ("", "-") or text.replace(",", "").replace(".", "", 1).isdigit()
