"""Descriptions and dialogues by a model that looks at marked frames; each is checked, and asked for again once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sama_plugin.data.annotation.choice import choose_frames
from sama_plugin.data.annotation.marking import mark_frames
from sama_plugin.data.annotation.prompts import Prompts
from sama_plugin.data.annotation.rounds import TaggedRound, tag
from sama_plugin.data.annotation.rule_writer import write_description
from sama_plugin.data.annotation.sifting import leave_out
from sama_plugin.data.annotation.verification import TASKS, description_faults, dialogue_faults
from sama_plugin.data.annotation.writer import KEPT, REJECTED, REPAIRED, LoadedVideo, Outcome
from sama_plugin.data.chat_format import image_part, text_part
from sama_plugin.data.endpoint import Endpoint, Usage
from sama_plugin.errors import ReplyError


def _object_of(**properties: Any) -> dict[str, Any]:
    """JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT, FLAG, WHOLE = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
DESCRIPTION = _object_of(description=TEXT)
ROUND = _object_of(
    question=TEXT, answer=TEXT, task={"type": "string", "enum": list(TASKS)}, needs_history=FLAG
)
DIALOGUE = _object_of(rounds=_list_of(ROUND))
VERDICTS = _object_of(verdicts=_list_of(_object_of(round=WHOLE, is_right=FLAG, reason=TEXT)))
ATTEMPTS = 2


