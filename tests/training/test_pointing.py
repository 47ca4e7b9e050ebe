from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sama_plugin.constants import FRAME_TOKEN_INDEX, IGNORE_INDEX, PHRASE_START, SEG_TOKEN
from sama_plugin.data.collator import SamaCollator
from sama_plugin.data.shapes.dialogues import _next_topic, make_dialogues
from sama_plugin.data.shapes.world import sample_scene
from sama_plugin.schema import Turn
from sama_plugin.training.pointing import (
    MAX_OBJECTS,
    POINTING_HEADS,
    POINTING_LAYERS,
    RECALL_HEADS,
    RECALL_LAYERS,
    PointerBatch,
    Pointers,
    _topics,
    collate_pointers,
    find_pointers,
    mention_ends,
    pointing_loss,
    recall_loss,
    wanted_frame_tokens,
)
from sama_plugin.training.seg_alignment import phrase_attributes
from tests.conftest import load_checkpoint
from tests.data.made_samples import make_dataset, make_sample, mask_ids

NAMES = ("small red circle", "large blue square", "large white star")


@pytest.fixture
def example(loaded: Any, shapes_set: Path) -> Any:
    a, b = mask_ids(shapes_set, "00000")[:2]
    turns = [
        Turn("What does <mask> do?", "It stays still.", (a,)),
        Turn("Find another.", "<p> The blue square </p> [SEG].", (), ((b,),), kind="other_same_size"),
        Turn("What colour is it?", "Blue.", kind="it_colour"),
        Turn(
            "Find both.",
            "<p> The small red circle </p> [SEG] and <p> the large blue square </p> [SEG].",
            (),
            ((a,), (b,)),
        ),
        Turn("What hits <mask>?", "The large blue square.", (a,)),
        Turn("Find the white cross.", "There is no white cross."),
        Turn("Is <mask> larger than <mask>?", "No.", (a, b)),
        Turn("Describe it.", "<p> The small red circle </p> [SEG] stays.", (), ((a,),), kind="describe"),
    ]
    return make_dataset(loaded, [make_sample(shapes_set, "00000", turns, "points")])[0]


@pytest.fixture
def pointers(example: Any, loaded: Any, shapes_set: Path) -> Pointers:
    ids = tuple(mask_ids(shapes_set, "00000"))[:2]
    attributes = torch.stack([phrase_attributes(name) for name in NAMES])
    return find_pointers(example, loaded.tokenizer, (*ids, "other"), attributes)


def batch_of(example: Any, pointers: Pointers, owners: torch.Tensor) -> PointerBatch:
    return collate_pointers([pointers], [wanted_frame_tokens(example.input_ids, pointers, owners)])


def test_tokens_before_answers_and_phrases_point_at_what_they_are_about(
    example: Any, loaded: Any, pointers: Pointers
) -> None:
    ids, tokenizer = example.input_ids, loaded.tokenizer
    found = [
        (
            tokenizer.decode([n for n in ids[p : p + 2].tolist() if n >= 0]).split(),
            torch.nonzero(row)[:, 0].tolist(),
        )
        for p, row in zip(pointers.positions.tolist(), pointers.objects, strict=True)
    ]
    first, next_, last = [PHRASE_START, "The"], [PHRASE_START, "the"], [f"{SEG_TOKEN}."]
    assert found == [
        (["It"], [0]),  # the region
        ([PHRASE_START], [1]),
        (first, [1]),
        (last, []),
        (["Blue"], [1]),  # what "it" is
        ([PHRASE_START], [0, 1]),  # both
        (first, [0]),
        ([SEG_TOKEN, "and"], [1]),  # what is left to name
        (next_, [1]),
        (last, []),
        (["The"], [1]),  # the one named
        (["There"], []),
        # whether one is larger does not tell
        ([PHRASE_START], [0]),
        (first, [0]),  # and goes on about it after `[SEG]`
    ]
    assert pointers.owners()[3:7].tolist() == [0, 2, IGNORE_INDEX, 1]


def test_tokens_look_back_at_what_it_means_and_what_is_named_already(
    example: Any, loaded: Any, pointers: Pointers
) -> None:
    ends = torch.nonzero(torch.isin(example.input_ids, mention_ends(loaded.tokenizer)))[:, 0].tolist()
    found = [[ends.index(p) for p in torch.nonzero(row)[:, 0].tolist()] for row in pointers.mentions]
    # ends: 0 region, 1 another, 2 and 3 both, 4 region, 5 and 6 regions, 7 described
    another, both = [[0], [0], [1]], [[], [], [2], [2], [2, 3]]
    assert found == [[], *another, [1], *both, [], [], [], []]


def test_topics_are_those_of_the_small_world() -> None:
    rng = np.random.default_rng(0)
    looked_back = 0
    for _ in range(60):
        scene = sample_scene(rng, "train")
        for rounds in make_dialogues(scene, rng, 4, split="train"):
            topic, wanted = None, []
            for made in rounds:
                speaks_of_it = made.needs_history and not made.regions
                wanted.append((str(topic),) if speaks_of_it else ())
                looked_back += speaks_of_it
                topic = _next_topic(topic, made)
            turns = [
                Turn(
                    r.question,
                    r.answer,
                    tuple(map(str, r.regions)),
                    tuple((str(k),) for k in r.targets),
                    kind=r.kind,
                )
                for r in rounds
            ]
            assert list(_topics(turns)) == wanted
    assert looked_back > 50


