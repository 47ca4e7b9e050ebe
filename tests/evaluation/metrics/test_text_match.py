import pytest

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.text_match import (
    answer_matches,
    normalise,
    parse_span,
    says_none,
    span_error,
)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p> The small Red circle </p> [SEG].", "small red circle"),
        ("It moves left,  then stops.<|im_end|>", "it moves left then stops"),
        ("An answer: another.", "answer another"),
        ("From 20% to 60%.", "from 20% to 60%"),
        ("<p></p>[SEG]", ""),
    ],
)
def test_normalise(text, plain):
    assert normalise(text) == plain


@pytest.mark.parametrize(
    ("answer", "key", "right"),
    [
        ("A small red circle.", "small red circle", True),
        ("A red circle.", "small red circle", False),
        ("Red.", "red", True),
        ("It is red.", "red", True),
        ("Red star.", "red", False),
        ("It moves left, then stops.", "moves left, then stops", True),
        ("It moves left.", "moves left, then stops", False),
        ("It grows.", "grows", True),
        ("Yes, it is larger.", "yes", True),
        ("No.", "yes", False),
        ("", "yes", False),
        ("", "red", False),
        ("The blue star.", "blue star", True),
    ],
)
def test_answer_matches(answer, key, right):
    assert answer_matches(answer, key) is right


@pytest.mark.parametrize(
    ("answer", "none"),
    [
        ("There is no red star.", True),
        ("It hits nothing.", True),
        ("Nothing blinks.", True),
        ("The red star.", False),
        ("", False),
        ("A noble nothingness", False),
    ],
)
def test_says_none(answer, none):
    assert says_none(answer) is none


@pytest.mark.parametrize(
    ("answer", "span"),
    [
        ("From 20% to 60%.", (0.2, 0.6)),
        ("from 20 % to 100 %", (0.2, 1.0)),
        ("40-70%", (0.4, 0.7)),
        ("From 12.5% until 13%", (0.125, 0.13)),
        ("From 60% to 20%.", None),
        ("From 20% to 160%.", None),
        ("From 20 to 60.", None),
        ("All the time.", None),
        ("", None),
    ],
)
def test_parse_span(answer, span):
    assert parse_span(answer) == span


def test_span_error_is_the_mean_of_both_ends():
    assert span_error("From 20% to 60%.", (0.2, 0.6)) == 0
    assert span_error("From 10% to 90%.", (0.2, 0.6)) == pytest.approx(0.2)
    assert span_error("Never.", (0.2, 0.6)) == 1


def test_true_span_out_of_order_raises():
    with pytest.raises(DataError, match=r"\(0\.6, 0\.2\), expected 0 <= start"):
        span_error("From 20% to 60%.", (0.6, 0.2))
