"""A small byte-level BPE for the tiny preset: any text can be spelled, words of the small world are one token."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from sama_plugin.prompting.tokenization import add_sama_tokens

CHAT_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCAB_SIZE = 768


def train_tiny_tokenizer(corpus: Iterable[str], *, max_length: int) -> PreTrainedTokenizerBase:
    """Train on a corpus; deterministic for the same text.

    Args:
        corpus: sentences.
        max_length: the model's context.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(CHAT_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
    add_sama_tokens(tokenizer)
    return tokenizer
