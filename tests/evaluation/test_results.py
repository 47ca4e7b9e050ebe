import dataclasses
import json
import re
import subprocess

import pytest

from sama_plugin.errors import CheckpointError, DataError
from sama_plugin.evaluation import results as results_module
from sama_plugin.evaluation.results import (
    Results,
    code_version,
    fingerprint_folder,
    format_table,
    read_results,
    write_results,
)

RESULTS = Results(
    benchmark="shapes",
    metrics={"J": 0.5, "span_error": None, "held_out/J": 0.25, "J/several": 0.125},
    counts={"J": 8, "span_error": 0, "held_out/J": 4, "J/several": 2, "turns": 9},
    settings={"seed": 0},
    code={"version": "0", "commit": None, "checkpoint": None},
)


def test_written_results_read_back_equal(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, RESULTS)
    assert read_results(path) == RESULTS
    assert json.loads(path.read_text())["schema"] == "sama.results/1"
    assert list(tmp_path.iterdir()) == [path]


def test_not_a_number_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, RESULTS)
    with pytest.raises(DataError, match="not a finite number"):
        write_results(path, dataclasses.replace(RESULTS, metrics={"J": float("nan")}))
    assert read_results(path) == RESULTS


def test_a_folder_that_cannot_be_written_raises(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        write_results(tmp_path / "missing" / "results.json", RESULTS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not a readable results file"),
        ("[]", "has schema None"),
        ('{"schema": "sama.results/2"}', "schema 'sama.results/2', expected 'sama.results/1'"),
        ('{"schema": "sama.results/1", "metrics": {}}', "lacks benchmark, counts, settings, code"),
    ],
)
def test_files_that_are_no_results_raise(tmp_path, content, said):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(DataError, match=said):
        read_results(tmp_path / "results.json")


def test_table_has_subsets_as_columns_and_kinds_as_lines():
    lines = [line.split() for line in format_table(RESULTS).splitlines()]
    assert lines[0] == ["metric", "all", "held", "out", "cases"]
    assert lines[2] == ["J", "0.500", "0.250", "8"]
    assert lines[3] == ["several", "0.125", "2"]
    assert lines[4] == ["span_error", "-", "-", "0"]


def test_fingerprint_follows_names_and_contents(tmp_path):
    for name, text in (("one", "x"), ("same", "x"), ("other", "y")):
        (tmp_path / name / "sam2").mkdir(parents=True)
        (tmp_path / name / "sam2" / "model.safetensors").write_text(text)
    one, same, other = (fingerprint_folder(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same != other
    (tmp_path / "same" / ".cache").write_text("hidden")
    (tmp_path / "same" / "README.md").write_text("J&F is 0.7")
    assert fingerprint_folder(tmp_path / "same") == one
    (tmp_path / "same" / "sam2" / "model.safetensors").rename(tmp_path / "same" / "model.safetensors")
    assert fingerprint_folder(tmp_path / "same") != one


def test_a_checkpoint_that_is_not_there_raises(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere is not a folder"):
        code_version(tmp_path / "nowhere")


def test_commit_is_that_of_the_package_and_of_no_other_repository(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    package = tmp_path / "sama_plugin"
    package.mkdir()
    init = package / "__init__.py"
    init.write_text("")
    monkeypatch.setattr(results_module.sama_plugin, "__file__", str(init))
    git("init")
    git("commit", "--allow-empty", "-m", "another project, the package merely lies in its folder")
    assert code_version()["commit"] is None
    git("add", ".")
    git("commit", "-m", "now it is a part")
    commit = code_version()["commit"]
    assert len(commit) == 40
    init.write_text("changed = True\n")
    first = code_version()["commit"]
    assert re.fullmatch(rf"{commit}\+[0-9a-f]{{12}}", first)
    init.write_text("changed = 2\n")
    assert code_version()["commit"] not in (first, commit)
