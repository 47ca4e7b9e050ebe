"""Regions of hand-written data → masks on the frames on which they are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sama_plugin.data.json_file import read_json
from sama_plugin.data.own_data import OwnItem, OwnRegion, Pointing
from sama_plugin.data.track_rules import join_parts, track_fault
from sama_plugin.errors import DataError, SamaError
from sama_plugin.media.decode import VideoClip, list_pictures
from sama_plugin.media.masks import encode_mask, mask_of_box
from sama_plugin.media.regions import parse_region, read_mask_picture, region_prompt
from sama_plugin.schema import RegionPrompt, Rle

Tracker = Callable[[VideoClip, Mapping[str, Sequence[RegionPrompt]]], Mapping[str, list[Rle | None]]]
"""Clip, and prompts of each region by name → a mask or None for every frame of each."""


@dataclass(frozen=True)
class OwnTrack:
    """Masks of a region.

    Attributes:
        rles: one per frame; None where it is absent, or unless `is_whole`, not known.
        is_whole: whether all frames are known.
    """

    rles: list[Rle | None]
    is_whole: bool


def find_tracks(item: OwnItem, clip: VideoClip, folder: Path, tracker: Tracker | None) -> dict[str, OwnTrack]:
    """Masks of every region of an item.

    Args:
        item: hand-written.
        clip: its video.
        folder: that paths of masks are relative to.
        tracker: makes whole tracks of what is only given on some frames; None leaves that as it is.

    Raises:
        DataError: a region that cannot be read, or has no mask without a tracker; an answer segments one that is not
            known on all frames.
    """
    tracks, prompts = {}, {}
    for name, region in item.regions.items():
        if region.masks is not None:
            tracks[name] = OwnTrack(_read_track(region, clip, folder), is_whole=True)
            continue
        prompts[name] = [_prompt(region, pointing, clip, folder) for pointing in region.pointings]
        if tracker is None:
            tracks[name] = _known_masks(region, prompts[name], clip)
    if tracker is not None and prompts:
        found = tracker(clip, prompts)
        tracks |= {name: OwnTrack(found[name], is_whole=True) for name in prompts}
    for k, turn in enumerate(item.turns):
        for name in (name for names in turn.targets for name in names):
            if not tracks[name].is_whole:
                known = [frame for frame, rle in enumerate(tracks[name].rles) if rle is not None]
                raise DataError(
                    f"{item.where}.turns[{k}].answer segments '{name}', whose mask is known on frames {known} of "
                    f"{clip.num_frames} only; give it 'masks' for every frame, or let SAM2 track it: "
                    "sama data convert --sam2."
                )
    return tracks


def _prompt(region: OwnRegion, pointing: Pointing, clip: VideoClip, folder: Path) -> RegionPrompt:
    """One pointing, checked against the video."""
    try:
        if pointing.text:
            return parse_region(f"{region.name}={pointing.text}", clip)
        value = pointing.value
        if pointing.kind == "mask":
            if not isinstance(value, str):
                raise DataError(f"mask is {value!r:.60}, expected the path of a picture")
            value = folder / value
        given: dict[str, Any] = {pointing.kind: value}
        return region_prompt(region.name, clip, frame=pointing.frame, time_s=pointing.time_s, **given)
    except SamaError as error:
        raise DataError(f"{region.where}: {error}") from error


def _known_masks(region: OwnRegion, prompts: Sequence[RegionPrompt], clip: VideoClip) -> OwnTrack:
    """What is a mask as it was written, on its frames."""
    rles: list[Rle | None] = [None] * clip.num_frames
    for pointing, prompt in zip(region.pointings, prompts, strict=True):
        mask = prompt.mask
        if prompt.box_xyxy is not None and pointing.filled:
            mask = mask_of_box(prompt.box_xyxy, clip.height, clip.width)
        if mask is None:
            filled = '; or "filled": true, if the whole box is meant' if prompt.kind == "box" else ""
            raise DataError(
                f"{region.where} is a {prompt.kind}, which is no mask; let SAM2 make one: sama data convert --sam2"
                f"{filled}."
            )
        rles[prompt.frame] = encode_mask(mask)
    return OwnTrack(rles, is_whole=all(rle is not None for rle in rles))


def _read_track(region: OwnRegion, clip: VideoClip, folder: Path) -> list[Rle | None]:
    """Masks for every frame: from the file itself, a JSON file, or a folder of pictures."""
    masks: Any = region.masks
    if isinstance(masks, str):
        path = folder / masks
        masks = _read_pictures(region, path) if path.is_dir() else _pick(read_json(path), region, path)
    if fault := track_fault(masks, clip.num_frames, (clip.height, clip.width), deep=True):
        raise DataError(f"{region.where}.masks: {fault[1]} ({fault[0]}).")
    return join_parts(masks)


def _pick(content: Any, region: OwnRegion, path: Path) -> Any:
    """The track of a region in a JSON file: the whole file, or an entry of a mask dictionary."""
    if not isinstance(content, dict):
        return content
    if region.mask_id not in content:
        some = ", ".join(list(content)[:5])
        raise DataError(
            f"{region.where}: {path} has no id {region.mask_id!r} (it has {some}, ...); give 'id'."
        )
    return content[region.mask_id]


def _read_pictures(region: OwnRegion, folder: Path) -> list[Rle | None]:
    """A mask per picture, in the order of their names; one without any pixel is an absence."""
    masks = (read_mask_picture(region.name, path) for path in list_pictures(folder))
    return [encode_mask(mask) if mask.any() else None for mask in masks]
