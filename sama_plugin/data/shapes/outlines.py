"""The small world: how its shapes are drawn, as polygons around their centre."""

from __future__ import annotations

import numpy as np

REACH = 1.2
"""Farthest a drawn shape gets from its centre, in radii; the corners of triangles a little farther."""


def outline(shape: str, radius: float) -> np.ndarray:
    """(n, 2) float; corners of a shape around (0, 0) in pixels, y down."""
    if shape == "circle":
        angles = np.arange(40) * (2 * np.pi / 40)
        return radius * np.stack([np.cos(angles), np.sin(angles)], 1)
    if shape == "square":
        return 0.84 * radius * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=float)
    if shape == "triangle":
        return radius * np.array([[0.0, -1.1], [1.08, 0.82], [-1.08, 0.82]])
    if shape == "star":
        angles = np.arange(10) * (np.pi / 5) - np.pi / 2
        length = np.where(np.arange(10) % 2 == 0, 1.18, 0.5)
        return radius * length[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    if shape == "diamond":
        return radius * np.array([[0.0, -1.18], [0.82, 0.0], [0.0, 1.18], [-0.82, 0.0]])
    if shape == "bar":
        return radius * np.array([[-1.14, -0.36], [1.14, -0.36], [1.14, 0.36], [-1.14, 0.36]])
    if shape == "ring":
        circle = _arc(0, 2, 41)
        return radius * np.concatenate([1.05 * circle, 0.55 * circle[::-1]])
    if shape == "moon":
        back, front = 1.1 * _arc(0.3, 1.7, 30) + [0.15, 0.0], 0.8 * _arc(1.62, 0.38, 24) + [0.62, 0.0]
        return radius * np.concatenate([back, front])
    if shape == "arrow":
        corners = [(-1.1, -0.3), (0.1, -0.3), (0.1, -0.95), (1.15, 0.0), (0.1, 0.95), (0.1, 0.3), (-1.1, 0.3)]
        return radius * np.array(corners)
    if shape == "heart":
        t = np.linspace(0, 2 * np.pi, 41)[:-1]
        height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return radius * np.stack([16 * np.sin(t) ** 3 / 15.5, -height / 15.5 - 0.1], 1)
    assert shape == "cross", shape
    a, b = 1.05, 0.36
    corners = [
        (-b, -a),
        (b, -a),
        (b, -b),
        (a, -b),
        (a, b),
        (b, b),
        (b, a),
        (-b, a),
        (-b, b),
        (-a, b),
        (-a, -b),
        (-b, -b),
    ]
    return radius * np.array(corners)


def _arc(start: float, end: float, count: int) -> np.ndarray:
    """(count, 2) float; points of the unit circle between two angles, in half turns."""
    angles = np.pi * np.linspace(start, end, count)
    return np.stack([np.cos(angles), np.sin(angles)], 1)
