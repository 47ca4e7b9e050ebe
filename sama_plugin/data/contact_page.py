"""Samples as a page to browse: pictures beside dialogues, a filter by task and id, keys for next and previous."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from sama_plugin.data.report_page import format_page
from sama_plugin.data.shown_dialogue import (
    Piece,
    Thing,
    answer_pieces,
    describe_thing,
    question_pieces,
    task_words,
)
from sama_plugin.data.shown_sample import ShownSample, Tile, shown_columns
from sama_plugin.media.marks import Rgb, ink_on

UNFOLDED_TURNS = 12
"""Turns of a sample that are open at first; the rest unfolds."""

STYLE = """
body { max-width: 84rem; } header { position: sticky; top: 0; background: var(--paper); padding: .4rem 0;
  border-bottom: 1px solid var(--rule); z-index: 1; display: flex; flex-wrap: wrap; gap: .4rem 1.2rem;
  align-items: baseline; } header h1 { font-size: 1.15rem; margin: 0; }
select, input { font: inherit; color: inherit; background: var(--field); border: 1px solid var(--rule);
  border-radius: .3rem; padding: .1rem .4rem; }
kbd { background: var(--field); border-radius: .2rem; padding: 0 .3rem; }
article { padding: 1rem 0 1.4rem; border-bottom: 1px solid var(--rule); scroll-margin-top: 3.2rem; }
article h2 { font-size: 1.05rem; margin: 0 0 .6rem; overflow-wrap: anywhere; }
article h2 .faint { font-weight: 400; font-size: .9rem; margin-left: .6rem; }
.sample { display: grid; grid-template-columns: minmax(0, 1.25fr) minmax(0, 1fr); gap: 1.4rem; }
@media (max-width: 52rem) { .sample { grid-template-columns: minmax(0, 1fr); } }
.frames { display: grid; gap: .6rem; } figure { margin: 0; }
figure img { width: 100%; height: auto; border-radius: .3rem; display: block; } figcaption { font-size: .85rem; }
ol.turns, ol.more { margin: 0; padding: 0; list-style: none; }
ol.turns > li, ol.more > li { padding: 0 0 .7rem; } .task { font-size: .85rem; } .turn p { margin: .1rem 0;
  overflow-wrap: anywhere; white-space: pre-wrap; } .question { font-weight: 600; }
.phrase { border-bottom: .2rem solid var(--c); } .mark { background: var(--c); color: var(--on); border-radius: .25rem;
  padding: 0 .35rem; font-size: .85em; font-weight: 600; } .none { border: 1px solid var(--rule); }
