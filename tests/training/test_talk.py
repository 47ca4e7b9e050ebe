from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sama_plugin.constants import FRAME_TOKEN_INDEX, IGNORE_INDEX, PHRASE_START
from sama_plugin.data.collator import SamaCollator
from sama_plugin.data.shapes.followups import NEEDS_HISTORY
from sama_plugin.errors import DataError
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.training import talk
from sama_plugin.training.context_targets import MOTION_KINDS, context_losses, subject_of
from sama_plugin.training.patch_names import COLOUR
from sama_plugin.training.pointing import mention_ends
from sama_plugin.training.sam2_pretrain import AttributeEmbedding
from sama_plugin.training.scene_facts import MOVING_VOCABULARIES, STILL_ATTRIBUTES, read_facts
from sama_plugin.training.seg_alignment import phrase_attributes
from sama_plugin.training.short_loop import STATE_FILE
from sama_plugin.training.talk import (
    FINAL_RATE,
    FIRST_MOVING_FRAME,
    NAMERS_FILE,
    TALK_LAYERS,
    SeenBatch,
    SeenDataset,
    attribute_tokens,
    collate_seen,
    ease_matching,
    grow_llm,
    load_namers,
    new_namers,
    seen_dataset,
    talk_losses,
    train_talk,
)
from sama_plugin.training.train import BROKEN_FILE
from tests.conftest import load_checkpoint

MIXTURE = "datasets: [{json_path: records.json, mask_path: mask_dict.json, video_root: ., frames: %s}]"


@pytest.fixture
def datasets(
    fresh_model: Any, loaded: Any, shapes_set: Path, tmp_path: Path
) -> tuple[SeenDataset, SeenDataset]:
    facts = read_facts(shapes_set)
    made = []
    for frames in ("clip", "single"):
        path = tmp_path / f"{frames}.yaml"
        path.write_text(MIXTURE % frames)
        made.append(seen_dataset(fresh_model, loaded.tokenizer, path, shapes_set, facts, seed=0))
    return made[0], made[1]


def test_frame_tokens_are_labelled_with_what_their_records_say(datasets: Any, shapes_set: Path) -> None:
    clips, frames = datasets
    item = clips[0]
    assert item.example.grounding is None  # no mask loss reads it
    per_frame = item.patches.unflatten(0, (5, 64))
    assert (per_frame[:FIRST_MOVING_FRAME, :, STILL_ATTRIBUTES:] == IGNORE_INDEX).all()
    facts = clips.facts[item.example.video_path]
    for t, frame in enumerate(item.example.dense_frames):
        seen = {tuple(row[:STILL_ATTRIBUTES]) for row in per_frame[t].tolist() if row[0] > 0}
        there = {
            tuple(row[:STILL_ATTRIBUTES])
            for row, track in zip((1 + facts.attributes).tolist(), facts.tracks, strict=True)
            if track[frame] is not None
        }
        assert seen <= there
    assert int(per_frame[FIRST_MOVING_FRAME:].max()) <= max(len(words) for words in MOVING_VOCABULARIES)
    assert frames[0].patches.shape == (64, len(MOVING_VOCABULARIES))


def test_a_sample_that_cannot_be_read_is_named_and_the_next_one_taken(
    fresh_model: Any, loaded: Any, shapes_set: Path, tmp_path: Path
) -> None:
    path, report = tmp_path / "clip.yaml", tmp_path / "talk" / BROKEN_FILE
    path.write_text(MIXTURE % "clip")
    seen = seen_dataset(
        fresh_model, loaded.tokenizer, path, shapes_set, read_facts(shapes_set), seed=0, report=report
    )
    samples = seen.examples.samples
    track = next(iter(samples[0].masks.values()))
    good = next(
        i for i, sample in enumerate(samples) if all(own is not track for own in sample.masks.values())
    )
    track.append(None)  # made for another video
    example = seen[0].example
    assert example.sample_id == samples[good].sample_id
    named = [json.loads(line)["sample"] for line in report.read_text().splitlines()]
    assert named == [sample.sample_id for sample in samples[:good]]


