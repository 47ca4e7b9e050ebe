"""Bar charts as SVG for a page: in the page's own ink, so that they read in light and dark; no library needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from sama_plugin.data.distribution import nice_step
from sama_plugin.media.marks import PALETTE

Series = Mapping[str, Sequence[float]]
"""Name → a value per label; bars of one label are stacked in the order of the names."""

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 42
ROW, WIDEST_BAR = 24, 40
LONGEST_LABEL = 26
ROOM_OF_LABEL = 34
"""Pixels that a label of the x axis needs; where bars are narrower, some labels are left out."""

CHART_STYLE = """
svg.chart { width: 100%; height: auto; font: 11px system-ui, sans-serif; } svg.chart text { fill: var(--ink); }
svg.chart .rule { stroke: var(--rule); } svg.chart .axis { fill: var(--faint); }
.legend span { display: inline-block; margin-right: 1.2rem; } .legend i { display: inline-block; width: .8rem;
  height: .8rem; border-radius: .2rem; margin-right: .4rem; vertical-align: -.1rem; }
"""


def series_colour(number: int) -> str:
    """CSS colour of a series by its place."""
    return "rgb({}, {}, {})".format(*PALETTE[(number + 1) % len(PALETTE)])


def draw_legend(names: Sequence[str]) -> str:
    """Which colour is which series."""
    items = (
        f'<span><i style="background: {series_colour(k)}"></i>{escape(name)}</span>'
        for k, name in enumerate(names)
    )
    return f'<p class="legend">{"".join(items)}</p>'


def draw_columns(labels: Sequence[str], series: Series, *, title: str, x: str) -> str:
    """Stacked upright bars, from left to right.

    Args:
        labels: of the bars; some are left out where there is no room.
        series: heights.
        title: read out in place of the picture.
        x: what the labels are.

    Returns:
        An `<svg>`.
    """
    highest = max(_totals(labels, series), default=0) or 1
    step = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    floor = HEIGHT - BOTTOM
    shapes = []
    for value in range(0, int(highest) + 1, nice_step(highest / 3)):
        y = floor - value / highest * (floor - TOP)
        shapes.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        shapes.append(_text(LEFT - 5, y + 4, short_number(value), "end", "axis"))
    every = max(1, -(-ROOM_OF_LABEL // max(int(step), 1)))
    for i, label in enumerate(labels):
        y = float(floor)
        for k, (name, values) in enumerate(series.items()):
            height = values[i] / highest * (floor - TOP)
            y -= height
            wide = min(max(step - 2, 1), WIDEST_BAR)
            place = (LEFT + (i + 0.5) * step - wide / 2, y, wide, height)
            shapes.append(_bar(place, k, f"{label}: {values[i]:,} {name}"))
        if i % every == 0:
            shapes.append(_text(LEFT + (i + 0.5) * step, floor + 15, label, "middle"))
    shapes.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x, "middle", "axis"))
    return _svg(shapes, HEIGHT, title)


def draw_rows(labels: Sequence[str], series: Series, *, title: str) -> str:
    """Stacked level bars, one below the other, with their sums.

    Args:
        labels: of the bars.
        series: lengths.
        title: read out in place of the picture.

    Returns:
        An `<svg>`.
    """
    sums = _totals(labels, series)
    highest = max(sums, default=0) or 1
    left = 12 + 6 * min(max(map(len, labels), default=0), LONGEST_LABEL)
    room = WIDTH - left - 52
    shapes = []
    for i, label in enumerate(labels):
        x, y = float(left), i * ROW
        for k, (name, values) in enumerate(series.items()):
            width = values[i] / highest * room
            shapes.append(_bar((x, y + 4, width, ROW - 8), k, f"{label}: {values[i]:,} {name}"))
            x += width
        shapes.append(_text(left - 6, y + ROW / 2 + 4, _shortened(label), "end"))
        shapes.append(_text(x + 5, y + ROW / 2 + 4, short_number(sums[i]), "start", "axis"))
    return _svg(shapes, max(ROW * len(labels), 1), title)


def short_number(value: float) -> str:
    """At most five characters: 950, 1.2k, 35k, 2.4M."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            scaled = value / factor
            return f"{scaled:.0f}{unit}" if scaled >= 10 or scaled == int(scaled) else f"{scaled:.1f}{unit}"
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def _totals(labels: Sequence[str], series: Series) -> list[float]:
    return [sum(values[i] for values in series.values()) for i in range(len(labels))]


def _shortened(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def _bar(place: tuple[float, float, float, float], number: int, words: str) -> str:
    x, y, width, height = place
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1.5" '
        f'fill="{series_colour(number)}"><title>{escape(words)}</title></rect>'
        if width > 0 and height > 0
        else ""
    )


def _text(x: float, y: float, words: str, anchor: str, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{mark}>{escape(words)}</text>'


def _svg(shapes: Sequence[str], height: float, title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        + "".join(shapes)
        + "</svg>"
    )
