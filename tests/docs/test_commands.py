"""The checks of commands see what is wrong, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.commands import fault_of, split_commands, split_console, split_words
from tests.docs.options import options_of
from tests.docs.pages import Block, read_blocks


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("sama chat clip.mp4 --ask 'What is <r1>?'", None),
        ("sama chat clip.mp4 --aks x", "--aks"),
        ("sama eval shapes --data D --out E", None),
        ("sama eval shapes --data D", "--out"),
        ("sama nonsense", "nonsense"),
        ("sama train 7b --plan --gpus 4", None),
        ("sama train 7b --plan --gups 4", "--gups"),
        (
            "NPROC=2 bash scripts/finetune_sama.sh 7b --start A --data B --out C --deepspeed scripts/zero3.json",
            None,
        ),
        ("bash scripts/finetune_sama.sh 7b --strat A", "--strat"),
        ("bash scripts/finetune_sama.sh 70b --plan", "got '70b"),
        ("bash scripts/missing.sh", "no file scripts/missing.sh"),
        ("python -m sama_plugin.training.missing", "no module"),
        ("pip install -e .[host,web]", None),
        ("pip install -e .[hots]", "no extra hots"),
        ("cat data_configs/missing.yaml", "no file"),
        ("git status", None),
    ],
)
def test_faults_are_seen(line: str, fault: str | None) -> None:
    [words] = split_words(line)
    found = fault_of(words)
    assert (found is None) if fault is None else (found is not None and fault in found), found


def test_blocks_are_taken_apart() -> None:
    assert split_commands("a b   # why\n\n# only words\nc \\\n  d\n") == ["a b", "c    d"]
    assert split_console("$ a\nsays\nthis\n$ b\n") == [("a", "says\nthis\n"), ("b", "")]
    assert split_words("X=1 a 'b | c' > d && e") == [["a", "b | c"], ["e"]]


def test_marks_before_a_block_are_its_own(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run, `a`, `b c`: they are slow -->\n<!-- run with `1` for `60` -->\n"
        "```bash\na\nd 60\n```\nwords\n```bash\ne\n```\n<!-- not run: it needs\na GPU -->\n```python\nf\n```\n"
    )
    first, second, third = read_blocks(page)
    assert (first.commands_not_run, first.is_run, first.in_small("d 60")) == (["a", "b c"], True, "d 1")
    assert (second.comments, second.is_run, second.line) == ([], True, 9)
    assert not third.is_run


def test_options_are_those_of_the_verb_that_is_meant() -> None:
    assert "--region" in options_of(["chat"])
    assert "--region" not in options_of(["shapes"])
    assert "--codes" in options_of(["data", "check"])
    assert "--lora_r" in options_of(["train", "7b"])


def test_a_block_is_run_unless_it_says_why_not() -> None:
    assert Block(Path(), 1, "bash", "a\n", ["not run:"]).is_run
    assert not Block(Path(), 1, "bash", "a\n", ["not run: it needs a GPU"]).is_run
