"""Conversation templates: the host's separators under new names, with room for regions and `[SEG]`."""

from __future__ import annotations

from dataclasses import dataclass

from sama_plugin.errors import PromptError


@dataclass(frozen=True)
class ConversationTemplate:
    """How turns become one text.

    Attributes:
        name: ours; `host_name` is the host template it extends.
        prefix: before the first turn, system message included.
        user: before a question.
        assistant: between question and answer.
        end: after an answer; trained.
        between: after `end`, before the next question; not trained.
    """

    name: str
    host_name: str
    prefix: str
    user: str
    assistant: str
    end: str
    between: str


def _chatml(name: str, host_name: str) -> ConversationTemplate:
    return ConversationTemplate(
        name=name,
        host_name=host_name,
        prefix="<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n",
        user="<|im_start|>user\n",
        assistant="<|im_end|>\n<|im_start|>assistant\n",
        end="<|im_end|>",
        between="\n",
    )


_LLAMA_3_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)

TEMPLATES: dict[str, ConversationTemplate] = {
    template.name: template
    for template in (
        _chatml("sama_qwen_1_5", "qwen_1_5"),
        _chatml("sama_qwen_2_5", "qwen_1_5"),
        ConversationTemplate(
            name="sama_llava_llama_3",
            host_name="llava_llama_3",
            prefix=f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{_LLAMA_3_SYSTEM}<|eot_id|>",
            user="<|start_header_id|>user<|end_header_id|>\n\n",
            assistant="<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            end="<|eot_id|>",
            between="",
        ),
        ConversationTemplate(
            name="sama_plain", host_name="plain", prefix="", user="", assistant="\n", end="\n", between=""
        ),
    )
}


def template_by_name(name: str) -> ConversationTemplate:
    """Look a template up.

    Raises:
        PromptError: unknown name.
    """
    if name not in TEMPLATES:
        raise PromptError(f"Unknown conversation template '{name}'; known are {', '.join(TEMPLATES)}.")
    return TEMPLATES[name]
