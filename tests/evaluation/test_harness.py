import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sama_plugin
from sama_plugin.errors import DataError
from sama_plugin.evaluation.benchmarks.shapes import ShapesBenchmark
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.harness import evaluate
from sama_plugin.evaluation.results import read_results
from tests.evaluation.fake_answerers import FIRST_DIALOGUE, SECOND_DIALOGUE, FakeAnswerer, write_shapes

SETTINGS = {"seed": 3, "limits": {"max_new_tokens": 64}}
DIALOGUES = [FIRST_DIALOGUE, SECOND_DIALOGUE] * 3
KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.harness import evaluate
from tests.evaluation.fake_answerers import FakeAnswerer, OracleDialogue
asked = 0
class Dying(OracleDialogue):
    def reply(self, question):
        global asked
        asked += 1
        if asked == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().reply(question)
settings = {"seed": 3, "limits": {"max_new_tokens": 64}}
evaluate(open_benchmark("shapes", Path(sys.argv[1])), FakeAnswerer(Dying), Path(sys.argv[2]), settings)
"""


@pytest.fixture
def benchmark_folder(tmp_path):
    return write_shapes(tmp_path / "data", DIALOGUES)


@pytest.fixture
def steady_code(monkeypatch):
    """Resuming must not depend on whether files of this checkout change while the tests run."""
    monkeypatch.setattr(
        "sama_plugin.evaluation.harness.code_version", lambda checkpoint=None: {"version": "1"}
    )


def test_a_run_writes_results_and_a_line_per_dialogue(benchmark_folder, tmp_path):
    out = tmp_path / "deep" / "out"
    results = evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), out, SETTINGS)
    assert read_results(out / "results.json") == results
    assert results.metrics["J&F"] == 1.0
    assert results.settings == SETTINGS
    assert results.code["version"] == sama_plugin.__version__
    first, *lines = map(json.loads, (out / "predictions.jsonl").read_text().splitlines())
    assert first["benchmark"] == "shapes"
    assert [line["dialogue"] for line in lines] == ShapesBenchmark(benchmark_folder).dialogue_ids
    assert lines[0]["answers"][1]["objects"][0]["rle"][0]["size"] == [24, 32]


def test_a_killed_run_goes_on_and_gives_the_same_results(benchmark_folder, tmp_path):
    root = Path(sama_plugin.__file__).parents[1]
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED_RUN, str(benchmark_folder), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    died = subprocess.run(
        [*command, "10"], env=environment, capture_output=True, check=False
    )  # in dialogue 3
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert not (out / "results.json").exists()
    run_file = out / "predictions.jsonl"
    assert len(run_file.read_text().splitlines()) == 3
    header = json.loads(run_file.read_text().splitlines()[0])
    with run_file.open("a") as file:
        file.write('{"dialogue": "test_0000')  # as if it had died in the middle of a write

    answerer = FakeAnswerer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sama_plugin.evaluation.harness.code_version", lambda checkpoint=None: header["code"])
        resumed = evaluate(ShapesBenchmark(benchmark_folder), answerer, out, SETTINGS)
        unbroken = evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path / "other", SETTINGS)
    assert resumed == unbroken
    assert len(answerer.dialogues) == len(DIALOGUES) - 2
    assert run_file.read_bytes() == (tmp_path / "other" / "predictions.jsonl").read_bytes()


def test_a_finished_run_asks_nothing_again(benchmark_folder, tmp_path, steady_code):
    first = evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path / "out", SETTINGS)
    answerer = FakeAnswerer()
    assert evaluate(ShapesBenchmark(benchmark_folder), answerer, tmp_path / "out", SETTINGS) == first
    assert answerer.dialogues == []


def test_a_header_cut_off_in_the_middle_begins_anew(benchmark_folder, tmp_path):
    (tmp_path / "predictions.jsonl").write_text('{"schema": "sama.pr')
    results = evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path, SETTINGS)
    assert results.counts["dialogues"] == len(DIALOGUES)


def test_another_setting_is_refused_and_named(benchmark_folder, tmp_path, steady_code):
    evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path / "out", SETTINGS)
    other = {"seed": 3, "limits": {"max_new_tokens": 65}, "extra": True}
    said = (
        r"settings\.extra is None there and True now; settings\.limits\.max_new_tokens is 64 there and 65 now"
    )
    with pytest.raises(DataError, match=said):
        evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path / "out", other)


def test_other_data_and_other_code_are_refused(benchmark_folder, tmp_path, steady_code, monkeypatch):
    evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path / "out", SETTINGS)
    fewer = ShapesBenchmark(write_shapes(tmp_path / "fewer", DIALOGUES[:1]))
    with pytest.raises(DataError, match="differs: data is"):
        evaluate(fewer, FakeAnswerer(), tmp_path / "out", SETTINGS)
    monkeypatch.setattr(
        "sama_plugin.evaluation.harness.code_version", lambda checkpoint=None: {"version": "2"}
    )
    with pytest.raises(DataError, match=r"differs: code\.version is '1' there and '2' now"):
        evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path / "out", SETTINGS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json\n", "line 1 is not JSON"),
        ("[1]\n", "line 1 is no object"),
        ('{"schema": "else"}\n', "begins with schema 'else'"),
    ],
)
def test_a_file_that_is_no_run_is_refused(benchmark_folder, tmp_path, content, said):
    (tmp_path / "predictions.jsonl").write_text(content)
    with pytest.raises(DataError, match=said):
        evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path, SETTINGS)
    assert (tmp_path / "predictions.jsonl").read_text() == content


def test_two_runs_at_once_are_refused(benchmark_folder, tmp_path):
    class Intruder(FakeAnswerer):
        def start(self, sample):
            evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path / "out", SETTINGS)
            return super().start(sample)

    with pytest.raises(DataError, match="written by another process"):
        evaluate(ShapesBenchmark(benchmark_folder), Intruder(), tmp_path / "out", SETTINGS)


def test_settings_json_cannot_hold_are_refused(benchmark_folder, tmp_path):
    with pytest.raises(DataError, match="Settings must be plain"):
        evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path / "out", {"path": Path("x")})
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_refused(benchmark_folder, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match="cannot be opened for writing"):
        evaluate(ShapesBenchmark(benchmark_folder), FakeAnswerer(), tmp_path / "out", SETTINGS)


def test_unknown_benchmark_names_near_matches(tmp_path):
    with pytest.raises(DataError, match="no benchmark 'shaps'; did you mean shapes"):
        open_benchmark("shaps", tmp_path)
