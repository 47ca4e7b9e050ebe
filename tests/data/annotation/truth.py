"""Whether a dialogue by rules is true of the masks: worked out anew, from pixels and from the text alone.

Limits here are looser than the writer's, so that a true statement passes however it was measured.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sama_plugin.data.annotation.rounds import TaggedRound, tags_in
from sama_plugin.data.annotation.tracks import TrackedVideo
from sama_plugin.media.masks import decode_track

ENDS = 3
SPAN = re.compile(r"from (\d+)% to (\d+)%", re.IGNORECASE)


class Truth:
    """Masks of a video: (K, T, H, W) bool, and what pixels say."""

    def __init__(self, video: TrackedVideo):
        self.video = video
        size = (video.height, video.width)
        self.masks = np.stack([decode_track(thing.track, size) for thing in video.objects])
        self.areas = self.masks.mean(axis=(2, 3))
        self.seen = self.areas > 0
        ys, xs = (np.arange(n) + 0.5 for n in size)
        with np.errstate(invalid="ignore"):
            total = self.masks.sum(axis=(2, 3))
            self.x = (self.masks.sum(2) * xs).sum(-1) / total / size[1]
            self.y = (self.masks.sum(3) * ys).sum(-1) / total / size[0]

    def frames(self, n: int) -> np.ndarray:
        return np.flatnonzero(self.seen[n])

    def xy(self, n: int, frames: np.ndarray) -> np.ndarray:
        return np.array([self.x[n, frames].mean(), self.y[n, frames].mean()])

    def start(self, n: int) -> np.ndarray:
        return self.xy(n, self.frames(n)[:ENDS])

    def end(self, n: int) -> np.ndarray:
        return self.xy(n, self.frames(n)[-ENDS:])

    def runs(self, n: int) -> list[tuple[int, int]]:
        edges = np.flatnonzero(np.diff(np.pad(self.seen[n].astype(int), 1)))
        return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    # Statements.

    def is_at(self, words: str, place: np.ndarray) -> bool:
        x, y = place
        words = words.lower()
        checks = {"left": x < 0.5, "right": x > 0.5, "upper": y < 0.5, "top": y < 0.5}
        checks |= {"lower": y > 0.5, "bottom": y > 0.5}
        said = [check for word, check in checks.items() if word in words]
        return bool(all(said)) if said else "middle" in words and bool(max(abs(x - 0.5), abs(y - 0.5)) < 0.1)

    def moves(self, words: str, n: int) -> bool:
        frames = self.frames(n)
        ways = np.stack([self.x[n, frames], self.y[n, frames]], axis=1) - self.start(n)
        net = self.end(n) - self.start(n)
        far = ways[np.linalg.norm(ways, axis=1).argmax()]
        if "stays where it is" in words:
            return bool(np.linalg.norm(far) < 0.08)
        if "comes back" in words:
            return bool(np.linalg.norm(net) < 0.08 < np.linalg.norm(far)) and self._along(words, far)
        return bool(np.linalg.norm(net) > 0.12) and self._along(words, net)

    def _along(self, words: str, step: np.ndarray) -> bool:
        dx, dy = step
        checks = {
            "left": dx < 0,
            "right": dx > 0,
            "up": dy < 0,
            "down": dy > 0,
            "upper": dy < 0,
            "lower": dy > 0,
        }
        said = [check for word, check in checks.items() if re.search(rf"\b{word}\b", words.lower())]
        return bool(said) and bool(all(said))

    def grows(self, words: str, n: int) -> bool:
        areas = self.areas[n, self.frames(n)]
        ratio = areas[-ENDS:].mean() / areas[:ENDS].mean()
        if "larger" in words:
            return bool(ratio > 1.5)
        return bool(ratio < 0.67) if "smaller" in words else bool(areas.max() < 1.3 * areas.min())

    def is_visible(self, words: str, n: int) -> bool:
        spans = [(int(a) / 100, int(b) / 100) for a, b in SPAN.findall(words)]
        runs = [(first / self.seen.shape[1], (last + 1) / self.seen.shape[1]) for first, last in self.runs(n)]
        return len(spans) == len(runs) and all(
            abs(a - c) <= 0.0501 and abs(b - d) <= 0.0501 for (a, b), (c, d) in zip(spans, runs, strict=True)
        )

    def has(self, what: str, n: int) -> bool:
        last = self.seen.shape[1] - 1
        if "stay where" in what:
            return self.moves("stays where it is", n)
        if what.startswith("move"):
            return self.moves(what, n) and not self.moves("comes back", n)
        if what.startswith("become"):
            return self.grows(what, n)
        if "leave" in what:
            return not self.seen[n, last]
        return not self.seen[n, 0] if "come into view" in what else bool(self.seen[n].all())

    def lacks(self, what: str, n: int) -> bool:
        if not what.startswith("move"):
            return not self.has(what, n)
        dx, dy = self.end(n) - self.start(n)
        return bool(
            next(v for w, v in {"left": -dx, "right": dx, "up": -dy, "down": dy}.items() if w in what) < 0.08
        )

    def moment(self, text: str) -> int:
        assert ("at the start" in text.lower()) != ("at the end" in text.lower()), text
        return 0 if "at the start" in text.lower() else self.seen.shape[1] - 1


@dataclass
class Compared:
    """The last comparison: its objects, question and kind, and what was found."""

    objects: list[int]
    question: str
    kind: str
    winner: int


def false_statements(truth: Truth, rounds: Sequence[TaggedRound]) -> list[str]:
    """Rounds that are not true, or whose `it` or `the other` means nothing."""
    found = []
    topic: int | None = None
    compared: Compared | None = None
    for one in rounds:
        targets = [n for numbers in one.targets for n in numbers]
        regions = one.regions
        is_about_it = one.kind.startswith("it_")
        if one.kind in ("others", "next", "moment"):
            if compared is None or not _followup_is_true(truth, one, targets, compared):
                found.append(str(one))
        elif is_about_it and topic is None:
            found.append(f"no topic: {one}")
            continue
        elif not is_true(truth, one, one.kind.removeprefix("it_"), [topic] * is_about_it + regions, targets):
            found.append(str(one))
        if one.kind == "moment" and compared is not None:
            moments = [
                re.findall("at the (?:start|end) of the video", q, re.I)[0]
                for q in (compared.question, one.question)
            ]
            compared = Compared(
                compared.objects, compared.question.replace(*moments), compared.kind, targets[0]
            )
        elif len(regions) > 1 and len(targets) == 1:
            objects = [n for n in regions if n != _anchor(one.question)]
            compared = Compared(objects, one.question, one.kind, targets[0])
        elif not is_about_it:
            compared = None
        if not is_about_it:
            topic = targets[0] if len(targets) == 1 else regions[0] if len(regions) == 1 else None
    return found


def _followup_is_true(truth: Truth, one: TaggedRound, targets: list[int], compared: Compared) -> bool:
    rest = [n for n in compared.objects if n != compared.winner]
    if one.kind == "others":
        return sorted(targets) == sorted(rest)
    if one.kind == "next":
        return [_winner(truth, compared.kind, compared.question, rest)] == targets
    question = "at the end" if "at the end" in one.question else "at the start"
    base = re.sub("at the (start|end)", question, compared.question)
    return [_winner(truth, compared.kind, base, compared.objects)] == targets


def _anchor(question: str) -> int | None:
    found = re.findall(r"(?:nearest|closest) to <obj(\d+)>", question)
    return int(found[0]) if found else None


def is_true(
    truth: Truth,
    one: TaggedRound,
    kind: str,
    regions: list[int],
    targets: list[int],
) -> bool:
    answer, question = one.answer, one.question
    first = regions[0] if regions else -1
    if kind == "place_start":
        return truth.is_at(answer, truth.start(first))
    if kind == "place_end":
        return truth.is_at(answer, truth.end(first))
    if kind == "way":
        return truth.moves(answer, first)
    if kind == "shift":
        words = answer.lower().replace("higher", "up").replace("lower", "down")
        return truth._along(words, truth.end(first) - truth.start(first))
    if kind == "growth":
        return truth.grows(answer, first)
    if kind == "when":
        return truth.is_visible(answer, first)
    if kind == "views":
        return {"Once.": 1, "Twice.": 2, "Three times.": 3}[answer] == len(truth.runs(first))
    if kind == "half":
        half = truth.seen.shape[1] // 2
        ways = [np.stack([truth.x[first, s], truth.y[first, s]]) for s in (slice(half), slice(half, None))]
        spread = [np.linalg.norm(way.max(1) - way.min(1)) for way in ways]
        return bool(spread["second" in answer] > 1.5 * spread["first" in answer])
    if kind == "segment":
        return targets == [first]
    if kind in ("side", "keeps_side", "larger", "approach", "crossing", "contact", "contact_when"):
        return _pair_is_true(truth, one, kind, *regions)
    if kind == "named":
        name = next(thing for k, thing in enumerate(truth.video.objects) if [k] == targets).name
        return name in question and sum(thing.name == name for thing in truth.video.objects) == 1
    if kind == "those":
        what = re.sub(r"^.*<obj\d+> (?:that )?|\.$|\? Segment them\.$", "", question)
        others = [n for n in regions if n not in targets]
        return all(truth.has(what, n) for n in targets) and all(truth.lacks(what, n) for n in others)
    if kind == "describe":
        clauses = re.split(r"(?=<p>)", answer)[1:]
        return targets == regions and all(truth.moves(text, tags_in(text)[0]) for text in clauses)
    return _winner(truth, kind, question, regions) == targets[0] and _detail_is_true(truth, one, targets[0])


def _detail_is_true(truth: Truth, one: TaggedRound, n: int) -> bool:
    """What an answer says of the object that it found."""
    more = one.answer[one.answer.rindex(">") + 1 :].strip(" .")
    if more.startswith(": it"):
        return truth.moves(more, n)
    return not more or truth.is_at(more, truth.xy(n, np.array([truth.moment(one.question)])))


def _pair_is_true(truth: Truth, one: TaggedRound, kind: str, a: int, b: int) -> bool:
    answer, question = one.answer.lower(), one.question.lower()
    both = truth.seen[a] & truth.seen[b]
    if kind == "side":
        frame = truth.moment(question)
        if "left or to the right" in question:
            return bool((truth.x[a, frame] < truth.x[b, frame]) == ("left" in answer))
        return bool((truth.y[a, frame] < truth.y[b, frame]) == ("higher" in answer))
    if kind == "larger":
        return bool(((truth.areas[a] > truth.areas[b])[both] == answer.startswith("yes")).all())
    if kind == "approach":
        gaps = np.hypot(truth.x[a] - truth.x[b], truth.y[a] - truth.y[b])[both]
        return bool((gaps[-ENDS:].mean() < gaps[:ENDS].mean()) == ("closer" in answer))
    if kind.startswith("contact"):
        frames = np.flatnonzero(both)
        gaps = np.array([_gap(truth.masks[a, t], truth.masks[b, t]) for t in frames]) / max(
            truth.masks.shape[2:]
        )
        if kind == "contact":
            return bool((gaps < 0.015).any()) if answer.startswith("yes") else bool((gaps > 0.015).all())
        first, last = one.span  # type: ignore[misc]
        return bool((gaps[(frames >= first) & (frames <= last)] < 0.015 + 1 / 64).all()) and _spans(
            truth, answer, first, last
        )
    beyond = {
        "left": truth.x[a] < truth.x[b],
        "right": truth.x[a] > truth.x[b],
        "above": truth.y[a] < truth.y[b],
        "below": truth.y[a] > truth.y[b],
    }
    asked = next(word for word in beyond if word in question)
    if kind == "crossing":
        frames = np.flatnonzero(both)
        is_later = frames >= one.span[0]  # type: ignore[index]
        start = int(re.findall(r"(\d+)%", answer)[0]) / 100
        close = abs(start - one.span[0] / truth.seen.shape[1]) <= 0.0501  # type: ignore[index]
        return bool(close and (beyond[asked][frames] == is_later).all())
    if answer.startswith("yes"):
        return bool(beyond[asked][both].all())
    told = [word for word in beyond if word in answer]
    if "always" in answer:
        return bool(beyond[told[0]][both].all())
    frames = np.flatnonzero(both)
    told.sort(key=answer.index)
    return bool(beyond[told[0]][frames[0]] and beyond[told[1]][frames[-1]])


def _spans(truth: Truth, answer: str, first: int, last: int) -> bool:
    (said,) = SPAN.findall(answer)
    count = truth.seen.shape[1]
    return (
        abs(int(said[0]) / 100 - first / count) <= 0.0501
        and abs(int(said[1]) / 100 - (last + 1) / count) <= 0.0501
    )


def _gap(one: np.ndarray, other: np.ndarray) -> float:
    """Pixels between two masks, along the axis in which they are further apart; 0 where they touch."""
    a, b = np.argwhere(one)[:, None], np.argwhere(other)[None]
    return max(float(np.abs(a - b).max(-1).min()) - 1, 0.0)


def _winner(truth: Truth, kind: str, question: str, regions: Sequence[int]) -> int:
    """The one object that a comparison means."""
    if kind == "extreme":
        frame = truth.moment(question)
        sign, values = next(
            (sign, values[:, frame])
            for word, sign, values in (
                ("to the left", -1, truth.x),
                ("to the right", 1, truth.x),
                ("furthest up", -1, truth.y),
                ("furthest down", 1, truth.y),
            )
            if word in question
        )
        assert all(truth.seen[n, frame] for n in regions), question
        return max(regions, key=lambda n: sign * values[n])
    if kind == "area":
        sign = 1 if "the most" in question else -1
        return max(regions, key=lambda n: sign * truth.areas[n, truth.frames(n)].mean())
    if kind == "moved":
        return max(regions, key=lambda n: np.linalg.norm(truth.end(n) - truth.start(n)))
    if kind == "first":
        return min(regions, key=lambda n: truth.frames(n)[0])
    assert kind == "nearest", kind
    frame = truth.moment(question)
    anchor = _anchor(question)
    assert anchor is not None
    rest = [n for n in regions if n != anchor]
    return min(rest, key=lambda n: np.hypot(*(v[n, frame] - v[anchor, frame] for v in (truth.x, truth.y))))
