"""Curves as SVG and PNG, by matplotlib."""

from pathlib import Path
from typing import Any

from benchmarks.measurement import BenchmarkError
from benchmarks.report import Curve

MISSING = "plots need matplotlib; pip install 'lucy-core[plots]', or leave --plots out"


def pyplot() -> Any:
    """Import matplotlib for files only.

    Raises:
        BenchmarkError: it isn't installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise BenchmarkError(MISSING) from None
    mpl.use("Agg")
    # The same figures give the same file, so that a diff shows what changed.
    mpl.rcParams["svg.hashsalt"] = "lucy"
    import matplotlib.pyplot as plt

    return plt


def draw(curves: list[Curve], directory: Path) -> dict[str, list[Path]]:
    """Write each curve as `<name>.svg` and `<name>.png`; return the files by name.

    Raises:
        BenchmarkError: matplotlib isn't installed.
    """
    plt = pyplot()
    directory.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for curve in curves:
        figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
        axes.set_title(curve.title)
        axes.grid(visible=True, alpha=0.3)
        if curve.bars:
            _bars(axes, curve)
        else:
            _lines(axes, curve)
        if len(curve.series) > 1:
            axes.legend(fontsize="small")
        drawn[curve.name] = [directory / f"{curve.name}.{form}" for form in ("svg", "png")]
        figure.savefig(drawn[curve.name][0], metadata={"Date": None})
        figure.savefig(drawn[curve.name][1], dpi=110)
        plt.close(figure)
    return drawn


def _lines(axes: Any, curve: Curve) -> None:
    for name, points in curve.series.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker=".", label=name)
    if curve.log_x:
        axes.set_xscale("symlog" if any(x == 0 for points in curve.series.values() for x, _ in points) else "log")
    if curve.log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set(xlabel=curve.x_label, ylabel=curve.y_label)


def _bars(axes: Any, curve: Curve) -> None:
    """Draw bars that lie, from top to bottom: names need room."""
    names = list(dict.fromkeys(x for points in curve.series.values() for x, _ in points))
    height = 0.8 / len(curve.series)
    for index, (label, points) in enumerate(curve.series.items()):
        offset = (index - (len(curve.series) - 1) / 2) * height
        axes.barh([names.index(x) + offset for x, _ in points], [y for _, y in points], height, label=label)
    axes.set_yticks(range(len(names)), [str(name) for name in names])
    axes.invert_yaxis()
    if curve.log_y:
        axes.set_xscale("log")
    axes.set_xlabel(curve.y_label)
    axes.grid(visible=False, axis="y")
