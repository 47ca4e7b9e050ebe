"""How likely a model finds an answer that is given to it, rather than one it writes."""

from __future__ import annotations

from typing import NamedTuple

import torch

from sama_plugin.errors import PromptError
from sama_plugin.inference.prefix_cache import PrefixCache
from sama_plugin.inference.session import VideoSession


class Likelihood(NamedTuple):
    """Of an answer.

    Attributes:
        log_probability: natural logarithm, summed over its tokens; 0 or less.
        num_tokens: of the answer; 1 or more.
        is_greedy: whether every token is the one that greedy decoding takes there.
    """

    log_probability: float
    num_tokens: int
    is_greedy: bool


@torch.no_grad()
def answer_likelihood(session: VideoSession, question: str, answer: str) -> Likelihood:
    """How likely an answer to a first question is; the session stays as it was.

    Args:
        session: without turns.
        question: as for `VideoSession.ask`.
        answer: text without special tokens; how it would end is not asked.

    Raises:
        PromptError: a session with turns, an answer without tokens, or a question that cannot be asked.
    """
    if session.answers:
        raise PromptError(
            f"The session has {len(session.answers)} turns; rewind(0) before answers are compared."
        )
    ids = session.tokenizer(answer, add_special_tokens=False).input_ids
    if not ids:
        raise PromptError(f"The answer {answer!r} has no tokens, so it has no likelihood.")
    session.forget()  # a draft has all tokens of the conversation only where nothing of it was read
    prompt = session.draft(question).embeds
    cache, embed = PrefixCache(session.model), session.model.get_model().embed_tokens
    last, total, is_greedy = cache.read([prompt]), 0.0, True
    for number, token_id in enumerate(ids):
        if number:
            last = cache.read([embed(torch.tensor(ids[number - 1 : number], device=prompt.device))])
        logits = last.logits[0].float()
        total += float(logits.log_softmax(-1)[token_id])
        is_greedy &= int(logits.argmax()) == token_id
    return Likelihood(total, len(ids), is_greedy)