ul.things { list-style: none; padding: .6rem 0 0; margin: 0; border-top: 1px solid var(--rule); font-size: .9rem; }
ul.things li { padding: .1rem 0; } [hidden] { display: none !important; }
"""

SCRIPT = """
const articles = [...document.querySelectorAll('article')];
const task = document.getElementById('task'), id = document.getElementById('id');
const shown = () => articles.filter(one => !one.hidden);
function filter() {
  for (const one of articles)
    one.hidden = !((!task.value || JSON.parse(one.dataset.tasks).includes(task.value))
      && one.dataset.id.toLowerCase().includes(id.value.toLowerCase()));
  document.getElementById('count').textContent = shown().length + ' of ' + articles.length;
}
function step(by) {
  const open = shown(), line = document.querySelector('header').getBoundingClientRect().bottom + 12;
  const now = open.findLastIndex(one => one.getBoundingClientRect().top <= line);
  const inside = now >= 0 && by < 0 && open[now].getBoundingClientRect().top < line - 40;
  const next = open[Math.max(0, Math.min(open.length - 1, inside ? now : now + by))];
  if (next) next.scrollIntoView();
}
task.onchange = id.oninput = filter;
document.onkeydown = event => {
  if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT/.test(event.target.tagName)) return;
  const by = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 }[event.key];
  if (by) { event.preventDefault(); step(by); }
};
filter();
"""


class Article(NamedTuple):
    """A sample on the page.

    Attributes:
        html: of the article.
        tasks: that its turns exercise.
    """

    html: str
    tasks: frozenset[str]


def format_contact_page(title: str, articles: Sequence[Article], notes: Sequence[str]) -> str:
    """The page.

    Args:
        title: plain text.
        articles: in their order.
        notes: plain text: what was left out, and why.
    """
    counts = Counter(task for article in articles for task in article.tasks)
    options = "".join(
        f'<option value="{escape(task)}">{escape(task)} ({count})</option>'
        for task, count in sorted(counts.items())
    )
    header = (
        f'<header><h1>{escape(title)}</h1><label>task <select id="task"><option value="">any</option>{options}'
        '</select></label><label>id <input id="id" size="14"></label><span id="count" class="faint"></span>'
        '<span class="faint"><kbd>j</kbd> <kbd>→</kbd> next, <kbd>k</kbd> <kbd>←</kbd> previous</span></header>'
    )
    told = [f'<p class="found">{escape(note)}</p>' for note in notes]
    return format_page(
        title, [header, *told, *(article.html for article in articles)], style=STYLE, script=SCRIPT
    )


def format_article(shown: ShownSample, pictures: Sequence[str]) -> Article:
    """A sample for the page.

    Args:
        shown: the sample.
        pictures: address of the picture of each of its tiles.
    """
    sample = shown.sample
    tasks = sorted({turn.task for turn in sample.turns})
    facts = ", ".join(part for part in (sample.source, sample.video_path, shown.facts) if part)
    html = (
        f'<article data-id="{escape(sample.sample_id)}" data-tasks="{escape(json.dumps(tasks))}">'
        f'<h2>{escape(sample.sample_id)}<span class="faint">{escape(facts)}</span></h2><div class="sample">'
        f'<div>{_frames(shown, pictures)}</div><div>{_dialogue(shown)}<ul class="things">{_legend(shown)}</ul>'
        "</div></div></article>"
    )
    return Article(html, frozenset(tasks))


def _frames(shown: ShownSample, pictures: Sequence[str]) -> str:
    if not shown.tiles:
        return f'<p class="faint">{"No frames, see below." if shown.faults else "Text alone."}</p>'
    figures = (_figure(tile, address) for tile, address in zip(shown.tiles, pictures, strict=True))
    columns = f"grid-template-columns: repeat({shown_columns(shown.tiles)}, 1fr)"
    return f'<div class="frames" style="{columns}">{"".join(figures)}</div>'


def _figure(tile: Tile, address: str) -> str:
    height, width = tile.picture.shape[:2]
    alt = f"{tile.caption}: {', '.join(tile.labels) or 'no object'}"
    return (
        f'<figure><img loading="lazy" src="{escape(address)}" width="{width}" height="{height}" '
        f'alt="{escape(alt)}"><figcaption class="faint">{escape(tile.caption)}</figcaption></figure>'
    )


def _dialogue(shown: ShownSample) -> str:
    turns = [
        f'<li class="turn"><div class="task faint">{number} · {escape(task_words(turn))}</div>'
        f'<p class="question">{_text(question_pieces(turn), shown.things)}</p>'
        f"<p>{_text(answer_pieces(turn), shown.things)}</p></li>"
        for number, turn in enumerate(shown.sample.turns, start=1)
    ]
    first, rest = turns[:UNFOLDED_TURNS], turns[UNFOLDED_TURNS:]
    more = (
        f'<details><summary>{len(rest)} more turns</summary><ol class="more">{"".join(rest)}</ol></details>'
    )
    return f'<ol class="turns">{"".join(first)}</ol>{more if rest else ""}'


def _text(pieces: Sequence[Piece], things: Mapping[str, Thing]) -> str:
    return "".join(part for piece in pieces for part in _parts(piece, things))


def _parts(piece: Piece, things: Mapping[str, Thing]) -> Iterator[str]:
    """HTML of a piece of text."""
    if piece.role == "mark":
        yield from (_mark(things[mask_id]) for mask_id in piece.ids)
        if not piece.ids:
            yield '<span class="mark none">none</span>'
    elif piece.ids:
        colour = _css(things[piece.ids[0]].colour)
        yield f'<span class="phrase" style="--c: {colour}">{escape(piece.text)}</span>'
    else:
        yield escape(piece.text)


def _mark(thing: Thing) -> str:
    colours = f"--c: {_css(thing.colour)}; --on: {_css(ink_on(thing.colour))}"
    return f'<span class="mark" style="{colours}">{thing.number}</span>'


def _css(colour: Rgb) -> str:
    return "rgb({}, {}, {})".format(*colour)


def _legend(shown: ShownSample) -> str:
    things = "".join(f"<li>{_mark(thing)} {escape(describe_thing(thing))}</li>" for thing in shown.drawn)
    return things + "".join(f'<li class="found">{escape(note)}</li>' for note in shown.notes)