@pytest.fixture
def unswapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers go in as they are."""
    monkeypatch.setattr("sama_plugin.training.talk.WORD_NOISE", 0.0)


def test_mentions_are_labelled_with_the_object_they_mean(datasets: Any, loaded: Any, unswapped: None) -> None:
    clips, frames = datasets
    seg, region = (loaded.tokenizer.convert_tokens_to_ids(token) for token in ("[SEG]", "</vp>"))
    checked = 0
    for item in (clips[i] for i in range(len(clips))):
        example = item.example
        ends = [t for t in example.input_ids.tolist() if t in (seg, region)]
        assert len(ends) == len(item.mentions)
        answers = loaded.tokenizer.decode(example.labels[example.labels != IGNORE_INDEX])
        named = item.mentions[torch.tensor(ends) == seg, :STILL_ATTRIBUTES]
        for row, phrase in zip(named, parse_answer(answers).phrases, strict=True):
            assert torch.equal(row, 1 + phrase_attributes(phrase))
            checked += 1
        assert (item.mentions > 0).all()
    assert checked
    assert (frames[0].mentions[:, STILL_ATTRIBUTES:] == IGNORE_INDEX).all()  # one frame shows no motion


def test_swapped_words_go_in_but_do_not_come_out(datasets: Any, loaded: Any) -> None:
    frames = datasets[1]
    groups = [set(words.tolist()) for words in attribute_tokens(loaded.tokenizer)]
    ends = set(mention_ends(loaded.tokenizer).tolist())
    swapped = kept = 0
    for index in range(len(frames)):
        for epoch in range(4):
            frames.set_epoch(epoch)
            item, plain = frames[index], frames.examples[index]
            ids, before = item.example.input_ids.tolist(), plain.input_ids.tolist()
            assert torch.equal(item.example.labels, plain.labels)
            rows, is_changed = iter(item.mentions[:, 0].tolist()), False
            for new, old, label in zip(ids, before, plain.labels.tolist(), strict=True):
                if new != old:
                    assert label == old  # in an answer
                    assert any({new, old} <= group for group in groups)
                    is_changed = True
                if new in ends:
                    assert (next(rows) == IGNORE_INDEX) == is_changed
                    swapped, kept, is_changed = swapped + is_changed, kept + (not is_changed), False
    assert swapped
    assert kept


def test_words_that_are_looked_back_at_are_not_swapped(
    datasets: Any, loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sama_plugin.training.talk.WORD_NOISE", 1.0)
    clips = datasets[0]
    start, end = loaded.tokenizer.convert_tokens_to_ids([PHRASE_START, "<|im_end|>"])
    seen = set()
    for index in range(len(clips)):
        example, plain = clips[index].example, clips.examples[index]
        looks_back = any(turn.kind.startswith(NEEDS_HISTORY) for turn in plain.turns)
        changed = torch.nonzero(example.input_ids != plain.input_ids)[:, 0].tolist()
        seen.add((looks_back, bool(changed)))
        for place in changed:
            rest = plain.input_ids[place:].tolist()
            assert start not in rest[: rest.index(end)]  # no other phrase follows in the answer
    assert seen >= {(True, False), (False, True)}
    assert (True, True) not in seen


def test_what_tokens_point_at_is_labelled_with_its_name(datasets: Any, loaded: Any) -> None:
    kinds = set()
    for index in range(len(datasets[0])):
        item = datasets[0][index]
        answers = loaded.tokenizer.decode(item.example.labels[item.example.labels != IGNORE_INDEX])
        phrases = [phrase_attributes(phrase) for phrase in parse_answer(answers).phrases]
        start = loaded.tokenizer.convert_tokens_to_ids(PHRASE_START)
        is_start = datasets[0].examples[index].input_ids[item.pointers.positions] == start
        for row, phrase in zip(item.coming[is_start], phrases, strict=True):
            assert torch.equal(row[:STILL_ATTRIBUTES], 1 + phrase)
        for row, owner in zip(item.coming, item.pointers.owners().tolist(), strict=True):
            assert (row == {0: 0, IGNORE_INDEX: IGNORE_INDEX}.get(owner, row)).all()
            kinds.add(min(owner, 1))
    assert kinds >= {0, 1}


def test_no_colour_without_a_name_comes_out(
    datasets: Any, loaded: Any, unswapped: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = datasets[0]
    colours = attribute_tokens(loaded.tokenizer)[COLOUR]
    index, plain = next((i, clips[i]) for i in range(len(clips)) if len(clips[i].mentions) > 1)
    facts = clips.facts[plain.example.video_path]
    unnamed = facts._replace(named=torch.zeros_like(facts.named))
    monkeypatch.setitem(clips.facts, plain.example.video_path, unnamed)
    hidden = clips[index]
    before, after = plain.example, hidden.example
    is_name = (before.labels != after.labels).nonzero()[:, 0]
    assert len(is_name)
    assert torch.isin(before.input_ids[is_name], colours).all()
    assert torch.isin(after.input_ids[is_name], colours).all()
    assert (after.labels[is_name] == IGNORE_INDEX).all()
    assert torch.equal(before.input_ids[: is_name[0]], after.input_ids[: is_name[0]])
    for labels, known in ((hidden.patches, plain.patches), (hidden.mentions, plain.mentions)):
        is_object = known[:, 0] > 0
        assert (labels[is_object, COLOUR] == IGNORE_INDEX).all()
        assert torch.equal(labels[:, [0, 2]], known[:, [0, 2]])
    assert torch.equal(hidden.pointers.positions, plain.pointers.positions)


def one_batch(item: Any) -> SeenBatch:
    return collate_seen(SamaCollator(0), [item])


def test_context_tokens_are_read_question_by_question(
    fresh_model: Any, loaded: Any, datasets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[torch.Tensor]] = []

    def losses_of(reader: Any, tokens: list[torch.Tensor], targets: Any) -> Any:
        read.append(tokens)
        return context_losses(reader, tokens, targets)

    monkeypatch.setattr(talk, "context_losses", losses_of)
    ends = mention_ends(loaded.tokenizer)
    namers = new_namers(fresh_model)
    clips, frames = datasets
    items = [clips[0], clips[len(clips) - 1]]
    assert items[0].example.video.num_sparse != items[1].example.video.num_sparse
    batch = collate_seen(SamaCollator(loaded.tokenizer.pad_token_id), items)
    losses = talk_losses(fresh_model, ends, None, namers, batch)
    videos = batch.inputs["videos"]
    features = fresh_model.encode_frames([video.pixel_values for video in videos])
    regions = [tokens.aggregator for tokens in fresh_model.region_tokens(videos, features)]
    made = [own for clip in fresh_model.context_tokens(videos, features, regions) for own in clip]
    for own, expected in zip(read[0], made, strict=True):
        torch.testing.assert_close(own, expected)
    row = 0
    for item in items:
        facts = clips.facts[item.example.video_path]
        for turn in item.example.turns:
            subject = subject_of(turn)
            tracked = 0 if subject is None else item.example.video.num_sparse
            assert int(batch.context.tracked[row].sum()) == tracked
            if subject is not None and turn.kind in MOTION_KINDS:
                motion = facts.attributes[facts.ids.index(subject), STILL_ATTRIBUTES:]
                assert torch.equal(batch.context.motions[row], motion)
            row += 1
    assert row == len(batch.context.tracked)
    assert float(losses.context.detach()) > 0
    of_frames = talk_losses(
        fresh_model,
        ends,
        None,
        namers,
        collate_seen(SamaCollator(loaded.tokenizer.pad_token_id), [frames[0]]),
    )
    assert float(of_frames.context.detach()) == 0


def test_a_model_without_aggregator_learns_to_talk(
    fresh_model: Any, loaded: Any, shapes_set: Path, tmp_path: Path
) -> None:
    fresh_model.config.sama = replace(fresh_model.sama, use_aggregator=False).to_dict()
    fresh_model.projector.aggregator = None
    path = tmp_path / "clip.yaml"
    path.write_text(MIXTURE % "clip")
    clips = seen_dataset(fresh_model, loaded.tokenizer, path, shapes_set, read_facts(shapes_set), seed=0)
    batch = collate_seen(SamaCollator(loaded.tokenizer.pad_token_id), [clips[0]])
    namers = new_namers(fresh_model)
    losses = talk_losses(fresh_model, mention_ends(loaded.tokenizer), None, namers, batch)
    assert float(losses.context) == 0
    assert losses.total.isfinite()


def test_new_layers_change_no_answer_until_they_learn(fresh_model: Any, datasets: Any) -> None:
    inputs = one_batch(datasets[0][0]).inputs
    before = fresh_model(**inputs).logits
    layers = len(fresh_model.get_model().layers)
    assert layers < TALK_LAYERS
    for _ in range(2):  # the second time there is nothing to do
        grow_llm(fresh_model, TALK_LAYERS)
        assert len(fresh_model.get_model().layers) == fresh_model.config.num_hidden_layers == TALK_LAYERS
    assert [layer.self_attn.layer_idx for layer in fresh_model.get_model().layers] == list(range(TALK_LAYERS))
    torch.testing.assert_close(fresh_model(**inputs).logits, before)


@pytest.mark.parametrize("of_mentions", [False, True])
def test_heads_are_eased_by_what_is_named_alone(
    fresh_model: Any, loaded: Any, datasets: Any, unswapped: None, of_mentions: bool
) -> None:
    def eased(batch: SeenBatch) -> torch.Tensor:
        index = fresh_model.config.num_hidden_layers // 2 if of_mentions else 0
        ease_matching(fresh_model, mention_ends(loaded.tokenizer), iter([batch]), of_mentions=of_mentions)
        return fresh_model.get_model().layers[index].self_attn.k_proj.weight.detach().clone()

    batch = one_batch(datasets[0][0])
    before = eased(batch)
    labels = batch.patches.clone()
    shape = labels[labels[:, 0] > 0][0, 2]
    labels[labels[:, 2] == shape, COLOUR] = IGNORE_INDEX
    hidden = eased(batch._replace(patches=labels))
    assert torch.isfinite(hidden).all()
    assert not torch.equal(hidden, before)


def test_eased_heads_attend_to_the_same_object(fresh_model: Any, loaded: Any, datasets: Any) -> None:
    item = datasets[0][0]
    batch = one_batch(item)
    inputs = batch.inputs
    layer = fresh_model.get_model().layers[0]
    before = layer.self_attn.q_proj.weight.detach().clone()
    ease_matching(fresh_model, mention_ends(loaded.tokenizer), iter([batch]), of_mentions=False)
    after = layer.self_attn.q_proj.weight.detach()
    width = layer.self_attn.head_dim
    assert torch.equal(before[2 * width :], after[2 * width :])  # the other heads stay
    assert torch.equal(after[:width], layer.self_attn.k_proj.weight[:width])
    reading = after[:width]
    features = fresh_model.encode_frames([inputs["videos"][0].pixel_values])
    embeds = fresh_model.embed_batch(inputs["input_ids"], inputs["videos"], features, inputs["sample_ids"])
    tokens = layer.input_layernorm(embeds[0][inputs["input_ids"][0] == FRAME_TOKEN_INDEX])
    seen = tokens @ reading.T
    labels = item.patches[:, :STILL_ATTRIBUTES]
    on_object = labels[:, 0] > 0
    scores = seen[on_object] @ seen[on_object].T
    same = (labels[on_object][:, None] == labels[on_object][None]).all(-1)
    assert scores[same].mean().item() > scores[~same].mean().item() + 1


def test_eased_mentions_look_at_frame_tokens_of_their_object(
    fresh_model: Any, loaded: Any, datasets: Any, unswapped: None
) -> None:
    item = next(item for item in (datasets[0][i] for i in range(99)) if len(item.mentions.unique(dim=0)) > 1)
    batch = one_batch(item)
    index = fresh_model.config.num_hidden_layers // 2
    ease_matching(fresh_model, mention_ends(loaded.tokenizer), iter([batch]), of_mentions=True)
    layer = fresh_model.get_model().layers[index]
    hidden = fresh_model(**batch.inputs, output_hidden_states=True).hidden_states[index]
    ids, ends = batch.inputs["input_ids"], ["</vp>", "[SEG]"]
    is_end = torch.isin(ids, torch.tensor(loaded.tokenizer.convert_tokens_to_ids(ends)))
    width = layer.self_attn.head_dim
    queries, keys = (
        (layer.input_layernorm(hidden[where]) @ projection.weight[:width].T)
        for where, projection in (
            (is_end, layer.self_attn.q_proj),
            (ids == FRAME_TOKEN_INDEX, layer.self_attn.k_proj),
        )
    )
    wanted, there = item.mentions[:, :STILL_ATTRIBUTES], item.patches[:, :STILL_ATTRIBUTES]
    same = (wanted[:, None] == there[None]).all(-1)
    other = ~same & (there[None, :, 0] > 0)
    scores = queries @ keys.T
    assert scores[same].mean().item() > scores[other].mean().item() + 1


def test_interrupted_run_goes_on_and_the_tower_rests(
    tiny_checkpoint: Path, loaded: Any, datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[dict[str, Any]] = []

    class Recorded(talk.ShortLoop):
        def __init__(self, *args: Any, **settings: Any) -> None:
            loops.append(settings)
            super().__init__(*args, **settings)

    monkeypatch.setattr(talk, "ShortLoop", Recorded)
    torch.manual_seed(1)
    names = AttributeEmbedding(loaded.model.sama.sam2.hidden_dim).requires_grad_(False)

    def run() -> dict[str, torch.Tensor]:
        model = load_checkpoint(tiny_checkpoint).model
        settings = {"num_steps": 4, "batch_size": 1, "save_every": 3}
        train_talk(model, loaded.tokenizer, names, datasets, tmp_path / "talk", **settings)
        return model.state_dict()

    whole = run()
    assert torch.load(tmp_path / "talk" / STATE_FILE, weights_only=True)["step"] == 3
    resumed = run()  # the fourth step again, on single frames
    before = loaded.model.state_dict()
    changed = {
        name.split(".")[1]
        for name, tensor in whole.items()
        if name in before and not torch.equal(tensor, before[name])
    }
    assert {"layers", "mm_projector"} <= changed
    assert "vision_tower" not in changed
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    assert [(loop["use_muon"], loop["final_rate"]) for loop in loops] == [(True, FINAL_RATE)] * 2
    heads = load_namers(tmp_path / "talk", loaded.model).state_dict()
    kept = torch.load(tmp_path / "talk" / STATE_FILE, weights_only=True)["parts"][1]  # a step before
    fresh = new_namers(loaded.model).state_dict()
    distances = [
        sum(float((heads[name] - other[name]).norm()) for name in heads if "weight" in name)
        for other in (kept, fresh)
    ]
    assert 0 < distances[0] < 0.1 * distances[1]
    (tmp_path / "talk" / NAMERS_FILE).unlink()
    with pytest.raises(DataError, match=r"namers\.safetensors is missing; remove .*talk, so that"):
        load_namers(tmp_path / "talk", loaded.model)
