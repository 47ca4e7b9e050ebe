from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import lru_cache

import numpy as np
import pytest

from sama_plugin.constants import DATA_REGION, SEG_TOKEN
from sama_plugin.data.shapes import dialogues, world
from sama_plugin.data.shapes import rounds as wording
from sama_plugin.data.shapes.render import render_masks
from sama_plugin.data.shapes.rounds import Round

MOTIONS_OF = {
    "moves left": lambda o: o.motion.direction == "left",
    "moves right": lambda o: o.motion.direction == "right",
    "moves up": lambda o: o.motion.direction == "up",
    "moves down": lambda o: o.motion.direction == "down",
    "stays still": lambda o: o.motion.kind == "still",
    "stops": lambda o: o.motion.kind == "stop",
    "turns back": lambda o: o.motion.kind == "back",
    "grows": lambda o: o.motion.kind == "grow",
    "blinks": lambda o: o.motion.kind == "blink",
    "appears late": lambda o: o.motion.kind == "late",
    "leaves": lambda o: o.motion.kind == "leave",
}


@lru_cache(maxsize=2)
def talks(split: str, count: int = 200) -> list[tuple[world.Scene, list[list[Round]]]]:
    made = []
    for k in range(count):
        rng = np.random.default_rng([23, k])
        scene = world.sample_scene(rng, split)
        made.append((scene, dialogues.make_dialogues(scene, rng, split=split)))
    return made


def all_rounds(split: str = "test") -> list[tuple[world.Scene, list[Round], int]]:
    """Each round as its scene, its dialogue and its place there."""
    return [(scene, rounds, i) for scene, both in talks(split) for rounds in both for i in range(len(rounds))]


def of_kind(*kinds: str, split: str = "test") -> list[tuple[world.Scene, list[Round], int]]:
    found = [entry for entry in all_rounds(split) if entry[1][entry[2]].kind in kinds]
    assert found, f"no round of {kinds}"
    return found


def asked_objects(scene: world.Scene, question: str) -> list[int]:
    """Objects that fit the attributes a question names, read from its words."""
    words = set(re.findall(r"\w+", question.replace("crosses", "cross")))
    words |= {w.removesuffix("s") for w in words if w != "cross"}
    fits = []
    for k, thing in enumerate(scene.objects):
        size, colour, shape = (
            words & {"small", "large", "growing"},
            words & set(world.COLOURS),
            words & set(world.SHAPES),
        )
        if size <= {thing.size} and colour <= {thing.colour} and shape <= {thing.shape}:
            fits.append(k)
    return fits


def topic_before(rounds: list[Round], i: int) -> int:
    """What `it` means in round i, followed by hand from the last round that names one object."""
    for made in reversed(rounds[:i]):
        if made.targets:
            assert len(made.targets) == 1, "`it` after an answer with several objects"
            return made.targets[0]
        if made.regions:
            assert len(made.regions) == 1, "`it` after a question about two regions"
            return made.regions[0]
        assert made.needs_history, "`it` after a question about no object"
    raise AssertionError("`it` in the first round")


def test_same_generator_gives_same_dialogues():
    scene = world.sample_scene(np.random.default_rng(1), "test")
    one, two = (dialogues.make_dialogues(scene, np.random.default_rng(2), split="test") for _ in range(2))
    assert one == two


def test_marks_and_lists_agree():
    for _, rounds, i in all_rounds():
        made = rounds[i]
        assert made.question.count(DATA_REGION) == len(made.regions) == len(made.refers)
        assert made.answer.count(SEG_TOKEN) == made.answer.count("<p>") == len(made.targets)
        assert 2 <= len(rounds) <= 5
        assert len(set(made.targets)) == len(made.targets)


def test_phrases_name_their_targets_left_to_right():
    for scene, rounds, i in all_rounds():
        phrases = re.findall(r"<p> (?:The|the|A|a) (.*?) </p> \[SEG\]", rounds[i].answer)
        if rounds[i].kind != "describe":
            assert rounds[i].answer.count(" and <p>") == max(0, len(phrases) - 1)
        assert phrases == [scene.objects[k].name for k in rounds[i].targets]
        visible = scene.in_view()
        xs = [scene.objects[k].centres_xy[visible[k].argmax(), 0] for k in rounds[i].targets]
        assert xs == sorted(xs)


