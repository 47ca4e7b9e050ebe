"""Questions and answers for corpora that have none of their own; which of them a record gets depends on it alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

SEGMENT_IN_VIDEO = (
    "Please segment {it}.",
    "Can you segment {it} in this video?",
    "Where is {it} in this video? Please answer with masks.",
    "Find {it} in the video and mark it in every frame.",
    "Show me {it} in the clip.",
    "Mark {it} wherever it can be seen in the video.",
    "Which part of the video shows {it}? Give its masks.",
    "I am looking for {it}. Segment it, please.",
)
SEGMENT_IN_PICTURE = (
    "Please segment {it} in this image.",
    "Can you segment {it}?",
    "Where is {it} in this picture? Please answer with a mask.",
    "Find {it} in the picture and mark it.",
    "Show me {it} in this photo.",
    "Mark {it} in the image.",
    "Which part of the picture is {it}? Give its mask.",
    "I am looking for {it}. Segment it, please.",
)
SEGMENT_DESCRIBED = (
    "Please segment the object that this describes: {it}",
    "Find the object of this description and mark it in every frame: {it}",
    "Which object in the video is meant here? Answer with its masks. {it}",
)
FOUND = ("It is [SEG].", "Sure, [SEG].", "Here it is: [SEG].", "This is it, [SEG].", "[SEG].")
NOT_FOUND = (
    "Nothing in the video fits that.",
    "There is no such thing here.",
    "I cannot find anything like that.",
)
CAPTION_WITH_MASKS = (
    "What is in this picture? Answer briefly, with a segmentation mask for each thing you name.",
    "Please describe the image in short and mask what you mention.",
    "Give a brief description of this photo with interleaved segmentation masks.",
    "Sum up what the picture shows, and mark every part that you speak of with a mask.",
    "In a sentence or two, what can be seen here? Put masks to the phrases.",
    "Briefly caption this image, and segment the objects as you name them.",
)
DESCRIBE_REGION = (
    "Please describe the region {it} in the image in detail.",
    "What can you say about {it} in this picture?",
    "Tell me all about {it}.",
    "Give a detailed description of {it} in the photo.",
    "What is {it}, and what does it look like?",
    "Look closely at {it} and describe it.",
)
SHORT_ANSWER = " Answer the question using a single word or phrase."
"""Of LLaVA-1.5's and Osprey's short questions; benchmarks end their questions with the same words."""


def pick(wordings: Sequence[str], *key: object) -> str:
    """One of some wordings, always the same for the same key, evenly over many keys."""
    return wordings[zlib.crc32("\0".join(map(str, key)).encode()) % len(wordings)]
