"""Tasks for `lmms-eval` on videos of the small world, without a network: open answers, pictures, tracks."""

from __future__ import annotations

import json
from pathlib import Path

from sama_plugin.evaluation.benchmarks.shapes import ShapesBenchmark

TASKS = ("shapes_open", "shapes_pictures", "shapes_tracks")

OPTIONS = """generation_kwargs: {max_new_tokens: 8, temperature: 0, do_sample: false, until: ["\\n\\n"]}
process_results: !function functions.process_results
metric_list: [{metric: right, aggregation: !function functions.mean, higher_is_better: true}]
"""
FUNCTIONS = """
from PIL import Image

def video(doc): return [doc["video"]]
def pictures(doc): return [Image.new("RGB", (40, 30), "red"), Image.new("L", (30, 40), 90)]
def question(doc): return "<image> " + doc["question"]
def tracks(doc):
    return "Track the " + doc["question"] + '\\nAnswer in XML:\\n<tracks coords="t0 id0 x0 y0; ...">objects</tracks>'
def process_results(doc, results): return {"right": float(results[0] == doc["answer"])}
def mean(values): return sum(values) / len(values)
"""


def write_tasks(folder: Path, shapes: Path) -> Path:
    """A folder for `--include_path`."""
    folder.mkdir(parents=True)
    benchmark = ShapesBenchmark(shapes)
    samples = [benchmark.sample(dialogue_id) for dialogue_id in benchmark.dialogue_ids]
    turns = [(s, turn) for s in samples for turn in s.turns if not turn.region_ids][:3]
    rows = [{"video": s.video_path, "question": t.question, "answer": t.answer} for s, t in turns]
    (folder / "data.json").write_text(json.dumps(rows))
    (folder / "functions.py").write_text(FUNCTIONS)
    for task in TASKS:
        kind = task.removeprefix("shapes_")
        (folder / f"{task}.yaml").write_text(
            f"task: {task}\n"
            "dataset_path: json\n"
            f"dataset_kwargs: {{data_files: {{test: {folder / 'data.json'}}}}}\n"
            "test_split: test\n"
            "output_type: generate_until\n"
            f"doc_to_visual: !function functions.{'pictures' if kind == 'pictures' else 'video'}\n"
            f"doc_to_text: !function functions.{'tracks' if kind == 'tracks' else 'question'}\n"
            "doc_to_target: answer\n" + OPTIONS
        )
    return folder
