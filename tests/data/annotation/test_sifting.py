from __future__ import annotations

from collections import Counter

from sama_plugin.data.annotation.rounds import TaggedRound
from sama_plugin.data.annotation.sifting import WrittenDialogue, balance_tasks, drop_repeats, leave_out


def ask(text: str, task: str = "referring", *, needs_history: bool = False) -> TaggedRound:
    return TaggedRound(text, "Yes.", task, "", needs_history=needs_history)


def test_rounds_that_need_a_round_that_goes_go_too() -> None:
    rounds = [ask("a"), ask("b", needs_history=True), ask("c", needs_history=True), ask("d")]
    assert leave_out(rounds, {0}) == (rounds[3],)
    assert leave_out(rounds, {1}) == (rounds[0], rounds[3])
    assert leave_out(rounds, set()) == tuple(rounds)


def test_what_was_asked_of_a_video_is_not_asked_again() -> None:
    dialogues = [
        WrittenDialogue("v/0", "v", (ask("a"), ask("b"))),
        WrittenDialogue("v/1", "v", (ask("A "), ask("c"))),
        WrittenDialogue("v/2", "v", (ask("a"), ask("b"))),
        WrittenDialogue("w/0", "w", (ask("a"),)),
    ]
    kept, dropped = drop_repeats(dialogues)
    assert [[one.question for one in d.rounds] for d in kept] == [["a", "b"], ["c"], ["a"]]
    assert list(dropped) == ["v/2"]


def test_no_task_keeps_more_than_its_share() -> None:
    tasks = ["referring"] * 8 + ["grounding"] * 2
    dialogues = [
        WrittenDialogue(str(k), "v", (ask("a", task), ask("b", task))) for k, task in enumerate(tasks)
    ]
    dialogues.append(WrittenDialogue("mixed", "v", (ask("a"), ask("b", "grounding"))))
    kept, dropped = balance_tasks(dialogues, 0.6, seed=0)
    counts = Counter(one.task for d in kept for one in d.rounds)
    assert counts["referring"] <= 0.6 * counts.total()
    assert counts["grounding"] == 5
    assert "mixed" not in dropped
    assert set(dropped.values()) == {"more than 60% of all rounds are referring"}
    assert balance_tasks(dialogues, 0.6, seed=0) == (kept, dropped)
    assert balance_tasks(dialogues, 1.0, seed=0) == (dialogues, {})
