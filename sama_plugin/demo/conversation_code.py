"""A conversation as a Python program that holds it again."""

from __future__ import annotations

from collections.abc import Sequence

from sama_plugin.demo.documents import prompt_document
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import GroundedAnswer, Region

HEAD = '''"""A conversation about a video, as the page left it: python chat.py VIDEO"""

import sys

import sama_plugin

sama_plugin.register()
from llava.model.builder import load_pretrained_model
from sama_plugin import VideoSession
{imports}
path = sama_plugin.shipped_checkpoint()  # or the folder of another SAMA checkpoint
tokenizer, model, image_processor, _ = load_pretrained_model(path, None, "llava_sama_qwen", device_map="cpu")
chat = VideoSession(model, tokenizer, image_processor, video=sys.argv[1] if len(sys.argv) > 1 else {video})
'''
IMPORT_MASKS = "from sama_plugin.media.masks import decode_mask\n"

TAIL = """
for question in questions:
    answer = chat.ask(question)
    print(f"{question}\\n  {answer.text}")
    for thing in answer.objects:
        print(f"  <{thing.id}> {thing.phrase}: score {thing.score:.2f}, visible {thing.spans_s}")
"""


def conversation_code(clip: VideoClip, answers: Sequence[GroundedAnswer], regions: Sequence[Region]) -> str:
    """Write the program; what visitors wrote is in it as quoted text only.

    Args:
        clip: the video; its name is what the program opens if it is given none.
        answers: the turns, whose questions are asked again.
        regions: what was pointed at.
    """
    lines = [_region_line(region) for region in regions]
    imports = IMPORT_MASKS if any("decode_mask" in line for line in lines) else ""
    questions = ["questions = [", *(f"    {answer.question!a}," for answer in answers), "]"]
    return HEAD.format(imports=imports, video=ascii(clip.path)) + "\n".join([*lines, *questions]) + TAIL


def _region_line(region: Region) -> str:
    """The call that points at a region again."""
    shape = {} if region.prompt is None else prompt_document(region.prompt)
    given = [f"{kind}={value!r}" for kind, value in shape.items()]
    given = given or [f"mask=decode_mask({encode_mask(region.mask)!r})"]
    return f"chat.region({region.name!r}, {given[0]}, frame={region.frame})"
