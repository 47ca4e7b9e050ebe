from __future__ import annotations

from pathlib import Path

import pytest

from sama_plugin.data.annotation.prompts import PLACEHOLDERS, copy_prompts, load_prompts
from sama_plugin.errors import DataError


def test_shipped_prompts_can_be_filled_in() -> None:
    prompts = load_prompts()
    for name, keys in PLACEHOLDERS.items():
        text = prompts.fill(name, **dict.fromkeys(keys, "VALUE"))
        assert text
        assert "$" not in text
    assert prompts.focus(0) != prompts.focus(1)
    assert prompts.focus(4) == prompts.focus(0)


def test_copies_can_be_changed_and_change_the_digest(tmp_path: Path) -> None:
    paths = copy_prompts(tmp_path / "mine")
    assert {path.stem for path in paths} == set(PLACEHOLDERS)
    own = load_prompts(tmp_path / "mine")
    assert own.digest == load_prompts().digest
    (tmp_path / "mine/system.txt").write_text("Be brief.")
    assert load_prompts(tmp_path / "mine").digest != own.digest
    with pytest.raises(DataError, match="is there already"):
        copy_prompts(tmp_path / "mine")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("repair", "Write it again.", r"lacks \$faults"),
        ("repair", "$faults and $more", r"has \$more, which nothing fills in; expected \$faults"),
        ("repair", "$faults\ncosts 5 $", r"line 2 has a \$ that begins no placeholder"),
        ("system", "$x", "expected none"),
    ],
)
def test_a_prompt_that_cannot_be_filled_in_is_refused(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    copy_prompts(tmp_path)
    (tmp_path / f"{name}.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        load_prompts(tmp_path)


def test_a_missing_prompt_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sama annotate --copy-prompts"):
        load_prompts(tmp_path)