@dataclass(frozen=True)
class ModelWriter:
    """Asks an endpoint.

    Attributes:
        endpoint: the model.
        prompts: what it is told.
        rounds: of a dialogue: at least and at most.
        pictures: frames shown, at most.
        side: longer side of a picture, pixels.
        temperature: of what it writes; verdicts are always at 0.
        max_tokens: of a reply.
        has_verdicts: whether each dialogue is judged once more by the model, and rounds judged wrong are left out.
        is_blank: whether pictures show outlines on grey, for videos that are not at hand.
        seed: of the measured facts' wording.
    """

    endpoint: Endpoint
    prompts: Prompts
    rounds: tuple[int, int]
    pictures: int = 16
    side: int = 512
    temperature: float = 0.7
    max_tokens: int = 2048
    has_verdicts: bool = True
    is_blank: bool = False
    seed: int = 0

    def describe(self, loaded: LoadedVideo, number: int) -> Outcome:
        """See `Writer`; only this object is marked, and it is visible in most pictures."""
        facts = write_description(loaded.video, loaded.facts, number, self.seed)
        words = self.prompts.fill("describe", object=f"obj{number}", facts=facts)
        messages = self._messages(self._show(loaded, [number]), words)
        asked = self._ask(messages, DESCRIPTION, lambda value: description_faults(value["description"]))
        return asked.outcome(text=asked.value["description"].strip()) if asked.value else asked.outcome()

    def converse(
        self, loaded: LoadedVideo, numbers: Sequence[int], descriptions: Mapping[int, str], index: int
    ) -> Outcome:
        """See `Writer`."""
        least, most = self.rounds
        facts = {n: write_description(loaded.video, loaded.facts, n, self.seed) for n in numbers}
        words = self.prompts.fill(
            "converse",
            least=least,
            most=most,
            objects="\n".join(f"{tag(n)}: {descriptions.get(n, '(no description)')}" for n in numbers),
            facts="\n".join(f"{tag(n)}: {text}" for n, text in facts.items()),
            focus=self.prompts.focus(index),
            number=index + 1,
        )
        pictures = self._show(loaded, numbers)

        def faults_of(value: Any) -> list[str]:
            return dialogue_faults(_rounds_in(value), numbers, least, most)

        asked = self._ask(self._messages(pictures, words), DIALOGUE, faults_of)
        if not asked.value:
            return asked.outcome()
        outcome = asked.outcome(rounds=tuple(_rounds_in(asked.value)))
        return self._judge(pictures, outcome) if self.has_verdicts else outcome

    def _judge(self, pictures: Sequence[dict[str, Any]], outcome: Outcome) -> Outcome:
        """The dialogue without the rounds that the model calls wrong, and without what depends on them."""
        shown = "\n".join(
            f"Round {k}\nQuestion: {one.question}\nAnswer: {one.answer}"
            for k, one in enumerate(outcome.rounds, start=1)
        )
        messages = self._messages(pictures, self.prompts.fill("verify", rounds=shown))
        wanted = list(range(1, len(outcome.rounds) + 1))

        def faults_of(value: Any) -> list[str]:
            found = [verdict["round"] for verdict in value["verdicts"]]
            return [] if found == wanted else [f"There are verdicts for rounds {found}, expected {wanted}."]

        asked = self._ask(messages, VERDICTS, faults_of, temperature=0.0)
        usage = outcome.usage + asked.usage
        if not asked.value:
            reasons = (*outcome.reasons, *(f"Verdict: {reason}" for reason in asked.reasons))
            return Outcome(REJECTED, reasons=reasons, usage=usage)
        wrong = {
            verdict["round"]: verdict["reason"]
            for verdict in asked.value["verdicts"]
            if not verdict["is_right"]
        }
        reasons = (*outcome.reasons, *(f"Round {k} was judged wrong: {why}" for k, why in wrong.items()))
        rounds = leave_out(outcome.rounds, {k - 1 for k in wrong})
        state = outcome.state if rounds else REJECTED
        return Outcome(state, rounds=rounds, reasons=reasons, usage=usage)

    def _show(self, loaded: LoadedVideo, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Marked frames as parts of a message."""
        visible = np.stack([loaded.facts.objects[n].visible for n in numbers])
        frames = choose_frames(visible, self.pictures)
        media = None if self.is_blank else loaded.media
        return [image_part(p) for p in mark_frames(loaded.video, media, frames, numbers, self.side)]

    def _messages(self, pictures: Sequence[dict[str, Any]], words: str) -> list[dict[str, Any]]:
        return [
            {"role": "system", "content": self.prompts.fill("system")},
            {"role": "user", "content": [*pictures, text_part(words)]},
        ]

    def _ask(
        self,
        messages: list[dict[str, Any]],
        schema: dict[str, Any],
        faults_of: Callable[[Any], list[str]],
        temperature: float | None = None,
    ) -> _Asked:
        """Ask, and once again with what is wrong."""
        usage, reasons = Usage(), list[str]()
        settings = {"temperature": self.temperature if temperature is None else temperature}
        for attempt in range(ATTEMPTS):
            try:
                reply = self.endpoint.complete(messages, schema, max_tokens=self.max_tokens, **settings)
                text, used, faults = reply.text, reply.usage, faults_of(reply.parsed)
                if not faults:
                    return _Asked(reply.parsed, attempt, tuple(reasons), usage + used)
            except ReplyError as error:
                text, used, faults = error.text, error.usage or Usage(), list(error.faults)
            usage += used
            reasons += faults
            told = self.prompts.fill("repair", faults="\n".join(f"- {fault}" for fault in faults))
            messages = [*messages, {"role": "assistant", "content": text}, {"role": "user", "content": told}]
        return _Asked(None, ATTEMPTS, tuple(reasons), usage)


@dataclass(frozen=True)
class _Asked:
    """What came of asking: the checked value, None if there is none; repairs; reasons; usage."""

    value: Any
    repairs: int
    reasons: tuple[str, ...]
    usage: Usage

    def outcome(self, text: str = "", rounds: tuple[TaggedRound, ...] = ()) -> Outcome:
        state = REJECTED if self.value is None else REPAIRED if self.repairs else KEPT
        return Outcome(state, text, rounds, self.reasons, self.usage)


def _rounds_in(value: Any) -> list[TaggedRound]:
    """The rounds of a reply that keeps the schema `DIALOGUE`."""
    return [
        TaggedRound(
            one["question"].strip(),
            one["answer"].strip(),
            "multi_turn" if one["needs_history"] else one["task"],
            one["task"],
            needs_history=one["needs_history"],
            answer_key="none" if one["task"] == "none" else None,
        )
        for one in value["rounds"]
    ]
