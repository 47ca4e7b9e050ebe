"""The small world: facts of a scene → dialogues of 2 to 5 rounds in short, regular English.

Every question has one to three wordings and exactly one right answer. Questions about what is not there use
the same wordings as those about what is. `answer_key` is the answer in lower case, without full stop and
leading `it`, `a` or `the`; `40-70` for a span in percent; `none` where the answer is that there is nothing;
None where the answer is masks only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from sama_plugin.constants import DATA_REGION, PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.data.shapes.world import (
    COLOURS,
    FIXED_SIZES,
    GROWING,
    HELD_OUT_PAIRS,
    SHAPES,
    TRAVELLING,
    Scene,
    SceneObject,
    sample_scene,
)

NONE_SHARE = 0.33
MULTI_TURN_SHARE = 0.57
"""Share of later rounds that need an earlier one, where the dialogue so far allows it."""

FORM_TRIES = 6
"""Tries to find something to ask in a chosen form, so that forms do not tell whether there is an answer."""

GROWING_MISS_SHARE = 0.12
MAX_TARGETS = 4
MIN_EVENT_GAP = 0.15
"""Events compared in order are apart by at least this share of the clip."""

ROUND_COUNTS, ROUND_SHARES = (2, 3, 4, 5), (0.2, 0.35, 0.3, 0.15)

NUMBERLESS_MOTIONS = {"still": "stays still", "grow": "grows", "blink": "blinks", "late": "appears late"}
EVENT_VERBS = {"stop": "stops", "back": "turns back", "blink": "blinks", "late": "appears", "leave": "leaves"}
RELATION_VERBS = {
    "hit": ("hit", "hits"),
    "follow": ("follow", "follows"),
    "behind": ("pass behind", "passes behind"),
}

WORDINGS: dict[str, tuple[str, ...]] = {
    "name": ("What is {r}?", "What object is {r}?"),
    "colour": ("What colour is {r}?", "Which colour does {r} have?"),
    "shape": ("What shape is {r}?", "Which shape does {r} have?"),
    "size": ("How large is {r}?", "What size is {r}?"),
    "motion": ("What does {r} do?", "How does {r} move?"),
    "relation_target": ("What does {r} {verb}?",),
    "relation_subject": ("What {verbs} {r}?",),
    "order": ("Which comes first: {r} {verb} or {r} {other_verb}?",),
    "segment": ("Segment {x}.", "Find {x}."),
    "where": ("Segment {x}.", "Find {x}.", "Where is {x}?"),
    "several": ("Segment all {x}s.", "Find all {x}s.", "Segment every {x}."),
    "describe": ("Describe the video with masks.", "Describe all objects with masks."),
    "when_visible": ("When is {r} visible?",),
    "when_moves": ("When does {r} move?",),
    "when_blinks": ("When does {r} blink?",),
    "it_segment": ("Segment it.", "Find it."),
    "other": ("Segment another one of the same {x}.", "Find another one of the same {x}."),
    "larger": ("Is {r} larger than {r}?",),
}
NO_OTHER = "There is no other one."


@dataclass(frozen=True)
class Round:
    """One question and its answer.

    Attributes:
        question: text with one `<mask>` per entry of `regions`.
        answer: text with one `[SEG]` per entry of `targets`.
        regions: object index of each `<mask>`.
        targets: object index of each `[SEG]`.
        task, kind: what it exercises.
        span: (first, last) frame the answer speaks of, or None.
        needs_history: whether it cannot be answered without the earlier rounds.
        refers: for each `<mask>`, the 0-based number of the earlier `[SEG]` it means, or None.
        answer_key: short canonical answer, see the module's text.
    """

    question: str
    answer: str
    regions: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    task: str = "referring"
    kind: str = "name"
    span: tuple[int, int] | None = None
    needs_history: bool = False
    refers: tuple[int | None, ...] = ()
    answer_key: str | None = None


@dataclass
class _Dialogue:
    """A dialogue in the making.

    `told` holds what was said, so that no round repeats another in other words; `grounded` the object of each
    `[SEG]` so far; `topic` is the one object `it` would mean, if any.
    """

    scene: Scene
    visible: np.ndarray
    rng: np.random.Generator
    rounds: list[Round] = field(default_factory=list)
    told: set[tuple] = field(default_factory=set)
    grounded: list[int] = field(default_factory=list)
    topic: int | None = None

    @property
    def things(self) -> tuple[SceneObject, ...]:
        return self.scene.objects

    def pick(self, options: Sequence[int]) -> int:
        return int(options[self.rng.integers(len(options))])

    def word(self, key: str, **values: str) -> str:
        options = WORDINGS[key]
        return options[self.rng.integers(len(options))].format(**{"r": DATA_REGION, **values})

    def in_order(self, indices: Sequence[int]) -> list[int]:
        """Left to right where each is first seen."""

        def first_x(k: int) -> float:
            return float(self.things[k].centres_xy[int(self.visible[k].argmax()), 0])

        return sorted(indices, key=first_x)


_Wanted = tuple[str | None, str | None, str | None]
"""Size, colour and shape asked for; None where the question leaves it open."""

Asker = Callable[[_Dialogue], "Round | None"]


def make_dialogues(
    scene: Scene, rng: np.random.Generator, count: int = 2, visible: np.ndarray | None = None, *, split: str
) -> list[list[Round]]:
    """Make dialogues about a scene.

    Args:
        scene: what happens.
        rng: all randomness comes from here.
        count: how many dialogues.
        visible: (K, T) bool; whether any pixel of an object is visible; None takes `scene.in_view()`.
        split: `train` never speaks of held-out pairs.

    Returns:
        `count` lists of 2 to 5 rounds; nothing is asked twice in one list.
    """
    seen = scene.in_view() if visible is None else visible
    return [_make_dialogue(_Dialogue(scene, seen, rng), split) for _ in range(count)]


def _make_dialogue(talk: _Dialogue, split: str) -> list[Round]:
    wanted = int(talk.rng.choice(ROUND_COUNTS, p=ROUND_SHARES))
    while len(talk.rounds) < wanted:
        may_refer = bool(talk.grounded) or talk.topic is not None
        table = MULTI_TURN if may_refer and talk.rng.random() < MULTI_TURN_SHARE else SINGLE_TURN
        weights = np.array([weight for _, weight in table])
        asker = table[int(talk.rng.choice(len(table), p=weights / weights.sum()))][0]
        made = asker(talk)
        if made is None or (split == "train" and _names_held_out(made.question)):
            continue
        subject = made.regions if made.regions or not made.needs_history else (talk.topic,)
        fact = (made.kind.removeprefix("it_").removeprefix("obj_"), subject, made.targets, made.answer)
        if fact in talk.told:
            continue
        talk.told.add(fact)
        talk.rounds.append(made)
        talk.grounded.extend(made.targets)
        talk.topic = _next_topic(talk.topic, made)
    return talk.rounds


def _names_held_out(text: str) -> bool:
    return any(f"{colour} {shape}" in text for colour, shape in HELD_OUT_PAIRS)


def _next_topic(topic: int | None, made: Round) -> int | None:
    """What `it` means after a round: the one object grounded, else the one region pointed at."""
    if made.targets:
        return made.targets[0] if len(made.targets) == 1 else None
    if made.kind == "larger" or made.answer_key == "none" or "relation" in made.kind:
        return None
    if len(made.regions) == 1:
        return made.regions[0]
    return topic if made.needs_history and not made.regions else None


def motion_phrase(thing: SceneObject) -> str:
    """What an object does, e.g. `moves left, then stops`."""
    kind, direction = thing.motion.kind, thing.motion.direction
    if kind not in TRAVELLING:
        return NUMBERLESS_MOTIONS[kind]
    tail = {"move": "", "stop": ", then stops", "back": ", then turns back", "leave": " and leaves"}[kind]
    return f"moves {direction}{tail}"


def describe_object(thing: SceneObject) -> str:
    """One sentence about one object, e.g. `A small red circle that moves left.`."""
    return f"A {thing.name} that {motion_phrase(thing)}."


def percent_span(first: int, last: int, num_frames: int) -> tuple[int, int]:
    """Start and end of frames `first` to `last`, inclusive, in percent of the clip to the nearest ten."""
    return 10 * int(first / num_frames * 10 + 0.5), 10 * int((last + 1) / num_frames * 10 + 0.5)


def _key(answer: str) -> str:
    return re.sub(r"^(it|a|the) ", "", answer.rstrip(".").lower())


def _told(question: str, answer: str, regions: Sequence[int], kind: str, task: str = "referring") -> Round:
    """A round answered in words."""
    refers = (None,) * len(regions)
    return Round(question, answer, tuple(regions), (), task, kind, refers=refers, answer_key=_key(answer))


def _absent(question: str, answer: str, kind: str, regions: Sequence[int] = ()) -> Round:
    """A round about something that is not there."""
    return Round(
        question, answer, tuple(regions), (), "none", kind, refers=(None,) * len(regions), answer_key="none"
    )


def _masked(
    talk: _Dialogue, question: str, targets: Sequence[int], kind: str, regions: Sequence[int] = ()
) -> Round:
    """A round answered by masks, left to right."""
    ordered = talk.in_order(targets)
    parts = [
        f"{PHRASE_START} {'The' if i == 0 else 'the'} {talk.things[k].name} {PHRASE_END} {SEG_TOKEN}"
        for i, k in enumerate(ordered)
    ]
    answer = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] + "."
    refers = (None,) * len(regions)
    return Round(question, answer, tuple(regions), tuple(ordered), "grounding", kind, refers=refers)


def _in_history(made: Round | None, kind: str, refers: Sequence[int | None] = ()) -> Round | None:
    """The same round as one that needs the earlier ones."""
    if made is None:
        return None
    return Round(
        made.question,
        made.answer,
        made.regions,
        made.targets,
        "multi_turn",
        kind,
        made.span,
        True,
        tuple(refers),
        made.answer_key,
    )


def _swap_region(made: Round, word: str) -> Round:
    """The question with `it` in place of its one region."""
    question = made.question.replace(DATA_REGION, word)
    return Round(
        question, made.answer, (), made.targets, made.task, made.kind, made.span, answer_key=made.answer_key
    )


# Referring: a region is given, the answer is words.


def _any_object(talk: _Dialogue) -> int:
    return int(talk.rng.integers(len(talk.things)))


def _attribute_round(talk: _Dialogue, kind: str, k: int) -> Round:
    thing = talk.things[k]
    answers = {
        "name": f"A {thing.name}.",
        "colour": f"{thing.colour.capitalize()}.",
        "shape": f"A {thing.shape}.",
        "size": "It grows." if thing.size == GROWING else f"{thing.size.capitalize()}.",
        "motion": f"It {motion_phrase(thing)}.",
    }
    return _told(talk.word(kind), answers[kind], [k], kind)


def _ask_name(talk: _Dialogue) -> Round:
    return _attribute_round(talk, "name", _any_object(talk))


def _ask_colour(talk: _Dialogue) -> Round:
    return _attribute_round(talk, "colour", _any_object(talk))


def _ask_shape(talk: _Dialogue) -> Round:
    return _attribute_round(talk, "shape", _any_object(talk))


def _ask_size(talk: _Dialogue) -> Round:
    return _attribute_round(talk, "size", _any_object(talk))


def _ask_motion(talk: _Dialogue) -> Round:
    rare = np.array([0.6 if t.motion.kind in ("still", "move") else 1.0 for t in talk.things])
    return _attribute_round(talk, "motion", int(talk.rng.choice(len(rare), p=rare / rare.sum())))


def _ask_order(talk: _Dialogue) -> Round | None:
    events = {
        k: t.motion.turn or t.motion.start for k, t in enumerate(talk.things) if t.motion.kind in EVENT_VERBS
    }
    for k in events:
        if talk.things[k].motion.kind in ("stop", "leave"):
            events[k] = talk.things[k].motion.end
    if len(events) < 2:
        return None
    a, b = (int(k) for k in talk.rng.permutation(list(events))[:2])
    if abs(events[a] - events[b]) < MIN_EVENT_GAP * talk.scene.num_frames:
        return None
    verbs = [EVENT_VERBS[talk.things[k].motion.kind] for k in (a, b)]
    first = a if events[a] < events[b] else b
    question = talk.word("order", verb=verbs[0], other_verb=verbs[1])
    return _told(question, f"The {talk.things[first].name}.", [a, b], "order")


# Relations, asked for words or for masks.


@dataclass(frozen=True)
class _RelationQuery:
    """`asks_target`: what does `given` hit; else: what hits `given`. `found` is the answer, if any."""

    verb: str
    given: int
    asks_target: bool
    found: int | None


def _pick_relation(talk: _Dialogue) -> _RelationQuery | None:
    """One with an answer or a near miss without; scenes without relations are asked less often."""
    facts = talk.scene.relations
    asks_target = bool(talk.rng.random() < 0.5)
    if facts and talk.rng.random() > NONE_SHARE:
        fact = facts[talk.rng.integers(len(facts))]
        given, found = (fact.subject, fact.target) if asks_target else (fact.target, fact.subject)
        return _RelationQuery(fact.kind, given, asks_target, found)
    if not facts and talk.rng.random() > 0.16:
        return None
    kinds = list(RELATION_VERBS)
    verb = kinds[talk.rng.integers(len(kinds))]
    likely = [k for k, t in enumerate(talk.things) if (t.motion.kind in ("move", "stop")) == asks_target]
    near = [k for fact in facts for k in (fact.subject, fact.target)]
    given = talk.pick(near + likely if near + likely else range(len(talk.things)))
    return _relation_of(talk, verb, given, asks_target)


def _relation_of(talk: _Dialogue, verb: str, given: int, asks_target: bool) -> _RelationQuery:
    found = None
    for fact in talk.scene.relations:
        if fact.kind == verb and given == (fact.subject if asks_target else fact.target):
            found = fact.target if asks_target else fact.subject
    return _RelationQuery(verb, given, asks_target, found)


def _no_relation(query: _RelationQuery) -> str:
    verbs = RELATION_VERBS[query.verb][1]
    return f"It {verbs} nothing." if query.asks_target else f"Nothing {verbs} it."


def _tell_relation(talk: _Dialogue) -> Round | None:
    query = _pick_relation(talk)
    if query is None:
        return None
    verb, verbs = RELATION_VERBS[query.verb]
    question = talk.word(
        "relation_target" if query.asks_target else "relation_subject", verb=verb, verbs=verbs
    )
    if query.found is None:
        return _absent(question, _no_relation(query), "relation", [query.given])
    return _told(question, f"The {talk.things[query.found].name}.", [query.given], "relation")


def _ground_relation(talk: _Dialogue) -> Round | None:
    query = _pick_relation(talk)
    return None if query is None else _segment_relation(talk, query, bool(talk.rng.random() < 0.35))


def _segment_relation(talk: _Dialogue, query: _RelationQuery, by_name: bool) -> Round:
    verbs = RELATION_VERBS[query.verb][1]
    given = f"the {talk.things[query.given].name}" if by_name else DATA_REGION
    regions = [] if by_name else [query.given]
    what = f"what {given} {verbs}" if query.asks_target else f"what {verbs} {given}"
    question = talk.word("segment", x=what)
    if query.found is None:
        return _absent(question, _no_relation(query), "relation", regions)
    return _masked(talk, question, [query.found], "relation", regions)


# Grounding by attribute, by motion, of several, of all.


def _phrase(size: str | None, colour: str | None, shape: str | None) -> str:
    return " ".join(word for word in (size, colour, shape or "object") if word)


def _matching(talk: _Dialogue, size: str | None, colour: str | None, shape: str | None) -> list[int]:
    return [
        k
        for k, t in enumerate(talk.things)
        if size in (None, t.size) and colour in (None, t.colour) and shape in (None, t.shape)
    ]


ATTRIBUTE_FORMS = ((1, 1, 1), (1, 1, 1), (0, 1, 1), (0, 1, 1), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 0))
SEVERAL_FORMS = ((0, 1, 0), (0, 0, 1), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 0, 0))


def _ground_attribute(talk: _Dialogue) -> Round | None:
    """The one object that fits, or none when one attribute is changed so that nothing fits."""
    form = ATTRIBUTE_FORMS[talk.rng.integers(len(ATTRIBUTE_FORMS))]
    absent = bool(talk.rng.random() < NONE_SHARE)
    for _ in range(FORM_TRIES):
        thing = talk.things[_any_object(talk)]
        wanted = _keep(form, (thing.size, thing.colour, thing.shape))
        if absent:
            missed = _near_miss(talk, wanted, GROWING_MISS_SHARE)
            if missed is not None:
                phrase = _phrase(*missed)
                return _absent(talk.word("where", x=f"the {phrase}"), f"There is no {phrase}.", "attribute")
        else:
            found = _matching(talk, *wanted)
            if len(found) == 1 and not _has_growing_twin(talk, wanted):
                return _masked(talk, talk.word("where", x=f"the {_phrase(*wanted)}"), found, "attribute")
    return None


def _keep(form: Sequence[int], triple: tuple[str, str, str]) -> _Wanted:
    size, colour, shape = (value if kept else None for value, kept in zip(triple, form, strict=True))
    return size, colour, shape


def _has_growing_twin(talk: _Dialogue, wanted: _Wanted) -> bool:
    """Whether a fixed size word could mean a growing object too: it is small at first and large at last."""
    return wanted[0] in FIXED_SIZES and bool(_matching(talk, GROWING, wanted[1], wanted[2]))


def _near_miss(talk: _Dialogue, wanted: _Wanted, growing_share: float) -> _Wanted | None:
    """`wanted` with one attribute changed such that nothing fits; None if that change cannot do it."""
    slots = [i for i, value in enumerate(wanted) if value is not None]
    slot = slots[talk.rng.integers(len(slots))]
    sizes = (GROWING,) if talk.rng.random() < growing_share else FIXED_SIZES
    values = (sizes, tuple(COLOURS), SHAPES)[slot]
    changed = list(wanted)
    changed[slot] = values[talk.rng.integers(len(values))]
    size, colour, shape = changed
    if _matching(talk, size, colour, shape) or _has_growing_twin(talk, (size, colour, shape)):
        return None
    return size, colour, shape


def _ground_several(talk: _Dialogue) -> Round | None:
    """All that fit, seldom one, or none as in `_ground_attribute`."""
    form = SEVERAL_FORMS[talk.rng.integers(len(SEVERAL_FORMS))]
    absent = bool(talk.rng.random() < NONE_SHARE)
    for _ in range(FORM_TRIES):
        thing = talk.things[_any_object(talk)]
        wanted = _keep(form, (thing.size, thing.colour, thing.shape))
        if absent:
            missed = _near_miss(talk, wanted, GROWING_MISS_SHARE / 4)
            if missed is not None:
                return _absent(
                    _word_several(talk, _phrase(*missed)), f"There is no {_phrase(*missed)}.", "attribute"
                )
        else:
            found = _matching(talk, *wanted)
            wordy = len(found) > 1 or talk.rng.random() < 0.15
            if wordy and len(found) <= MAX_TARGETS and not _has_growing_twin(talk, wanted):
                return _masked(talk, _word_several(talk, _phrase(*wanted)), found, "several")
    return None


def _word_several(talk: _Dialogue, phrase: str) -> str:
    return talk.word("several", x=phrase).replace("crosss", "crosses")


MOTION_QUERIES = {
    "moves left": 1.0,
    "moves right": 1.0,
    "moves up": 1.0,
    "moves down": 1.0,
    "stays still": 1.2,
    "stops": 1.0,
    "turns back": 1.0,
    "grows": 0.9,
    "blinks": 1.0,
    "appears late": 0.9,
    "leaves": 1.0,
}
"""How often each is asked for; the same for what is there and for what is not."""

PRESENT_SHARES = {
    "moves left": 0.41,
    "moves right": 0.39,
    "moves up": 0.37,
    "moves down": 0.37,
    "stays still": 0.74,
    "stops": 0.25,
    "turns back": 0.25,
    "grows": 0.18,
    "blinks": 0.24,
    "appears late": 0.22,
    "leaves": 0.21,
}
"""About the share of scenes where each has a target; tuned so that each has none equally often."""


def _doing(talk: _Dialogue, query: str) -> list[int] | None:
    """Objects that do it; None where that is a matter of opinion (`back` moves both ways)."""
    verb = query.split()[0]
    if verb != "moves":
        kind = {"stays": "still", "stops": "stop", "turns": "back", "grows": "grow"}.get(verb)
        kind = kind or {"blinks": "blink", "appears": "late", "leaves": "leave"}[verb]
        return [k for k, t in enumerate(talk.things) if t.motion.kind == kind]
    direction = query.split()[1]
    axis = ("left", "right") if direction in ("left", "right") else ("up", "down")
    if any(t.motion.kind == "back" and t.motion.direction in axis for t in talk.things):
        return None
    return [k for k, t in enumerate(talk.things) if t.motion.direction == direction]


def _ground_motion(talk: _Dialogue) -> Round | None:
    absent = bool(talk.rng.random() < NONE_SHARE)
    options, weights = [], []
    for query, weight in MOTION_QUERIES.items():
        found = _doing(talk, query)
        if found is not None and len(found) <= MAX_TARGETS and absent == (not found):
            options.append((query, found))
            weights.append(weight / (1 - PRESENT_SHARES[query] if absent else PRESENT_SHARES[query]))
    if not options:
        return None
    shares = np.array(weights) / sum(weights)
    query, found = options[int(talk.rng.choice(len(options), p=shares))]
    question = talk.word("segment", x=f"what {query}")
    return (
        _absent(question, f"Nothing {query}.", "motion")
        if absent
        else _masked(talk, question, found, "motion")
    )


def _describe(talk: _Dialogue) -> Round | None:
    if len(talk.things) > MAX_TARGETS:
        return None
    ordered = talk.in_order(range(len(talk.things)))
    clauses = [
        f"{PHRASE_START} {'A' if i == 0 else 'a'} {talk.things[k].name} {PHRASE_END} {SEG_TOKEN} "
        f"{motion_phrase(talk.things[k])}"
        for i, k in enumerate(ordered)
    ]
    return Round(talk.word("describe"), ", ".join(clauses) + ".", (), tuple(ordered), "grounding", "describe")


# When.


def _span_round(talk: _Dialogue, wording: str, k: int, first: int, last: int) -> Round | None:
    start, end = percent_span(first, last, talk.scene.num_frames)
    if start == end or ((start, end) == (0, 100) and talk.rng.random() < 0.7):
        return None
    return Round(
        talk.word(wording),
        f"From {start}% to {end}%.",
        (k,),
        (),
        "temporal",
        "when",
        (first, last),
        refers=(None,),
        answer_key=f"{start}-{end}",
    )


def _when_of(talk: _Dialogue, k: int) -> Round | None:
    """The span that says most about an object."""
    motion = talk.things[k].motion
    if motion.kind in ("move", "stop", "leave") and talk.rng.random() < (
        0.4 if motion.kind == "leave" else 0.8
    ):
        return _span_round(talk, "when_moves", k, motion.start, motion.end)
    if motion.kind == "blink":
        return _span_round(talk, "when_blinks", k, motion.start, motion.end)
    frames = np.flatnonzero(talk.visible[k])
    first, last = int(frames[0]), int(frames[-1])
    if not talk.visible[k, first : last + 1].all():
        return None
    return _span_round(talk, "when_visible", k, first, last)


def _ask_when(talk: _Dialogue) -> Round | None:
    return _when_of(talk, _any_object(talk))


# Rounds that need the earlier ones.


def _it_attribute(kind: str) -> Asker:
    def ask(talk: _Dialogue) -> Round | None:
        if talk.topic is None:
            return None
        name = talk.things[talk.topic].name
        if kind != "motion" and any(name in r.answer for r in talk.rounds) and talk.rng.random() < 0.6:
            return None  # the answer can be read off the earlier text
        return _in_history(_swap_region(_attribute_round(talk, kind, talk.topic), "it"), f"it_{kind}")

    return ask


def _it_when(talk: _Dialogue) -> Round | None:
    made = None if talk.topic is None else _when_of(talk, talk.topic)
    return None if made is None else _in_history(_swap_region(made, "it"), "it_when")


def _it_segment(talk: _Dialogue) -> Round | None:
    """Only for a region that has no mask answer yet."""
    if talk.topic is None or talk.topic in talk.grounded:
        return None
    return _in_history(_masked(talk, talk.word("it_segment"), [talk.topic], "segment"), "it_segment")


def _it_relation(talk: _Dialogue) -> Round | None:
    made = None if talk.topic is None else _history_relation(talk, talk.topic)
    return None if made is None else _in_history(_swap_region(made, "it"), "it_relation")


def _history_relation(talk: _Dialogue, k: int) -> Round | None:
    """A relation question about an object, in words or by mask; most often one with an answer."""
    options = [(f.kind, f.subject == k) for f in talk.scene.relations if k in (f.subject, f.target)]
    if options and talk.rng.random() < 0.8:
        verb, asks_target = options[talk.rng.integers(len(options))]
    else:
        if talk.rng.random() > 0.25:
            return None
        verbs = list(RELATION_VERBS)
        verb, asks_target = verbs[talk.rng.integers(len(verbs))], bool(talk.rng.random() < 0.7)
    return _segment_relation(talk, _relation_of(talk, verb, k, asks_target), by_name=False)


def _another(attribute: str) -> Asker:
    def ask(talk: _Dialogue) -> Round | None:
        if talk.topic is None:
            return None
        value = getattr(talk.things[talk.topic], attribute)
        others = [k for k, t in enumerate(talk.things) if getattr(t, attribute) == value and k != talk.topic]
        question = talk.word("other", x=attribute)
        if not others:
            return _in_history(_absent(question, NO_OTHER, "other"), f"other_same_{attribute}")
        if len(others) > 1:
            return None
        return _in_history(_masked(talk, question, others, "other"), f"other_same_{attribute}")

    return ask


def _pick_grounded(talk: _Dialogue) -> int | None:
    """Number of an earlier `[SEG]`."""
    return int(talk.rng.integers(len(talk.grounded))) if talk.grounded else None


def _obj_motion(talk: _Dialogue) -> Round | None:
    number = _pick_grounded(talk)
    if number is None:
        return None
    return _in_history(_attribute_round(talk, "motion", talk.grounded[number]), "obj_motion", [number])


def _obj_relation(talk: _Dialogue) -> Round | None:
    number = _pick_grounded(talk)
    if number is None:
        return None
    return _in_history(_history_relation(talk, talk.grounded[number]), "obj_relation", [number])


def _obj_when(talk: _Dialogue) -> Round | None:
    number = _pick_grounded(talk)
    return (
        None if number is None else _in_history(_when_of(talk, talk.grounded[number]), "obj_when", [number])
    )


def _obj_larger(talk: _Dialogue) -> Round | None:
    """Compare an earlier object with another one, earlier or new; nearly half of the answers are yes."""
    number = _pick_grounded(talk)
    if number is None:
        return None
    k = talk.grounded[number]
    others = [i for i, t in enumerate(talk.things) if i != k and t.size != GROWING]
    if talk.things[k].size == GROWING or not others:
        return None
    other = talk.pick(others)
    pair, refers = [k, other], [number, talk.grounded.index(other) if other in talk.grounded else None]
    if talk.rng.random() < 0.5:
        pair, refers = pair[::-1], refers[::-1]
    sizes = [talk.things[i].size for i in pair]
    if sizes[0] == sizes[1] and talk.rng.random() < 0.75:
        return None
    if sizes == ["small", "large"] and talk.rng.random() < 0.5:
        return None
    answer = "Yes." if sizes == ["large", "small"] else "No."
    return _in_history(_told(talk.word("larger"), answer, pair, "larger"), "obj_larger", refers)


SINGLE_TURN: tuple[tuple[Asker, float], ...] = (
    (_ask_name, 8.0),
    (_ask_colour, 4.5),
    (_ask_shape, 4.5),
    (_ask_size, 3.5),
    (_ask_motion, 12.0),
    (_tell_relation, 9.0),
    (_ask_order, 3.0),
    (_ground_attribute, 18.0),
    (_ground_motion, 12.5),
    (_ground_relation, 9.0),
    (_ground_several, 9.0),
    (_describe, 4.5),
    (_ask_when, 15.0),
)

MULTI_TURN: tuple[tuple[Asker, float], ...] = (
    (_it_attribute("colour"), 3.0),
    (_it_attribute("shape"), 2.5),
    (_it_attribute("size"), 2.0),
    (_it_attribute("motion"), 6.0),
    (_it_when, 1.5),
    (_it_segment, 5.0),
    (_it_relation, 6.0),
    (_another("colour"), 4.0),
    (_another("shape"), 2.0),
    (_obj_motion, 4.0),
    (_obj_relation, 5.0),
    (_obj_when, 1.5),
    (_obj_larger, 5.0),
)


def vocabulary() -> list[str]:
    """Every word and mark that questions and answers are made of, sorted; for a small tokenizer."""
    texts = [text for options in WORDINGS.values() for text in options]
    texts += [
        *COLOURS,
        *SHAPES,
        *(f"{s}s" for s in SHAPES if s != "cross"),
        "crosses",
        *FIXED_SIZES,
        GROWING,
        "object objects",
    ]
    texts += [
        *MOTION_QUERIES,
        *NUMBERLESS_MOTIONS.values(),
        *EVENT_VERBS.values(),
        ", then and leaves it nothing",
    ]
    texts += [verb for verbs in RELATION_VERBS.values() for verb in verbs]
    texts += [NO_OTHER, "Nothing It A a The the Yes. No. From to what", *(f"{p}%" for p in range(0, 101, 10))]
    texts += [word.capitalize() for word in (*COLOURS, *FIXED_SIZES)]
    plain = re.sub(r"\{\w+\}s?", " ", " ".join(texts))
    words = set(re.findall(r"\w+%?|[.,:?]", plain))
    return sorted(words | {PHRASE_START, PHRASE_END, SEG_TOKEN, DATA_REGION})


def corpus(seed: int, n: int) -> Iterator[str]:
    """`n` questions and answers of the training split, made without drawing anything."""
    rng = np.random.default_rng([seed, 0xC0])
    left = n
    while left > 0:
        for rounds in make_dialogues(sample_scene(rng, "train"), rng, split="train"):
            for text in [t for r in rounds for t in (r.question, r.answer)][:left]:
                yield text
                left -= 1
