import json
from pathlib import Path

import numpy as np
import pytest

from sama_plugin.errors import DataError, MediaError, PromptError
from sama_plugin.evaluation.benchmarks.shapes import ShapesBenchmark
from sama_plugin.media.masks import encode_track
from tests.evaluation.fake_answerers import (
    FIRST_DIALOGUE,
    LEFT_BOX,
    SECOND_DIALOGUE,
    FakeAnswerer,
    FakeDialogue,
    GrabberDialogue,
    OracleDialogue,
    box_track,
    write_shapes,
)


def run_all(benchmark: ShapesBenchmark, answerer: FakeAnswerer):
    return benchmark.summarise([ask_and_score(benchmark, i, answerer) for i in benchmark.dialogue_ids])[:2]


def ask_and_score(benchmark: ShapesBenchmark, dialogue_id: str, answerer: FakeAnswerer):
    return benchmark.score(dialogue_id, benchmark.ask(dialogue_id, answerer))


def test_the_truth_scores_full(tmp_path):
    metrics, counts = run_all(ShapesBenchmark(write_shapes(tmp_path)), FakeAnswerer(OracleDialogue))
    errors = {"span_error", "false_none_rate"}
    for name, value in metrics.items():
        if counts[name]:
            assert value == (0.0 if name.split("/")[-1] in errors else 1.0), name
    assert (counts["dialogues"], counts["turns"], counts["not_asked"]) == (2, 7, 0)
    assert (counts["J"], counts["referring_accuracy"], counts["multi_turn_accuracy"]) == (2, 1, 3)
    assert (counts["no_target_accuracy"], counts["span_error"]) == (2, 1)


def test_subsets_count_their_own_turns_and_absent_metrics_are_none(tmp_path):
    metrics, counts = run_all(ShapesBenchmark(write_shapes(tmp_path)), FakeAnswerer(OracleDialogue))
    assert (counts["held_out/J"], counts["familiar/J"]) == (1, 1)
    assert counts["held_out/referring_accuracy"] == 0
    assert metrics["held_out/referring_accuracy"] is None
    assert metrics["J&F/several"] == 1.0


def test_silence_scores_nothing(tmp_path):
    metrics, counts = run_all(ShapesBenchmark(write_shapes(tmp_path)), FakeAnswerer(FakeDialogue))
    for name in ("J", "F", "J&F", "referring_accuracy", "multi_turn_accuracy", "no_target_accuracy"):
        assert metrics[name] == 0.0, name
    assert metrics["false_none_rate"] == 1.0
    assert metrics["span_error"] == 1.0
    assert metrics["temporal_iou"] == metrics["visibility_iou"] == 0.0
    assert metrics["no_object_rate"] == 0.5  # one of two; the other means an object that was never produced
    assert counts["not_asked"] == 2


def test_grounding_always_denies_nothing(tmp_path):
    metrics, _ = run_all(ShapesBenchmark(write_shapes(tmp_path)), FakeAnswerer(GrabberDialogue))
    assert metrics["no_target_accuracy"] == 0.0
    assert metrics["no_object_rate"] == 0.0
    assert metrics["false_none_rate"] == 0.0
    # first: half of the grabbed pixels are one of two targets; second: no overlap, and never both empty
    assert metrics["J"] == pytest.approx((0.5 / 2 + 0.0) / 2)


def test_a_denial_in_words_beside_an_object_is_wrong(tmp_path):
    class Hedger(OracleDialogue):
        def reply(self, question):
            raw, tracks = super().reply(question)
            if "green" in question:
                return raw + " [SEG]", [encode_track(box_track(LEFT_BOX))]
            return raw, tracks

    metrics, _ = run_all(ShapesBenchmark(write_shapes(tmp_path)), FakeAnswerer(Hedger))
    assert metrics["no_target_accuracy/attribute"] == 0.0


def test_an_object_without_a_visible_pixel_is_no_object(tmp_path):
    class Blank(OracleDialogue):
        def reply(self, question):
            raw, tracks = super().reply(question)
            return raw + " [SEG]", [*tracks, [None] * 4]

    metrics, _ = run_all(ShapesBenchmark(write_shapes(tmp_path)), FakeAnswerer(Blank))
    assert metrics["no_target_accuracy"] == 1.0
    assert metrics["J&F"] == 1.0