@pytest.mark.parametrize(
    ("kind", "answer_of"),
    [
        ("name", lambda o: f"A {o.name}."),
        ("colour", lambda o: f"{o.colour.capitalize()}."),
        ("shape", lambda o: f"A {o.shape}."),
        ("size", lambda o: "It grows." if o.size == "growing" else f"{o.size.capitalize()}."),
        ("motion", lambda o: f"It {wording.motion_phrase(o)}."),
    ],
)
def test_region_questions_are_answered_from_the_object(kind, answer_of):
    for scene, rounds, i in of_kind(kind):
        made = rounds[i]
        if made.task == "referring":
            assert made.answer == answer_of(scene.objects[made.regions[0]])
            assert made.answer_key == re.sub("^(it|a) ", "", made.answer[:-1].lower())


def test_attribute_questions_mean_exactly_their_targets():
    for scene, rounds, i in of_kind("attribute", "several"):
        made = rounds[i]
        assert sorted(asked_objects(scene, made.question)) == sorted(made.targets)
        if made.task == "none":
            assert made.answer.startswith("There is no ")
            assert not made.targets


def test_absent_attributes_are_near_misses():
    for scene, rounds, i in of_kind("attribute"):
        if rounds[i].task == "none":
            words = [
                w for w in re.findall(r"\w+", rounds[i].answer) if w not in ("There", "is", "no", "object")
            ]
            shared = [sum(w in o.name.split() for w in words) for o in scene.objects]
            assert max(shared) == len(words) - 1


def test_motion_questions_mean_exactly_their_targets():
    for scene, rounds, i in of_kind("motion"):
        made = rounds[i]
        if made.task in ("grounding", "none"):
            query = made.question.removesuffix(".").split(" what ")[1]
            assert sorted(made.targets) == [k for k, o in enumerate(scene.objects) if MOTIONS_OF[query](o)]
            assert (made.task == "none") == (not made.targets)


def relation_asked(scene: world.Scene, made: Round, topic: int | None) -> int | None:
    """Object that a relation question means, from its words and the scene's facts."""
    verb = next(
        k
        for k, forms in wording.RELATION_VERBS.items()
        if re.search(rf"\b({'|'.join(forms)})\b", made.question)
    )
    named = [k for k, o in enumerate(scene.objects) if o.name in made.question]
    given = [*made.regions, *named, *([topic] if topic is not None else [])][0]
    asks_target = not re.search(r"(hits|follows|passes behind) (<mask>|it|the )", made.question)
    for fact in scene.relations:
        if fact.kind == verb and given == (fact.subject if asks_target else fact.target):
            return fact.target if asks_target else fact.subject
    return None


def test_relation_questions_mean_exactly_their_targets():
    for scene, rounds, i in of_kind("relation", "it_relation", "obj_relation"):
        made = rounds[i]
        found = relation_asked(scene, made, topic_before(rounds, i) if made.kind == "it_relation" else None)
        if found is None:
            assert made.answer_key == "none"
            assert not made.targets
            assert "nothing" in made.answer.lower()
        elif made.targets:
            assert made.targets == (found,)
        else:
            assert made.answer == f"The {scene.objects[found].name}."


def test_order_questions_name_what_comes_first():
    events = {"stop": "end", "leave": "end", "back": "turn", "blink": "start", "late": "start"}
    for scene, rounds, i in of_kind("order", split="train"):
        things = [scene.objects[k] for k in rounds[i].regions]
        times = [getattr(o.motion, events[o.motion.kind]) for o in things]
        assert abs(times[0] - times[1]) >= 0.15 * scene.num_frames
        assert rounds[i].answer == f"The {things[int(np.argmin(times))].name}."


