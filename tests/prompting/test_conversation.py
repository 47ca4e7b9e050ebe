from __future__ import annotations

import importlib
from types import ModuleType

import pytest

import sama_plugin
from sama_plugin.errors import PromptError
from sama_plugin.host.compat import quiet_host_import
from sama_plugin.prompting.conversation import TEMPLATES, ConversationTemplate, template_by_name

CHATML = [template for template in TEMPLATES.values() if template.host_name == "qwen_1_5"]


class Llama3Format:
    """Writes messages as Llama 3's own (gated) tokenizer does."""

    def apply_chat_template(
        self, messages: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        assert not tokenize
        assert add_generation_prompt
        said = [
            f"<|start_header_id|>{m['role']}<|end_header_id|>\n\n{m['content']}<|eot_id|>" for m in messages
        ]
        return "<|begin_of_text|>" + "".join(said) + "<|start_header_id|>assistant<|end_header_id|>\n\n"


@pytest.fixture(scope="module")
def host_conversation() -> ModuleType:
    sama_plugin.register()
    with quiet_host_import():
        return importlib.import_module("llava.conversation")


def written_out(template: ConversationTemplate, turns: list[tuple[str, str | None]]) -> str:
    text = template.prefix
    for i, (question, answer) in enumerate(turns):
        text += (template.between if i else "") + template.user + question + template.assistant
        text += "" if answer is None else answer + template.end
    return text


@pytest.mark.parametrize("template", CHATML, ids=lambda template: template.name)
@pytest.mark.parametrize(
    "turns", [[("Q1", None)], [("Q1", "A1"), ("Q2", None)], [("Q1", "A1"), ("Q2", "A2")]], ids=len
)
def test_chatml_is_the_hosts(
    template: ConversationTemplate, turns: list[tuple[str, str | None]], host_conversation: ModuleType
) -> None:
    conversation = host_conversation.conv_templates[template.host_name].copy()
    for question, answer in turns:
        conversation.append_message(conversation.roles[0], question)
        conversation.append_message(conversation.roles[1], answer)
    ours = written_out(template, turns)
    if turns[-1][1] is not None:
        ours += (
            template.between
        )  # the host ends a finished answer with what we write before the next question
    assert ours == conversation.get_prompt()


def test_plain_is_the_hosts(host_conversation: ModuleType) -> None:
    conversation = host_conversation.conv_templates["plain"].copy()
    conversation.append_message(conversation.roles[0], "Q1")
    assert conversation.get_prompt() == written_out(template_by_name("sama_plain"), [("Q1", None)])


@pytest.mark.parametrize("turns", [[("Q1", None)], [("Q1", "A1"), ("Q2", None)]], ids=len)
def test_llama_3_is_the_hosts(turns: list[tuple[str, str | None]], host_conversation: ModuleType) -> None:
    conversation = host_conversation.conv_templates["llava_llama_3"].copy()
    conversation.tokenizer = Llama3Format()
    for question, answer in turns:
        conversation.append_message(conversation.roles[0], question)
        conversation.append_message(conversation.roles[1], answer)
    assert conversation.get_prompt() == written_out(template_by_name("sama_llava_llama_3"), turns)


def test_every_template_extends_one_of_the_hosts(host_conversation: ModuleType) -> None:
    assert {template.host_name for template in TEMPLATES.values()} <= set(host_conversation.conv_templates)


def test_every_template_is_found_by_its_name() -> None:
    assert all(template_by_name(name).name == name for name in TEMPLATES)


def test_unknown_template_is_named_with_the_known_ones() -> None:
    with pytest.raises(PromptError, match=r"Unknown conversation template 'qwen_9'; known are sama_qwen_1_5"):
        template_by_name("qwen_9")
