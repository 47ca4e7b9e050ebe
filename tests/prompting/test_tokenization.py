from __future__ import annotations

import dataclasses

import pytest
from transformers import PreTrainedTokenizerBase

from sama_plugin.constants import (
    CONTEXT_TOKEN_INDEX,
    FRAME_TOKEN_INDEX,
    IGNORE_INDEX,
    REGION_TOKEN_INDEX,
    SPECIAL_TOKENS,
)
from sama_plugin.errors import CheckpointError, PromptError
from sama_plugin.prompting.conversation import TEMPLATES, template_by_name
from sama_plugin.prompting.tokenization import (
    DialogueTokenizer,
    EncodedDialogue,
    SlotLayout,
    add_sama_tokens,
)
from sama_plugin.training.tiny_tokenizer import train_tiny_tokenizer

LAYOUT = SlotLayout(num_dense=2, tokens_per_frame=3, num_context=4)
TURNS = [
    ("What is <mask>?", "A <p> red disc </p> [SEG]."),
    ("Does <mask> hit <mask> später?", "No."),
    ("Where to?", "Left [SEG][SEG], then up."),
]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tiny_tokenizer(["What is the red disc?", "It moves left, then up."], max_length=512)


@pytest.fixture(params=list(TEMPLATES))
def dialogue_tokenizer(
    request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerBase
) -> DialogueTokenizer:
    return DialogueTokenizer(tokenizer, template_by_name(request.param))


def encode(dialogue_tokenizer: DialogueTokenizer, layout: SlotLayout = LAYOUT) -> EncodedDialogue:
    return dialogue_tokenizer.encode(TURNS, layout, max_length=2000, sample_id="s")


def words_of(dialogue_tokenizer: DialogueTokenizer, ids: list[int]) -> str:
    """Text of the ids, slots written as `*`."""
    names = {FRAME_TOKEN_INDEX: "F", CONTEXT_TOKEN_INDEX: "C", REGION_TOKEN_INDEX: "R"}
    runs, run = [], []
    for token in ids:
        if token >= 0:
            run.append(token)
            continue
        runs += [dialogue_tokenizer.tokenizer.decode(run), names[token]]
        run = []
    return "".join([*runs, dialogue_tokenizer.tokenizer.decode(run)])


def test_whole_text_comes_back(dialogue_tokenizer: DialogueTokenizer) -> None:
    template = dialogue_tokenizer.template
    written = words_of(dialogue_tokenizer, encode(dialogue_tokenizer).input_ids)
    region = "<vp>RR</vp>"
    assert written == (
        f"{template.prefix}{template.user}FFF\nFFF\nCCCC\nWhat is {region}?{template.assistant}{TURNS[0][1]}"
        f"{template.end}{template.between}{template.user}CCCC\nDoes {region} hit {region} später?"
        f"{template.assistant}{TURNS[1][1]}{template.end}{template.between}{template.user}CCCC\nWhere to?"
        f"{template.assistant}{TURNS[2][1]}{template.end}"
    )


def test_answers_and_their_ends_alone_are_learned(dialogue_tokenizer: DialogueTokenizer) -> None:
    dialogue = encode(dialogue_tokenizer)
    assert len(dialogue.labels) == len(dialogue.input_ids)
    learned = [token for token in dialogue.labels if token != IGNORE_INDEX]
    end = dialogue_tokenizer.template.end
    assert dialogue_tokenizer.tokenizer.decode(learned) == "".join(answer + end for _, answer in TURNS)
    for token, label in zip(dialogue.input_ids, dialogue.labels, strict=True):
        assert label in (IGNORE_INDEX, token)


def test_question_ids_stand_in_the_conversation(dialogue_tokenizer: DialogueTokenizer) -> None:
    dialogue = encode(dialogue_tokenizer)
    found = [words_of(dialogue_tokenizer, question.tolist()) for question in dialogue.question_ids]
    assert found == ["What is <vp>RR</vp>?", "Does <vp>RR</vp> hit <vp>RR</vp> später?", "Where to?"]


def test_conversation_only_grows_at_its_end(dialogue_tokenizer: DialogueTokenizer) -> None:
    growing, states = EncodedDialogue(), []
    for question, answer in TURNS:
        dialogue_tokenizer.start_turn(growing, question, LAYOUT)
        states.append(list(growing.input_ids))
        dialogue_tokenizer.finish_turn(growing, dialogue_tokenizer.answer_ids(answer))
        states.append(list(growing.input_ids))
    whole = encode(dialogue_tokenizer)
    assert growing.input_ids == whole.input_ids
    assert growing.labels == whole.labels
    for state in states:
        assert whole.input_ids[: len(state)] == state


def test_only_the_first_turn_has_frames(dialogue_tokenizer: DialogueTokenizer) -> None:
    ids = encode(dialogue_tokenizer).input_ids
    assert ids.count(FRAME_TOKEN_INDEX) == 6
    assert ids.count(CONTEXT_TOKEN_INDEX) == 12
    assert ids.count(REGION_TOKEN_INDEX) == 6
    last_frame = len(ids) - 1 - ids[::-1].index(FRAME_TOKEN_INDEX)
    assert last_frame < ids.index(CONTEXT_TOKEN_INDEX) < ids.index(REGION_TOKEN_INDEX)


def test_without_context_the_question_follows_the_frames(dialogue_tokenizer: DialogueTokenizer) -> None:
    layout = dataclasses.replace(LAYOUT, num_context=0)
    written = words_of(dialogue_tokenizer, encode(dialogue_tokenizer, layout).input_ids)
    assert "FFF\nFFF\nWhat is " in written
    assert f"{dialogue_tokenizer.template.user}Where to?" in written


def test_too_long_dialogue_is_refused_not_cut(dialogue_tokenizer: DialogueTokenizer) -> None:
    length = len(encode(dialogue_tokenizer).input_ids)
    dialogue_tokenizer.encode(TURNS, LAYOUT, max_length=length, sample_id="s7")
    message = rf"Sample 's7' has {length} tokens after 3 questions, but the model's context is {length - 1}"
    with pytest.raises(PromptError, match=message):
        dialogue_tokenizer.encode(TURNS, LAYOUT, max_length=length - 1, sample_id="s7")


def test_tokenizer_without_our_tokens_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    class Bare:
        def get_vocab(self) -> dict[str, int]:
            return {key: i for key, i in tokenizer.get_vocab().items() if key not in ("[SEG]", "<vp>")}

    with pytest.raises(CheckpointError, match=r"The tokenizer lacks \[SEG\], <vp>; add them"):
        DialogueTokenizer(Bare(), template_by_name("sama_qwen_1_5"))  # type: ignore[arg-type]


def test_our_tokens_are_one_id_each_beside_the_tokenizers_own(tokenizer: PreTrainedTokenizerBase) -> None:
    for token in (*SPECIAL_TOKENS, "<|im_start|>", "<|im_end|>", "<|endoftext|>"):
        assert tokenizer.tokenize(f"a{token}b") == ["a", token, "b"]
    assert add_sama_tokens(tokenizer) == 0
    assert {"<|im_start|>", "<|im_end|>"} <= set(tokenizer.all_special_tokens)