def test_spans_agree_with_rendered_masks():
    checked = 0
    for k in range(25):
        rng = np.random.default_rng([29, k])
        scene = world.sample_scene(rng, "test")
        seen = np.asarray(render_masks(scene).any((2, 3))).T
        for made in (
            r for rounds in dialogues.make_dialogues(scene, rng, 4, seen, split="test") for r in rounds
        ):
            if made.span is None or made.answer_key is None or not made.regions:
                continue
            first, last = made.span
            row, motion = seen[made.regions[0]], scene.objects[made.regions[0]].motion
            if "visible" in made.question:
                assert row[first : last + 1].all()
                assert not row[:first].any()
                assert not row[last + 1 :].any()
            elif "blink" in made.question:
                assert not row[first : last + 1].any()
                assert row[first - 1]
                assert row[last + 1]
            else:
                assert (first, last) == (motion.start, motion.end)
            start, end = (int(v) for v in made.answer_key.split("-"))
            assert made.answer == f"From {start}% to {end}%."
            assert abs(start - 100 * first / scene.num_frames) <= 5
            assert abs(end - 100 * (last + 1) / scene.num_frames) <= 5
            checked += 1
    assert checked > 10


@pytest.mark.parametrize(
    ("frames", "percent"), [((0, 9), (0, 100)), ((0, 0), (0, 10)), ((2, 5), (20, 60)), ((9, 9), (90, 100))]
)
def test_percent_span_by_hand(frames, percent):
    assert wording.percent_span(frames[0], frames[1], 10) == percent


def test_it_means_the_one_object_of_the_round_before():
    answer_of = {
        "it_colour": lambda o: f"{o.colour.capitalize()}.",
        "it_shape": lambda o: f"A {o.shape}.",
        "it_size": lambda o: "It grows." if o.size == "growing" else f"{o.size.capitalize()}.",
        "it_motion": lambda o: f"It {wording.motion_phrase(o)}.",
        "it_segment": lambda o: f"<p> The {o.name} </p> [SEG].",
    }
    for scene, rounds, i in of_kind(*answer_of):
        assert rounds[i].answer == answer_of[rounds[i].kind](scene.objects[topic_before(rounds, i)])
        assert not rounds[i].regions


@pytest.mark.parametrize("split", ["test", "still"])
def test_another_one_shares_the_attribute_and_is_the_only_other(split):
    for scene, rounds, i in of_kind("other_same_colour", "other_same_shape", split=split):
        attribute, topic = rounds[i].kind.removeprefix("other_same_"), topic_before(rounds, i)
        value = getattr(scene.objects[topic], attribute)
        others = tuple(
            k for k, o in enumerate(scene.objects) if getattr(o, attribute) == value and k != topic
        )
        assert rounds[i].targets == others
        assert (rounds[i].answer == wording.NO_OTHER) == (not others)


def test_one_frame_answers_all_that_split_still_asks():
    asked = Counter(rounds[i].kind for _, rounds, i in all_rounds("still"))
    followups = {"it_colour", "it_shape", "it_size", "it_segment", "other_same_colour", "other_same_shape"}
    assert asked.keys() == followups | {"name", "colour", "shape", "size", "attribute", "several"}
    assert not any("growing" in rounds[i].question for _, rounds, i in all_rounds("still"))
    others = of_kind("other_same_colour", "other_same_shape", split="still")
    assert 0.5 < np.mean([bool(rounds[i].targets) for _, rounds, i in others]) < 0.7


def test_history_is_marked_where_and_only_where_it_is_needed():
    for _, rounds, i in all_rounds():
        made = rounds[i]
        wordy = bool(re.search(r"\bit\b|another", made.question)) or any(k is not None for k in made.refers)
        assert made.needs_history == wordy == (made.task == "multi_turn")
        assert not (made.needs_history and i == 0)


def test_refers_point_at_the_same_object_in_an_earlier_answer():
    referring = 0
    for _, rounds, i in all_rounds():
        grounded = [k for made in rounds[:i] for k in made.targets]
        for region, number in zip(rounds[i].regions, rounds[i].refers, strict=True):
            if number is not None:
                assert grounded[number] == region
                referring += 1
    assert referring > 30


def test_larger_is_answered_from_sizes():
    for scene, rounds, i in of_kind("obj_larger"):
        sizes = [scene.objects[k].size for k in rounds[i].regions]
        assert "growing" not in sizes
        assert rounds[i].answer == ("Yes." if sizes == ["large", "small"] else "No.")
    both = [*of_kind("obj_larger", split="train"), *of_kind("obj_larger")]
    answers = Counter(rounds[i].answer_key for _, rounds, i in both)
    assert 0.25 < answers["yes"] / answers.total() < 0.65


