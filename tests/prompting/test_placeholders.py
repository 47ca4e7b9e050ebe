from __future__ import annotations

import pytest

from sama_plugin.errors import PromptError
from sama_plugin.prompting.placeholders import check_question, resolve_placeholders


def test_names_become_masks_in_order() -> None:
    question, names = resolve_placeholders("Does <r1> hit <obj2>, or <r1> again?", {"r1", "obj2"})
    assert question == "Does <mask> hit <mask>, or <mask> again?"
    assert names == ["r1", "obj2", "r1"]


@pytest.mark.parametrize("question", ["Is 3 < 4 > 2?", "What is < r1>?", "<1>", "a <= b", "plain"])
def test_what_is_no_name_stays(question: str) -> None:
    assert resolve_placeholders(question, ()) == (question, [])


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ((), r"means <r2>, which was never defined; defined are: none yet"),
        (("r1", "obj1"), r"means <r2>, which was never defined; defined are: <r1>, <obj1>\."),
    ],
)
def test_undefined_name_is_refused(known: tuple[str, ...], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        resolve_placeholders("What is <r2>?", known)


def test_data_mark_is_no_name_of_a_user() -> None:
    with pytest.raises(PromptError, match=r"means <mask>, which was never defined"):
        resolve_placeholders("What is <mask>?", ("r1",))


@pytest.mark.parametrize("question", ["", "  ", "\n\t"])
def test_empty_question_is_refused(question: str) -> None:
    with pytest.raises(PromptError, match="question is empty"):
        check_question(question, ())


@pytest.mark.parametrize("token", ["[SEG]", "<p>", "</p>", "<vp>", "</vp>", "<|im_end|>"])
def test_reserved_token_is_refused(token: str) -> None:
    with pytest.raises(PromptError, match=r"contains '.*', which is reserved for the model"):
        check_question(f"What is {token} here?", ["<|im_end|>"])


def test_plain_question_passes() -> None:
    check_question("What is [this] <r1>?", ["<|im_end|>"])
