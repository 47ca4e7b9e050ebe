from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from sama_plugin.constants import SPECIAL_TOKENS
from sama_plugin.data.shapes.dialogues import corpus
from sama_plugin.training.tiny_tokenizer import VOCAB_SIZE, train_tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tiny_tokenizer(corpus(0, 2000), max_length=99)


@pytest.mark.parametrize(
    "text", ["What is <vp></vp>?", "Größe 漢字 \n\ttab", "a  b   c", "It moves left, then up.", "🙂"]
)
def test_every_text_comes_back(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


def test_words_of_the_small_world_are_one_token(tokenizer: PreTrainedTokenizerBase) -> None:
    for word in (" red", " purple", " triangle", " circle", " large", " small"):
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1, word


def test_same_corpus_gives_the_same_tokenizer(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    again = train_tiny_tokenizer(corpus(0, 2000), max_length=99)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    tokenizer.save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path)
    text = "<p> The red circle </p> [SEG] moves.<|im_end|>"
    assert read(text).input_ids == tokenizer(text).input_ids
    assert read.eos_token_id == tokenizer.eos_token_id


def test_vocabulary_is_small_and_adds_nothing_by_itself(tokenizer: PreTrainedTokenizerBase) -> None:
    assert len(tokenizer) <= VOCAB_SIZE + len(SPECIAL_TOKENS)
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer("").input_ids == []
    assert tokenizer.model_max_length == 99
