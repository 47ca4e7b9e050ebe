"""What `sama data stats` counted: as text, as JSON values (`sama.stats/1`), and as a page with pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from sama_plugin.data.bar_chart import CHART_STYLE, draw_columns, draw_legend, draw_rows
from sama_plugin.data.defects import RULES, format_counts
from sama_plugin.data.distribution import Bins, Distribution, whole_bins
from sama_plugin.data.report_page import align_table, format_page, format_table
from sama_plugin.data.statistics import MEASURES, Statistics, overall

SCHEMA = "sama.stats/1"
NUMBERS = {
    "videos": "videos",
    "records": "records",
    "dialogues": "dialogues",
    "turns": "turns",
    "descriptions": "descriptions",
}
SUMMARY = ("mean", "min", "p5", "median", "p95", "max")
MOST_KINDS = 10
"""Kinds of question in the picture; the table has all."""

STYLE = """
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.2rem 1.6rem; }
.panels figure { margin: 0; } .panels figcaption { font-weight: 600; }
.panels .facts { font-weight: 400; display: block; }
"""


def statistics_values(sources: Sequence[Statistics]) -> dict[str, Any]:
    """Everything that was counted, as plain values; sizes and presences are percent."""
    total = overall(sources)
    bins = _all_bins(total)
    return {
        "schema": SCHEMA,
        "measures": {key: {"title": one.title, "unit": one.x} for key, one in MEASURES.items()},
        "sources": [_values_of(source, bins) for source in sources],
        "overall": _values_of(total, bins),
    }


def _values_of(source: Statistics, bins: dict[str, Bins]) -> dict[str, Any]:
    tasks: dict[str, dict[str, int]] = {}
    for (task, kind), count in sorted(source.tasks.items()):
        tasks.setdefault(task, {})[kind] = count
    measures = {
        key: values.summary() | {"histogram": {"from": bins[key].edges, "count": values.histogram(bins[key])}}
        for key, values in source.measures.items()
    }
    return {
        "name": source.name,
        "videos": len(source.videos),
        "counts": dict(source.counts),
        "tasks": tasks,
        "measures": measures,
        "left_out": dict(source.defects),
    }


def _all_bins(total: Statistics) -> dict[str, Bins]:
    return {key: one.bins or whole_bins(total.measures[key]) for key, one in MEASURES.items()}


def _number_rows(sources: Sequence[Statistics]) -> tuple[list[str], list[list[str | int]]]:
    """Heads and rows of the table of sources."""
    shown = [*sources, overall(sources)] if len(sources) != 1 else list(sources)
    rows: list[list[str | int]] = []
    for one in shown:
        numbers = [len(one.videos), *(one.counts[key] for key in list(NUMBERS)[1:])]
        rows.append([one.name, *(f"{number:,}" for number in (*numbers, one.defects.total()))])
    return ["source", *NUMBERS.values(), "defects"], rows


def _task_rows(total: Statistics) -> tuple[list[str], list[list[str | int]]]:
    """Heads and rows of the table of tasks and kinds, the most frequent task first."""
    by_task = _task_counts(total)
    whole = sum(by_task.values())
    rows: list[list[str | int]] = []
    for task in sorted(by_task, key=lambda name: (-by_task[name], name)):
        rows.append([task, "", f"{by_task[task]:,}", f"{100 * by_task[task] / whole:.1f}%"])
        kinds = {kind: count for (name, kind), count in total.tasks.items() if name == task and kind}
        for kind in sorted(kinds, key=lambda name: (-kinds[name], name)):
            rows.append(["", kind, f"{kinds[kind]:,}", f"{100 * kinds[kind] / whole:.1f}%"])
    return ["task", "kind", "turns", "share"], rows


def _task_counts(source: Statistics) -> dict[str, int]:
    counts: dict[str, int] = {}
    for (task, _), count in source.tasks.items():
        counts[task] = counts.get(task, 0) + count
    return counts


def _measure_rows(source: Statistics) -> tuple[list[str], list[list[str | int]]]:
    rows: list[list[str | int]] = []
    for key, measure in MEASURES.items():
        summary = source.measures[key].summary()
        if summary["num"]:
            numbers = (_number(summary[name]) for name in SUMMARY)
            rows.append([measure.title, measure.x, f"{summary['num']:,}", *numbers])
    return ["measure", "unit", "values", *SUMMARY], rows


def format_text(sources: Sequence[Statistics]) -> str:
    """The tables for a terminal: measures of all sources together, the page and the values have those of each."""
    total = overall(sources)
    lines = align_table(*_number_rows(sources))
    if total.tasks:
        lines += ["", *align_table(*_task_rows(total))]
    heads, rows = _measure_rows(total)
    if rows:
        lines += ["", *align_table(heads, rows)]
    return "\n".join([*lines, *_left_out_lines(total)])


def _left_out_lines(total: Statistics) -> Iterator[str]:
    if total.defects:
        yield ""
        found = format_counts(total.defects)
        yield f"What these defects cost is left out: {found}; `sama data check` says where."


def format_html(sources: Sequence[Statistics]) -> str:
    """The page: tables and pictures, nothing beside it."""
    total = overall(sources)
    names = [source.name for source in sources]
    body = [
        "<h1>Data statistics</h1>",
        f'<p class="faint">{escape(_sentence(total))}</p>',
        format_table(*_number_rows(sources)),
    ]
    if total.counts["records"]:
        body += [
            draw_legend(names) if len(sources) > 1 else "",
            f'<div class="panels">{"".join(_panels(sources, total))}</div>',
            "<h2>Tasks and kinds</h2>",
            format_table(*_task_rows(total)),
            "<h2>Numbers</h2>",
        ]
        for one in [*sources, total] if len(sources) > 1 else [total]:
            body += [f"<h3>{escape(one.name)}</h3>", format_table(*_measure_rows(one))]
    if total.defects:
        rows = [[code, RULES[code].meaning, f"{count:,}"] for code, count in total.defects.most_common()]
        body += ["<h2>Defects whose cost is left out</h2>", format_table(["code", "meaning", "times"], rows)]
    return format_page("Data statistics", body, style=CHART_STYLE + STYLE)


def _sentence(total: Statistics) -> str:
    counts = total.counts
    if not counts["records"]:
        return "There are no records."
    questions = f"{counts['turns']:,} questions in {counts['dialogues']:,} dialogues"
    return f"{questions} and {counts['descriptions']:,} descriptions of objects, of {len(total.videos):,} videos."


def _panels(sources: Sequence[Statistics], total: Statistics) -> Iterator[str]:
    """A picture of the tasks, one of the kinds, and one of each measure."""
    by_task = _task_counts(total)
    tasks = sorted(by_task, key=lambda name: (-by_task[name], name))
    own = {source.name: _task_counts(source) for source in sources}
    series = {name: [counts.get(task, 0) for task in tasks] for name, counts in own.items()}
    yield _panel("Tasks", "turns and descriptions", draw_rows(tasks, series, title="Turns of each task"))
    pairs = [pair for pair, _ in total.tasks.most_common() if pair[1]][:MOST_KINDS]
    if pairs:
        series = {source.name: [source.tasks[pair] for pair in pairs] for source in sources}
        labels = [f"{task} / {kind}" for task, kind in pairs]
        yield _panel("Kinds", "the most frequent", draw_rows(labels, series, title="Turns of each kind"))
    bins = _all_bins(total)
    for key, measure in MEASURES.items():
        values = total.measures[key]
        if len(values):
            series = {source.name: source.measures[key].histogram(bins[key]) for source in sources}
            picture = draw_columns(bins[key].labels, series, title=measure.title, x=measure.x)
            yield _panel(measure.title, _facts(values), picture)


def _panel(title: str, facts: str, picture: str) -> str:
    caption = f'{escape(title)} <span class="faint facts">{escape(facts)}</span>'
    return f"<figure><figcaption>{caption}</figcaption>{picture}</figure>"


def _facts(values: Distribution) -> str:
    summary = values.summary()
    return ", ".join(
        f"{words} {_number(summary[name])}"
        for words, name in (("median", "median"), ("mean", "mean"), ("at most", "max"))
    )


def _number(value: float) -> str:
    """Whole numbers as they are, others to about three digits."""
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.{1 if value >= 1 else 3}f}"
