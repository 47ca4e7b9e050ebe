from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.caption_scores import CAPTION_METRICS, CaptionPair, score_captions
from sama_plugin.evaluation.metrics.caption_text import caption_of, official_caption_of, official_phrases_of
from sama_plugin.evaluation.metrics.caption_tokens import choose_tokenizer, split_words, tokenize
from sama_plugin.evaluation.metrics.java_process import JavaError, find_java
from sama_plugin.evaluation.metrics.meteor import Meteor

pytest.importorskip(
    "pycocoevalcap.bleu.bleu", reason="the extra 'caption' is missing: pip install -e .[caption]"
)

SENTENCES = (
    "The man's dog doesn't run, it sleeps.",
    "It costs $3.50 (well-known).",
    "  The  red ball\nrolls left - then stops... ",
    "",
    "café naïve \u201cquoted\u201d \u2028 next",
    "I can't, cannot, won't; they'll go and I'm here.",
    "U.S. players, e.g. two, ran 1,000 m at 10:30.",
    'dogs\' tails "double" [x] {y}',
    "",
)

METEOR_ONCE = """
if os.path.exists(HERE + '/tried') or not {fails}:
    for line in sys.stdin:
        if line.startswith('EVAL'):
            print('0.5\\n' * line.count(' ||| ') + '0.25', flush=True)
        else:
            print({answer!r}, flush=True)
open(HERE + '/tried', 'a').close()
"""


def pairs(*said: tuple[str, str]) -> list[CaptionPair]:
    return [CaptionPair(*pair) for pair in said]


@pytest.mark.parametrize(
    ("answer", "caption", "official"),
    [
        ("<p> The dog </p> [SEG] runs .<|im_end|>", "The dog runs.", "The dog runs ."),
        ("It is <vp> r1 </vp>.", "It is r1.", "It is <vp> r1 </vp>."),
        ("<s> One\n two</s>", "One two", "One two</s>"),
        ("", "", ""),
    ],
)
def test_captions_of_answers(answer: str, caption: str, official: str) -> None:
    assert caption_of(answer) == caption
    assert official_caption_of(answer) == official


def test_only_the_official_caption_is_cut() -> None:
    assert len(official_caption_of("a " * 400).split()) == 300
    assert len(official_caption_of("abcdefghi " * 250)) == 2000
    assert len(caption_of("a " * 400).split()) == 400


def test_official_phrases_need_no_mask() -> None:
    assert official_phrases_of("<p> A Dog </p> and <p>two\ncats </p> [SEG] <p> left open") == [
        "a dog",
        "two\ncats",
    ]


def test_words_by_hand() -> None:
    assert split_words("He doesn't know the well-known A.I. (3.50)...") == [
        *("he", "does", "n't", "know", "the", "well-known", "a.i.", "-lrb-", "3.50", "-rrb-", "...")
    ]
    assert tokenize(["Stop! It's his -- or: \u201cours\u201d?"], "words") == ["stop it 's his or ours"]


def test_tokens_are_pycocoevalcaps() -> None:
    try:
        find_java()
    except JavaError as error:
        pytest.skip(str(error))
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    clean = [" ".join(sentence.split()) for sentence in SENTENCES[:-1]]  # its wrapper loses empty last lines
    theirs = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(clean)})
    ours = tokenize(SENTENCES, "ptb")
    assert ours == [words for (words,) in theirs.values()] + [""]
    assert tokenize(SENTENCES, "words") == ours


def test_bleu_and_rouge_by_hand(hide_java: None) -> None:
    made = score_captions({"a": pairs(("the red ball rolls", "The red ball!"))}, tokenizer="words").videos[
        "a"
    ]
    short = math.exp(1 - 4 / 3)
    assert made["BLEU-1"] == pytest.approx(short, abs=1e-6)
    assert made["BLEU-3"] == pytest.approx(short, abs=1e-6)
    precision, recall = 1, 3 / 4
    assert made["ROUGE-L"] == pytest.approx(2.44 * precision * recall / (recall + 1.44 * precision))


def test_cider_weighs_words_over_the_whole_benchmark(hide_java: None) -> None:
    videos = {
        "a": pairs(("one two three four", "one two three four")),
        "b": pairs(("five six seven eight", "nine")),
    }
    corrected = score_captions(videos, tokenizer="words").videos
    assert corrected["a"]["CIDEr"] == pytest.approx(10)
    assert corrected["b"]["CIDEr"] == 0
    official = score_captions(videos, "official", tokenizer="words").videos
    assert [official[video]["CIDEr"] for video in "ab"] == [0, 0]


def test_cider_of_a_single_answer_is_absent(hide_java: None) -> None:
    made = score_captions({"a": pairs(("one two", "one two"))}, tokenizer="words")
    assert "there is 1" in made.absent["CIDEr"]
    assert "CIDEr" not in made.videos["a"]