def test_a_false_alarm_costs(tmp_path):
    class Doubler(OracleDialogue):
        def reply(self, question):
            raw, tracks = super().reply(question)
            return (raw + " [SEG]", [*tracks, encode_track(box_track((0, 2)))]) if tracks else (raw, tracks)

    metrics, _ = run_all(ShapesBenchmark(write_shapes(tmp_path)), FakeAnswerer(Doubler))
    assert metrics["J"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_reference_follows_the_object_not_its_place(tmp_path):
    class Reverser(OracleDialogue):
        def reply(self, question):
            raw, tracks = super().reply(question)
            if len(tracks) == 2:
                return "<p> The blue star </p> [SEG] and <p> the red star </p> [SEG].", tracks[::-1]
            return raw, tracks

    answerer = FakeAnswerer(Reverser)
    metrics, _ = run_all(ShapesBenchmark(write_shapes(tmp_path)), answerer)
    assert answerer.dialogues[0].asked[2] == "What colour is <obj1>?"  # the record's second object
    assert metrics["phrase_accuracy"] == 1.0


def test_a_reference_to_what_was_not_produced_is_wrong_and_not_asked(tmp_path):
    class Half(OracleDialogue):
        def reply(self, question):
            raw, tracks = super().reply(question)
            return ("<p> The red star </p> [SEG].", tracks[:1]) if len(tracks) == 2 else (raw, tracks)

    answerer = FakeAnswerer(Half)
    benchmark = ShapesBenchmark(write_shapes(tmp_path))
    turns = ask_and_score(benchmark, benchmark.dialogue_ids[0], answerer).questions
    assert [turn["asked"] for turn in turns] == [True, True, False, True]
    assert turns[2]["scores"] == {"multi_turn_accuracy": 0.0}
    assert turns[3]["scores"]["no_target_accuracy"] == 1.0
    assert turns[1]["scores"]["J"] == 0.5


def test_a_refused_question_is_wrong_and_said(tmp_path):
    class Refuser(OracleDialogue):
        def reply(self, question):
            if "What is" in question:
                raise PromptError("too long")
            return super().reply(question)

    benchmark = ShapesBenchmark(write_shapes(tmp_path, [[FIRST_DIALOGUE[0], SECOND_DIALOGUE[0]]]))
    turns = ask_and_score(benchmark, benchmark.dialogue_ids[0], FakeAnswerer(Refuser)).questions
    assert [turn["error"] for turn in turns] == ["too long", None]
    assert turns[0]["scores"] == {"referring_accuracy": 0.0}
    assert turns[1]["scores"]["span_error"] == 0.0


def test_regions_are_pointed_at_where_they_are_well_visible_and_keep_their_name(tmp_path):
    answerer = FakeAnswerer(OracleDialogue)
    asks = [FIRST_DIALOGUE[0], {**FIRST_DIALOGUE[0], "question": "Name <mask>."}, SECOND_DIALOGUE[0]]
    benchmark = ShapesBenchmark(write_shapes(tmp_path, [asks]))
    run_all(benchmark, answerer)
    talk = answerer.dialogues[0]
    assert talk.asked == ["What is <r1>?", "Name <r1>.", "When is <r2> visible?"]
    assert (talk.regions["r1"].frame, talk.regions["r2"].frame) == (0, 2)
    mask = talk.regions["r1"].mask
    assert mask is not None
    assert np.array_equal(mask, box_track(LEFT_BOX)[0])


def test_masks_of_another_length_or_size_raise(tmp_path):
    class Short(OracleDialogue):
        def reply(self, question):
            raw, tracks = super().reply(question)
            return raw, [track[:3] for track in tracks]

    class Small(OracleDialogue):
        def reply(self, question):
            raw, tracks = super().reply(question)
            return raw, [encode_track(np.ones((4, 6, 8), dtype=bool)) for _ in tracks]

    benchmark = ShapesBenchmark(write_shapes(tmp_path))
    with pytest.raises(DataError, match="masks for 3 frames, the ground truth has 4"):
        run_all(benchmark, FakeAnswerer(Short))
    with pytest.raises(MediaError, match=r"\(4, 24, 32\) but pred_masks has \(4, 6, 8\)"):
        run_all(benchmark, FakeAnswerer(Small))


@pytest.mark.parametrize(
    ("turn", "change", "said"),
    [
        (FIRST_DIALOGUE[0], {"answer_key": None}, "turn 0: an answer in words needs an 'answer_key'"),
        (FIRST_DIALOGUE[0], {"refers": [0]}, r"'refers' is \[0\] but 0 objects were grounded"),
        (FIRST_DIALOGUE[0], {"refers": [None, None]}, "the question has 1 regions"),
        (SECOND_DIALOGUE[0], {"answer": "At the end."}, "'At the end.' to a question for a time has no span"),
    ],
)
def test_a_record_that_contradicts_itself_raises(tmp_path, turn, change, said):
    write_shapes(tmp_path, [[{**turn, **change}]])
    with pytest.raises(DataError, match=said):
        ShapesBenchmark(tmp_path)


def test_missing_folder_and_no_dialogue_raise(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        ShapesBenchmark(tmp_path / "nowhere")
    write_shapes(tmp_path)
    (tmp_path / "records.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match="has no dialogue"):
        ShapesBenchmark(tmp_path)


def test_fingerprint_changes_with_the_data(tmp_path):
    one = ShapesBenchmark(write_shapes(tmp_path / "one"))
    same = ShapesBenchmark(write_shapes(tmp_path / "same"))
    other = ShapesBenchmark(write_shapes(tmp_path / "other", [FIRST_DIALOGUE]))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    video = next(iter(one._samples.values())).video_path
    Path(video).parent.mkdir(exist_ok=True)
    Path(video).write_bytes(b"other frames")
    assert ShapesBenchmark(tmp_path / "one").fingerprint != one.fingerprint
