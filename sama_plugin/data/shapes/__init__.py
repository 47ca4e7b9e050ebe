"""A small world of moving shapes: endless videos with exact masks and dialogues, from a seed."""

from sama_plugin.data.shapes.writer import make_shapes

__all__ = ["make_shapes"]
