"""Answers → the words that BLEU, ROUGE-L and CIDEr compare.

`ptb` is what every published number uses: Stanford's tokenizer, in Java. `words` needs no Java: the same rules in a few
regular expressions, equal on ordinary sentences. Numbers made with it say so; they are not to be mixed with the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.java_process import JavaError, find_java, find_program, run_java

PTB, WORDS = "ptb", "words"
TIMEOUT_S = 300.0

BRACKETS = {"(": "-lrb-", ")": "-rrb-", "{": "-lcb-", "}": "-rcb-", "[": "-lsb-", "]": "-rsb-"}
PIECE = re.compile(
    r"(?:[a-z]\.){2,}"  # e.g., u.s.
    r"|\d+(?:[.,:]\d+)+(?!\w)"  # 3.50, 1,000
    r"|\w+(?:['\u2019-]\w+)*"  # doesn't, well-known
    r"|\.{2,}|[^\w\s]"
)
CLITIC = re.compile(r"(.+)(n['\u2019]t|['\u2019](?:s|re|ve|ll|d|m))")


def choose_tokenizer(name: str | None = None) -> tuple[str, str | None]:
    """Which tokenizer can be used here.

    Args:
        name: `ptb` or `words`; None takes `ptb` where there is Java.

    Returns:
        Its name, and why it is not `ptb` where that was not asked for.

    Raises:
        DataError: an unknown name.
        JavaError: `ptb` was asked for and there is no Java.
    """
    if name not in (None, PTB, WORDS):
        raise DataError(f"There is no tokenizer '{name}'; expected '{PTB}' or '{WORDS}'.")
    if name == WORDS:
        return WORDS, None
    try:
        find_java()
    except JavaError as error:
        if name == PTB:
            raise
        return WORDS, str(error)
    return PTB, None


def tokenize(texts: Sequence[str], tokenizer: str) -> list[str]:
    """Lower-case words of each text, joined by single spaces, without punctuation.

    Args:
        texts: any; line breaks are spaces.
        tokenizer: `ptb` or `words`.

    Returns:
        As many strings; may be empty.

    Raises:
        JavaError: `ptb` cannot be run.
        HostError: pycocoevalcap is missing.

    Source: `pycocoevalcap.tokenizer.ptbtokenizer`. Differs: `ptb` no, but it writes no file; `words` is our own.
    """
    lines = [" ".join(text.split()) for text in texts]
    found = _run_ptb(lines) if tokenizer == PTB else map(split_words, lines)
    dropped = _punctuation()
    return [" ".join(word for word in words if word not in dropped) for words in found]


def split_words(line: str) -> list[str]:
    """Tokens of a text by the rules of the Penn Treebank that matter in sentences, in lower case.

    Args:
        line: without line breaks.
    """
    tokens: list[str] = []
    for piece in PIECE.findall(line.lower().replace("cannot", "can not")):
        clitic = CLITIC.fullmatch(piece)
        tokens += clitic.groups() if clitic else (BRACKETS.get(piece, piece),)
    return tokens


def _run_ptb(lines: Sequence[str]) -> list[list[str]]:
    jar = find_program("pycocoevalcap.tokenizer.ptbtokenizer", "stanford-corenlp-3.4.1.jar")
    command = ["-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    with run_java(command) as program:
        return [answer.split(" ") for answer in program.ask(lines, len(lines), TIMEOUT_S, is_all=True)]


def _punctuation() -> frozenset[str]:
    """Tokens that pycocoevalcap takes out, and the double quotes that `words` leaves as they are."""
    find_program("pycocoevalcap.tokenizer.ptbtokenizer", "ptbtokenizer.py")
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS

    return frozenset({*PUNCTUATIONS, '"', "\u201c", "\u201d", "\u2018", "\u2019", "\u2026", ".."})