def test_shares_are_those_of_the_model_s_own_attention(
    tiny_checkpoint: Path, example: Any, pointers: Pointers
) -> None:
    model = load_checkpoint(tiny_checkpoint, attn_implementation="eager").model.requires_grad_(False)
    batch = SamaCollator(0)([example])
    outputs = model(**{**batch, "grounding": None}, output_hidden_states=True, output_attentions=True)
    is_frame = example.input_ids == FRAME_TOKEN_INDEX
    owner = torch.randint(0, 3, (int(is_frame.sum()),), generator=torch.Generator().manual_seed(0))
    together = batch_of(example, pointers, owner)
    loss, right = pointing_loss(model, outputs.hidden_states, together)
    on_frames = torch.zeros(len(is_frame), dtype=torch.long)
    on_frames[is_frame] = 1 + owner
    logs = []
    half = model.config.num_hidden_layers // 2
    for layer in range(half, half + POINTING_LAYERS):
        attention = outputs.attentions[layer][0, list(POINTING_HEADS)].mean(dim=0)
        for position, row in zip(pointers.positions.tolist(), pointers.objects, strict=True):
            meant = [2 + k for k in torch.nonzero(row)[:, 0].tolist()] or [0]
            logs.append(-attention[position, torch.isin(on_frames, torch.tensor(meant))].sum().log())
    torch.testing.assert_close(loss, torch.stack(logs).mean())
    assert float(right) == pytest.approx(sum(float(v) < 0.6931 for v in logs) / len(logs))
    loss, _ = recall_loss(model, outputs.hidden_states, together)
    looking = pointers.mentions.any(dim=1)
    shares = [
        (
            outputs.attentions[layer][0, list(RECALL_HEADS)].mean(dim=0)[pointers.positions]
            * pointers.mentions
        ).sum(-1)
        for layer in range(half - 1, half - 1 + RECALL_LAYERS)
    ]
    torch.testing.assert_close(loss, -torch.cat([s[looking] for s in shares]).log().mean())


def test_objects_on_no_frame_token_count_nowhere(loaded: Any, example: Any, pointers: Pointers) -> None:
    batch = SamaCollator(0)([example])
    hidden = loaded.model(**{**batch, "grounding": None}, output_hidden_states=True).hidden_states
    empty = torch.zeros(int((example.input_ids == FRAME_TOKEN_INDEX).sum()), dtype=torch.long)
    only_none, _ = pointing_loss(loaded.model, hidden, batch_of(example, pointers, empty))
    chosen = ~pointers.objects.any(dim=1)
    none = Pointers(*(rows[chosen] for rows in pointers))
    torch.testing.assert_close(
        only_none, pointing_loss(loaded.model, hidden, batch_of(example, none, empty))[0]
    )
    nobody = batch_of(example, Pointers(*(rows[:0] for rows in pointers)), empty)
    nothing = (*pointing_loss(loaded.model, hidden, nobody), *recall_loss(loaded.model, hidden, nobody))
    assert [float(v) for v in nothing] == [0, 0, 0, 0]


def test_padding_changes_no_loss(loaded: Any, example: Any, pointers: Pointers, shapes_set: Path) -> None:
    turns = [Turn("Find the white cross.", "There is no white cross.")]
    short = make_dataset(loaded, [make_sample(shapes_set, "00000", turns, "short")])[0]
    few = find_pointers(short, loaded.tokenizer, ("other",), torch.zeros(1, 3, dtype=torch.long))
    generator = torch.Generator().manual_seed(0)
    looks, alone = [], []
    for item, own in ((example, pointers), (short, few)):
        owners = torch.randint(0, 3, (int((item.input_ids == FRAME_TOKEN_INDEX).sum()),), generator=generator)
        looks.append(wanted_frame_tokens(item.input_ids, own, owners))
        hidden = loaded.model(**{**SamaCollator(0)([item]), "grounding": None}, output_hidden_states=True)
        loss, _ = pointing_loss(loaded.model, hidden.hidden_states, collate_pointers([own], looks[-1:]))
        alone.append(float(loss) * int(looks[-1].any(dim=1).sum()))
    both = SamaCollator(0)([example, short])
    hidden = loaded.model(**{**both, "grounding": None}, output_hidden_states=True)
    loss, _ = pointing_loss(loaded.model, hidden.hidden_states, collate_pointers([pointers, few], looks))
    (slope,) = torch.autograd.grad(loss, hidden.hidden_states[-3])
    assert slope.isfinite().all()
    assert slope.any()
    asked = sum(int(rows.any(dim=1).sum()) for rows in looks)
    assert float(loss) == pytest.approx(sum(alone) / asked, rel=1e-4)


def test_an_example_that_mentions_nothing_points_all_the_same(loaded: Any, shapes_set: Path) -> None:
    turns = [Turn("Find the white cross.", "There is no white cross.")]
    example = make_dataset(loaded, [make_sample(shapes_set, "00000", turns, "nothing")])[0]
    pointers = find_pointers(example, loaded.tokenizer, ("other",), torch.zeros(1, 3, dtype=torch.long))
    assert [tuple(rows.shape) for rows in pointers] == [(1,), (1, MAX_OBJECTS), (1, len(example.input_ids))]
    assert not pointers.mentions.any()
