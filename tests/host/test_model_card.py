from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import EvalResult, ModelCard

from sama_plugin.errors import CheckpointError
from sama_plugin.host.model_card import CardNumbers, card_text, has_numbers

BY_HAND = """---
license: mit
tags: [mine]
base_model: owner/llm
---
# Title

Before.
<!-- sama: checkpoint -->
old
<!-- /sama: checkpoint -->
After.
"""


def numbers(value: float = 0.5) -> CardNumbers:
    return CardNumbers([EvalResult("video-text-to-text", "shapes", "shapes", "J", value)], f"J is {value}.")


def test_new_card_tells_sizes_and_use(tiny_checkpoint: Path) -> None:
    card = ModelCard(card_text(tiny_checkpoint, "owner/tiny", license="apache-2.0"))
    assert card.data.to_dict() == {
        "license": "apache-2.0",
        "library_name": "sama_plugin",
        "pipeline_tag": "video-text-to-text",
        "tags": ["sama", "llava", "video", "referring-video-object-segmentation", "grounded-video-chat"],
    }
    assert card.text.startswith("# tiny\n")
    for said in (
        "4 layers, 160 wide",
        "SAM2, frozen | ",
        "float32",
        'path = "owner/tiny"',
    ):
        assert said in card.text
    assert not has_numbers(card.text)


def test_parameters_are_those_of_the_files(tiny_checkpoint: Path, loaded: object) -> None:
    from safetensors.torch import load_file

    count = sum(
        tensor.numel() for tensor in load_file(tiny_checkpoint / "sam2" / "model.safetensors").values()
    )
    assert f"px; {count / 1e6:.1f} M parameters, float32" in card_text(tiny_checkpoint, "x")


def test_what_a_person_wrote_stays_and_the_rest_is_made_anew(tiny_checkpoint: Path) -> None:
    card = ModelCard(card_text(tiny_checkpoint, "x", BY_HAND))
    assert (card.data.license, card.data.base_model) == ("mit", "owner/llm")
    assert card.data.tags[:2] == ["mine", "sama"]
    assert card.text.startswith("# Title\n\nBefore.\n<!-- sama: checkpoint -->\n| part | size |")
    assert card.text.endswith("<!-- /sama: checkpoint -->\nAfter.\n")
    assert "old" not in card.text


def test_card_made_twice_is_the_same(tiny_checkpoint: Path) -> None:
    once = card_text(tiny_checkpoint, "x", BY_HAND, numbers())
    assert card_text(tiny_checkpoint, "x", once, numbers()) == once
    assert card_text(tiny_checkpoint, "x", once) == once, "without results the numbers stay"


def test_numbers_are_in_the_front_matter_and_replaced(tiny_checkpoint: Path) -> None:
    text = card_text(tiny_checkpoint, "x", card_text(tiny_checkpoint, "x", BY_HAND, numbers()), numbers(0.25))
    assert has_numbers(text)
    assert "J is 0.25." in text
    assert "J is 0.5." not in text
    (entry,) = ModelCard(text).data.eval_results
    assert (entry.dataset_type, entry.metric_type, entry.metric_value) == ("shapes", "J", 0.25)


def test_card_without_front_matter_gets_one(tiny_checkpoint: Path) -> None:
    card = ModelCard(card_text(tiny_checkpoint, "x", "# Mine\n"))
    assert card.data.library_name == "sama_plugin"
    assert card.text.startswith("# Mine\n")


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("---\n[1]\n---\n", r"front matter of .*README\.md cannot be read: .*dict"),
        ("---\na: [\n---\n", r"front matter of .*README\.md cannot be read"),
        ("---\na: 1\n---\n<!-- sama: checkpoint -->", r"should have <!-- sama: checkpoint --> once and"),
        ("<!-- /sama: checkpoint --><!-- sama: checkpoint -->", r"once after it; mend or delete"),
    ],
)
def test_card_that_cannot_be_read_is_told(tiny_checkpoint: Path, before: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        card_text(tiny_checkpoint, "x", before)
