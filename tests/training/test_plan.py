from __future__ import annotations

import dataclasses

import pytest

from sama_plugin.cli.main import main
from sama_plugin.training.plan import (
    LLM_NAME,
    LORA_NAME,
    SAM2_NAME,
    TOWER_NAME,
    Plan,
    PlanSettings,
    make_plan,
)

SETTINGS = PlanSettings("0.5b", sam2="sam2.1_hiera_tiny")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(SETTINGS)


def test_tokens_are_at_most_a_quarter_of_the_hosts(plan: Plan) -> None:
    assert plan.tokens == {"frames": 5 * 14 * 14, "context": 32, "text": 256}
    assert plan.host_tokens == 32 * 14 * 14 + 256
    assert sum(plan.tokens.values()) <= plan.host_tokens / 4


def test_flops_of_the_llm_are_two_per_weight_and_token_times_passes(plan: Plan) -> None:
    llm = next(part for part in plan.parts if part.name == LLM_NAME)
    embeddings = 151936 * 896  # tied: read as a table, multiplied as the head of the answer alone
    tokens = sum(plan.tokens.values())
    passes = 4  # forward, again for checkpointing, backward for inputs and for weights
    weights = passes * 2 * ((llm.parameters - embeddings) * tokens + embeddings * 256)
    attention = passes * 24 * 2 * 2 * 896 * tokens**2  # scores and values in each layer
    assert plan.flops[LLM_NAME] == pytest.approx(weights + attention, rel=1e-3)  # norms and biases left out


def test_memory_is_split_as_zero_splits_it(plan: Plan) -> None:
    parameters = sum(part.parameters for part in plan.parts)
    trained = sum(part.trainable for part in plan.parts)
    fixed = {part.name: part for part in plan.parts}
    sam2 = 4 * fixed[SAM2_NAME].parameters
    weights = 2 * (parameters - fixed[SAM2_NAME].parameters)
    assert plan.state_bytes(2, 8) == pytest.approx(weights + sam2 + 14 * trained / 8)
    unsplit = sam2 + 2 * fixed[TOWER_NAME].parameters
    assert plan.state_bytes(3, 8) == pytest.approx(unsplit + (weights + sam2 - unsplit + 14 * trained) / 8)
    assert fixed[SAM2_NAME].trainable == fixed[TOWER_NAME].trainable == 0


def test_lora_trains_little_and_frozen_weights_cost_no_gradient(plan: Plan) -> None:
    lora = make_plan(dataclasses.replace(SETTINGS, lora_rank=8))
    width, key, inner = 896, 128, 4864
    per_layer = (2 * (width + width) + 2 * (width + key)) + 3 * (width + inner)  # q, o; k, v; gate, up, down
    rows = {part.name: part for part in lora.parts}
    assert rows[LORA_NAME].trainable == 24 * 8 * per_layer
    assert rows[LLM_NAME].trainable == 0
    assert lora.flops[LLM_NAME] == pytest.approx(plan.flops[LLM_NAME] * 3 / 4)
    assert lora.state_bytes(2, 1) < plan.state_bytes(2, 1)


def test_plan_is_printed_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-q", "0.5b", "--plan", "--sam2", "sam2.1_hiera_tiny", "--gpus", "16"]) == 0
    shown = capsys.readouterr()
    assert "tokens per sample   1268 (980 frames, 32 context, 256 text)" in shown.out
    assert "16 GPUs" in shown.out
    assert shown.err == ""


def test_plan_names_an_unknown_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "0.5b", "--plan", "--mm_tunable_parts", "mm_everything"]) == 2
    assert "mm_everything" in capsys.readouterr().err
