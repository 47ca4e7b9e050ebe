"""What `sama data check` found, as text, as JSON values (`sama.check/1`) and as a page that needs no other file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from sama_plugin.data.checking import SourceReport
from sama_plugin.data.defects import RULES, Defect
from sama_plugin.data.report_page import format_page

SCHEMA = "sama.check/1"
COSTS = {
    "file": "everything that the file is for",
    "record": "the record",
    "round": "the round",
    "description": "the description",
    "mask": "rounds and descriptions that mean the mask",
    "video": "samples about the video, when they are opened",
    "nothing": "nothing",
}
"""What a defect makes the reader leave out, in words."""

PAGE_ROWS = 500
"""Defects of one code and source on the page; the JSON report has all."""

OPEN_ROWS = 20
"""So many defects of a code are shown without a click."""

STYLE = """
.defects { table-layout: fixed; } .defects th:nth-child(1) { width: 4rem; } .defects th:nth-child(2) { width: 18rem; }
.defects th:nth-child(3) { width: 8rem; } td { overflow-wrap: anywhere; }
"""


def format_codes() -> str:
    """The table of codes: what each means and what it costs."""
    width = max(map(len, RULES))
    lines = [f"{rule.code:<{width}}  {rule.meaning}. Costs: {COSTS[rule.costs]}." for rule in RULES.values()]
    return "\n".join(lines)


def format_text(reports: Sequence[SourceReport], show: int) -> str:
    """The report for a terminal.

    Args:
        reports: one per source.
        show: defects of each code and source that are shown one by one.
    """
    return "\n".join(line for report in reports for line in [*_source_lines(report, show), ""]) + _verdict(
        reports
    )


def report_values(reports: Sequence[SourceReport]) -> dict[str, Any]:
    """The report as plain values, every defect in it."""
    return {
        "schema": SCHEMA,
        "clean": not any(report.defects for report in reports),
        "codes": {rule.code: {"meaning": rule.meaning, "costs": rule.costs} for rule in RULES.values()},
        "sources": [
            {
                "records": str(report.files.records),
                "masks": str(report.files.masks),
                "media": str(report.files.video_root),
                "counts": dict(report.counts),
                "by_code": {code: len(found) for code, found in report.by_code.items()},
                "defects": [
                    dataclasses.asdict(defect) | {"video": _video(report, defect)}
                    for defect in report.defects
                ],
            }
            for report in reports
        ],
    }


def format_html(reports: Sequence[SourceReport]) -> str:
    """The report as a page: styles inside, no script, all text escaped."""
    is_clean = not any(report.defects for report in reports)
    rows = "".join(
        f"<tr><td>{escape(str(report.files.records))}</td>"
        + "".join(f'<td class="n">{count}</td>' for count in _numbers(report).values())
        + f'<td class="n">{len(report.defects)}</td></tr>'
        for report in reports
    )
    heads = (
        "".join(f'<th class="n">{name}</th>' for name in [*_numbers(reports[0]), "defects"])
        if reports
        else ""
    )
    body = [
        f'<h1>Data check</h1><p class="{"clean" if is_clean else "found"}">{escape(_verdict(reports))}</p>',
        f"<table><tr><th>source</th>{heads}</tr>{rows}</table>",
        *(part for report in reports for part in _source_sections(report)),
    ]
    return format_page("sama data check", body, style=STYLE)


def _verdict(reports: Sequence[SourceReport]) -> str:
    count = sum(len(report.defects) for report in reports)
    records = sum(report.counts["records"] for report in reports)
    return f"{count} defects in {records} records." if count else f"No defect in {records} records."


def _numbers(report: SourceReport) -> dict[str, str]:
    counts = report.counts
    return {
        "records": f"{counts['records']}",
        "rounds kept": f"{counts['rounds_kept']} of {counts['rounds']}",
        "descriptions kept": f"{counts['descriptions_kept']} of {counts['descriptions']}",
        "objects": f"{counts['objects']}",
    }


def _source_lines(report: SourceReport, show: int) -> Iterator[str]:
    numbers = ", ".join(f"{number} {name}" for name, number in _numbers(report).items())
    yield f"{report.files.records}: {numbers}"
    for code, found in report.by_code.items():
        yield f"  {len(found)} {code}: {RULES[code].meaning}; costs {COSTS[RULES[code].costs]}"
        for defect in found[:show]:
            yield f"      {_where(report, defect)}{defect.message}"
        if len(found) > show > 0:
            yield f"      ... and {len(found) - show} more"


def _where(report: SourceReport, defect: Defect) -> str:
    if defect.record is None:
        return ""
    video = _video(report, defect)
    place = f", {defect.place}" if defect.place else ""
    return f"record {defect.record}{f' ({video})' if video else ''}{place}: "


def _video(report: SourceReport, defect: Defect) -> str:
    return report.videos.get(defect.record, "") if defect.record is not None else ""


def _source_sections(report: SourceReport) -> Iterator[str]:
    if report.defects:
        yield f"<h2>{escape(str(report.files.records))}</h2>"
    for code, found in report.by_code.items():
        rule = RULES[code]
        rows = "".join(
            f'<tr><td class="n">{"" if defect.record is None else defect.record}</td>'
            f"<td>{escape(_video(report, defect))}</td><td>{escape(defect.place)}</td>"
            f"<td>{escape(defect.message)}</td></tr>"
            for defect in found[:PAGE_ROWS]
        )
        more = f"<p>... and {len(found) - PAGE_ROWS} more.</p>" if len(found) > PAGE_ROWS else ""
        is_open = " open" if len(found) <= OPEN_ROWS else ""
        what = (
            f"<b>{len(found)}</b> <code>{code}</code>: {_with_code(rule.meaning)} (costs {COSTS[rule.costs]})"
        )
        heads = "<th class='n'>record</th><th>video</th><th>place</th><th>what</th>"
        table = f"<table class='defects'><tr>{heads}</tr>{rows}</table>{more}"
        yield f"<details{is_open}><summary>{what}</summary>{table}</details>"


def _with_code(text: str) -> str:
    """Escaped, what stands between backticks as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))
