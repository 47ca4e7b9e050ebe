"""Filter and balance: dialogues without repetitions, and no task with more than its share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sama_plugin.data.annotation.rounds import TaggedRound

REASON_REPEATED = "its rounds are in an earlier dialogue about this video"


@dataclass(frozen=True)
class WrittenDialogue:
    """A dialogue of a run.

    Attributes:
        dialogue_id: in the run file.
        video_id: what it is about.
        rounds: one or more.
    """

    dialogue_id: str
    video_id: str
    rounds: tuple[TaggedRound, ...]


def drop_repeats(dialogues: Sequence[WrittenDialogue]) -> tuple[list[WrittenDialogue], dict[str, str]]:
    """Leave out rounds that an earlier dialogue about the same video has, and dialogues with nothing left.

    Returns:
        The dialogues that stay, and the ids of the others with the reason.
    """
    kept, dropped = [], {}
    said: set[tuple[str, str, str]] = set()
    for dialogue in dialogues:
        keys = [(dialogue.video_id, _plain(one.question), _plain(one.answer)) for one in dialogue.rounds]
        repeated = {k for k, one in enumerate(dialogue.rounds) if keys[k] in said and not one.needs_history}
        rounds = leave_out(dialogue.rounds, repeated)
        if rounds:
            kept.append(replace(dialogue, rounds=rounds))
        else:
            dropped[dialogue.dialogue_id] = REASON_REPEATED
        said.update(keys)
    return kept, dropped


def balance_tasks(
    dialogues: Sequence[WrittenDialogue], most_share: float, seed: int
) -> tuple[list[WrittenDialogue], dict[str, str]]:
    """Leave out dialogues, those first that are most about a task, until no task has more than its share of all rounds.

    Args:
        dialogues: all there are.
        most_share: of one task, in (0, 1]; 1 keeps everything.
        seed: decides between dialogues that are alike.

    Returns:
        The dialogues that stay, in order, and the ids of the others with the reason. Where every dialogue is about the
        same task, none can be left out.
    """
    counts = Counter(one.task for dialogue in dialogues for one in dialogue.rounds)
    ties = np.random.default_rng(seed).permutation(len(dialogues))
    dropped: dict[int, str] = {}
    for task in sorted(counts, key=lambda name: -counts[name]):
        shares = [sum(one.task == task for one in d.rounds) / len(d.rounds) for d in dialogues]
        order = sorted(range(len(dialogues)), key=lambda i: (-shares[i], ties[i]))
        for i in order:
            if counts[task] <= most_share * counts.total() or shares[i] <= most_share:
                break
            if i not in dropped:
                dropped[i] = f"more than {100 * most_share:.0f}% of all rounds are {task}"
                counts.subtract(one.task for one in dialogues[i].rounds)
    kept = [dialogue for i, dialogue in enumerate(dialogues) if i not in dropped]
    return kept, {dialogues[i].dialogue_id: why for i, why in sorted(dropped.items())}


def leave_out(rounds: Sequence[TaggedRound], wrong: set[int]) -> tuple[TaggedRound, ...]:
    """A dialogue without some rounds (by index); those that need what came before go with the round before them."""
    kept: list[TaggedRound] = []
    is_broken = False
    for index, one in enumerate(rounds):
        is_broken = index in wrong or (is_broken and one.needs_history)
        if not is_broken:
            kept.append(one)
    return tuple(kept)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