def test_mix_of_tasks_is_as_planned():
    tasks = Counter(rounds[i].task for _, rounds, i in all_rounds("train"))
    shares = {task: n / tasks.total() for task, n in tasks.items()}
    planned = {"referring": 0.30, "grounding": 0.25, "none": 0.125, "temporal": 0.08, "multi_turn": 0.25}
    assert shares == pytest.approx(planned, abs=0.05)


def test_later_dialogues_of_a_training_video_ask_what_is_hard():
    count = dialogues.PLAIN_DIALOGUES
    asked = {"train": Counter(), "test": Counter()}
    for k in range(40):
        for split, kinds in asked.items():
            scene = world.sample_scene(np.random.default_rng([29, k]), split)
            fewer, more = (
                dialogues.make_dialogues(scene, np.random.default_rng([31, k]), n, split=split)
                for n in (count, 2 * count)
            )
            assert more[:count] == fewer
            kinds.update(made.kind for rounds in more[count:] for made in rounds)
    hard, plain = (
        sum(n for kind, n in kinds.items() if kind.startswith("other")) / kinds.total()
        for kinds in asked.values()
    )
    assert hard > 1.3 * plain > 0


def test_wording_does_not_tell_whether_there_is_an_answer():
    absent: dict[str, list[bool]] = defaultdict(list)
    for _, rounds, i in [*all_rounds("train"), *all_rounds("test")]:
        made = rounds[i]
        if made.kind in ("attribute", "several") or (made.kind == "motion" and made.task != "referring"):
            group = "motion" if made.kind == "motion" else "attribute"
            words = {"small", "large", *world.TRAINING_COLOURS, *world.TRAINING_SHAPES, "object"} & set(
                made.question[:-1].split()
            )
            for key in (group, made.question.split()[0] + group, *words):
                absent[key].append(made.task == "none")
    shares = {key: np.mean(seen) for key, seen in absent.items() if len(seen) >= 40}
    assert len(shares) > 10
    assert min(shares.values()) > 0.18, shares
    assert max(shares.values()) < 0.52, shares


def test_nothing_is_said_twice():
    for _, rounds, i in all_rounds():
        assert (rounds[i].question, rounds[i].regions, rounds[i].answer) not in [
            (r.question, r.regions, r.answer) for r in rounds[:i] if not r.needs_history
        ]


def test_train_text_never_names_held_out_pairs():
    texts = [f"{rounds[i].question} {rounds[i].answer}" for _, rounds, i in all_rounds("train")]
    named = {pair for text in texts for pair in re.findall(r"(\w+) (\w+?)(?:e?s)?\b", text)}
    assert not named & set(world.HELD_OUT_PAIRS)
    texts = [f"{rounds[i].question} {rounds[i].answer}" for _, rounds, i in all_rounds("test")]
    assert any(f"{c} {s}" in text for text in texts for c, s in world.HELD_OUT_PAIRS)


def test_vocabulary_covers_the_corpus_and_holds_nothing_else():
    words = set(dialogues.vocabulary())
    used = set()
    for text in dialogues.corpus(3, 6000):
        used |= set(re.findall(r"</?\w+>|\[SEG\]|\w+%?|[.,:?]", text))
    assert used <= words
    assert words - used <= {"90%"}


def test_corpus_is_repeatable_and_of_the_length_asked():
    one, two = list(dialogues.corpus(3, 25)), list(dialogues.corpus(3, 25))
    assert one == two
    assert len(one) == 25
    assert one != list(dialogues.corpus(4, 25))


def test_no_question_takes_the_name_of_a_colour_without_one() -> None:
    about_unnamed = 0
    for scene, rounds, i in all_rounds("unnamed"):
        made = rounds[i]
        unnamed = {k for k, thing in enumerate(scene.objects) if not thing.named}
        words = set(re.findall(r"\w+", made.question)) & set(world.TRAINING_COLOURS)
        assert not any(scene.objects[k].name in made.question for k in unnamed)
        assert not any(scene.objects[k].colour in words for k in unnamed.intersection(made.targets))
        if "colour" in made.kind:
            topic = () if made.regions else (topic_before(rounds, i),)
            assert unnamed.isdisjoint((*made.regions, *topic, *made.targets))
        about_unnamed += not unnamed.isdisjoint((*made.regions, *made.targets))
    assert about_unnamed > 200
