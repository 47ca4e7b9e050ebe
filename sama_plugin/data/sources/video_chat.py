"""Chat-UniVi's video conversations: chat about whole videos, without masks.

Published layout: `video_chat.json`, a list of `{id?, video, conversations: [{from, value}]}`; videos below one root
(`Activity_Videos/`), some as `.mp4` where the list says `.mkv`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sama_plugin.data.chat_rounds import chat_turns
from sama_plugin.data.json_rows import JsonRows
from sama_plugin.data.lazy_samples import LazySamples, LeftOut
from sama_plugin.schema import Sample


def read_video_chat(conversations: Path, video_root: Path) -> LazySamples:
    """A sample per conversation.

    Args:
        conversations: the JSON list; a conversation is read when it is asked for.
        video_root: folder that the videos' paths are relative to.

    Raises:
        DataError: the file is missing or malformed, or nothing can be used.

    Source: published layout; official `VideoChatUniViDataset` (spec §2.1, §6.4). Differs: frames are chosen as for
        every other video.
    """

    def make(record: Any, left_out: LeftOut) -> Sample | None:
        path = _find_video(video_root / record["video"])
        sample_id = f"video_chat/{record.get('id', record['video'])}"
        turns = chat_turns(record["conversations"], sample_id, left_out)
        return Sample(sample_id, str(path), turns, {}, "video_chat") if turns else None

    return LazySamples("video_chat", JsonRows(conversations), make)


def _find_video(path: Path) -> Path:
    other = path.with_suffix(".mp4")
    return other if path.suffix == ".mkv" and not path.exists() and other.exists() else path