@pytest.mark.slow
def test_two_processes_at_once_agree_and_leave_nothing(scored_twice: tuple[list[dict], Path]) -> None:
    (first, second), folder = scored_twice
    assert first == second
    assert list(folder.iterdir()) == []
    assert len(first["videos"]) == 53
    assert {*first["videos"]["mevis/07"]} == {*CAPTION_METRICS} - {"SPICE"}
    assert list(first["absent"]) == ["SPICE"]


def test_without_java_what_is_absent_is_said_and_why(
    hide_java: None, caplog: pytest.LogCaptureFixture
) -> None:
    made = score_captions({"a": pairs(("a dog runs", "a dog"), ("it stops", ""))})
    assert made.tokenizer == "words"
    assert "apt install default-jre-headless" in made.absent["METEOR"]
    assert {*made.videos["a"]} == {*CAPTION_METRICS} - {"METEOR", "SPICE"}
    assert "not 'ptb': Java is not on the PATH" in made.notes[0]
    assert made.notes[1].startswith("1 answers have no words")
    assert "started once more" not in caplog.text, "there is nothing to start"


def test_without_java_nothing_is_official(hide_java: None) -> None:
    made = score_captions({"a": pairs(("a dog runs", "a dog"))}, "official")
    assert made.videos == {"a": {}}
    assert {*made.absent} == {*CAPTION_METRICS}
    assert made.tokenizer is None
    with pytest.raises(JavaError, match="Java is not on the PATH"):
        choose_tokenizer("ptb")


def test_without_the_package_the_extra_is_named(hide_package: None) -> None:
    made = score_captions({"a": pairs(("a dog", "a dog"))})
    assert made.videos == {"a": {}}
    assert "pip install 'sama-plugin[caption]'" in made.absent["BLEU-1"]


@pytest.mark.parametrize(("videos", "variant"), [({"a": []}, "corrected"), ({}, "exact")])
def test_a_video_without_answers_or_an_unknown_variant_raises(videos: dict, variant: str) -> None:
    with pytest.raises(DataError, match="expected one of"):
        score_captions(videos, variant)


def test_an_unknown_tokenizer_raises() -> None:
    with pytest.raises(DataError, match="expected 'ptb' or 'words'"):
        score_captions({"a": pairs(("a", "a"))}, tokenizer="moses")


def test_meteor_is_started_once_more(replace_java: Callable[[str], Path]) -> None:
    replace_java(METEOR_ONCE.format(fails=True, answer="1 2"))
    with Meteor() as meteor:
        assert meteor.score([[("a", "a"), ("b", "|||")], [("a", "a")]]) == [(0.25, [0.5, 0.5]), (0.25, [0.5])]


def test_meteor_is_kept_for_more_and_then_gone(replace_java: Callable[[str], Path]) -> None:
    folder = replace_java(METEOR_ONCE.format(fails=False, answer="1 2"))
    videos = {"a": pairs(("a dog", "a dog"), ("it", "it"))}
    with Meteor() as meteor:
        made = [score_captions(videos, tokenizer="words", meteor=meteor).videos for _ in range(2)]
        number = (folder / "pid").read_text()
    assert [scores["a"]["METEOR"] for scores in made] == [0.25, 0.25]
    assert not (folder / "tried").exists(), "it was killed, not started anew"
    assert not Path(f"/proc/{number}").exists()


def test_meteor_sees_the_beginning_of_long_answers(replace_java: Callable[[str], Path]) -> None:
    folder = replace_java(
        "for line in sys.stdin:\n    open(HERE + '/asked', 'a').write(line)\n    print('1\\n' * 3, end='', flush=True)"
    )
    made = score_captions({"a": pairs(("one two", "long " * 301))}, tokenizer="words")
    assert (folder / "asked").read_text().splitlines()[0] == "SCORE ||| one two ||| " + " ".join(
        ["long"] * 300
    )
    assert made.notes == ("1 texts have more than 300 words; METEOR sees no more of them.",)


def test_no_words_at_all_are_scored_and_noted(hide_java: None) -> None:
    made = score_captions({"a": pairs(("...", "!"), ("", "a dog"))})
    assert made.videos["a"]["CIDEr"] == 0
    assert made.notes[1:] == (
        "2 references have no words; they count as they are.",
        "1 answers have no words; they count as they are.",
    )


def test_scores_that_are_none_are_absent(replace_java: Callable[[str], Path]) -> None:
    replace_java("for line in sys.stdin:\n    print('who?\\n' * 9, flush=True)")
    made = score_captions({"a": pairs(("a dog", "a dog"), ("it", "it"))}, tokenizer="words")
    assert made.absent["METEOR"].startswith("METEOR gave what is no score")


def test_meteor_that_fails_twice_is_absent(replace_java: Callable[[str], Path]) -> None:
    replace_java("sys.exit('no memory')")
    made = score_captions({"a": pairs(("a dog", "a dog"), ("it", "it"))}, tokenizer="words")
    assert made.absent["METEOR"] == "Java ended with code 1: no memory"
    assert made.videos["a"]["BLEU-1"] == pytest.approx(1)
