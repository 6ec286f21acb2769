"""The picture of a benchmark: processor time for each request, on a scale of powers of ten."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.tables import Table

_SERVER, _DATABASE = "#2f6f8f", "#d08a2e"


def draw(tables: Sequence[Table], file: Path) -> None:
    """Draw a row of bars for each table into the file."""
    import matplotlib as mpl

    mpl.use("Agg")
    # The same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = "keyhaven"
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    heights = [len(table.variants) for table in tables]
    figure, axes = pyplot.subplots(
        len(tables),
        figsize=(9, 0.32 * sum(heights) + 0.9 * len(tables)),
        height_ratios=heights,
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    for table, (axis,) in zip(tables, axes, strict=True):
        names = [variant.name for variant in table.variants]
        together = [variant.figure("total_us") for variant in table.variants]
        server = [variant.figure("server_us") for variant in table.variants]
        # Lengths on such a scale do not add up: the longer bar lies behind.
        axis.barh(names, together, color=_DATABASE, label="and of its database")
        axis.barh(names, server, color=_SERVER, label="of the server")
        axis.bar_label(axis.containers[0], fmt="{:,.0f}", padding=3, fontsize=8)
        axis.set_xscale("log")
        axis.set_xlim(left=10, right=axis.get_xlim()[1] * 1.5)
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.invert_yaxis()
        axis.set_title(table.title, loc="left", fontsize=10)
        axis.tick_params(labelsize=8, labelbottom=True)
        axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("microseconds of processor time for each request", fontsize=9)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower right", fontsize=8)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
