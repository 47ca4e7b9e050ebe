"""Curves of a benchmark as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

Panel = tuple[str, Sequence[float], Mapping[str, Sequence[float]]]
"""Title, x values, and y values of each curve by its name; a curve may end early."""


def plot_lines(path: Path, panels: Sequence[Panel], *, x: str, y: str) -> None:
    """Draw panels side by side, y from 0.

    Args:
        path: of the picture; its ending tells the format.
        panels: left to right.
        x: label of the axis.
        y: label of the axis.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(1 + 3.2 * len(panels), 3), layout="constrained", squeeze=False
    )
    for axis, (title, places, curves) in zip(axes[0], panels, strict=True):
        for name, values in curves.items():
            axis.plot(places[: len(values)], values, marker="o", label=name)
        axis.set(title=title, xlabel=x, ylim=(0, None))
    axes[0][0].set_ylabel(y)
    axes[0][0].legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
