"""Charts as SVG text: d3's scales, axes, lines and areas, by detroit, which is d3 in Python.

A drawing names CSS classes and no colours, so the page's style sheet decides how it looks in daylight and at night.
There is no script in it. Many marks share one path: a point costs about ten bytes of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serverless_lab.reporting.markup import Html, clean

if TYPE_CHECKING:
    from serverless_lab.reporting.axes import Axis
    from serverless_lab.reporting.points import Floats

# Marks differ in shape, so that sense does not hang on colour. Each is a path around its point, in tenths of a unit.
SHAPES = {
    "dot": "h0",
    "diamond": "m0-42l42,42-42,42-42-42z",
    "square": "m-30-30h60v60h-60z",
    "triangle": "m0-40l38,68h-76z",
    "plus": "m-40,0h80m-40-40v80",
    "cross": "m-32-32l64,64m0-64l-64,64",
    "ring": "m-32,0a32,32 0 1,0 64,0a32,32 0 1,0-64,0",
}

TENTHS = 10


@dataclass(frozen=True)
class Size:
    """A chart's width and height, and the margins its axes need, in CSS pixels."""

    width: int
    height: int
    left: int = 52
    right: int = 12
    top: int = 10
    bottom: int = 44

    @property
    def time_ticks(self) -> int:
        return 8 if self.width > 500 else 5

    def of_height(self, height: int) -> Size:
        return Size(self.width, height, self.left, self.right, self.top, self.bottom)


WIDE = Size(760, 300)
NARROW = Size(360, 260, left=46, right=8)


class Plot:
    """A plot area with its two axes inside a drawing; x is shared by the plots of one drawing."""

    def __init__(self, drawing: Drawing, x: Axis, y: Axis, top: float, bottom: float, *, labels_below: bool) -> None:
        import detroit as d3

        size = drawing.size
        self._svg = drawing.svg
        self.left, self.right, self.top, self.bottom = size.left, size.width - size.right, top, bottom
        self.x = (d3.scale_log if x.log else d3.scale_linear)([x.low, x.high], [self.left, self.right])
        self.y = (d3.scale_log if y.log else d3.scale_linear)([y.low, y.high], [bottom, top])
        self._bottom_axis(x, labels_below)
        axis = d3.axis_left(self.y).set_tick_values([value for value, _ in y.ticks])
        axis.set_tick_format(_labels(y)).set_tick_size_inner(-(self.right - self.left)).set_tick_size_outer(0)
        axis.set_tick_padding(6)
        self._svg.append("g").attr("class", "axis y").attr("transform", f"translate({self.left},0)").call(axis)
        title = self._svg.append("text").attr("class", "axis-title").attr("x", 2).attr("y", top - 10)
        title.text(clean(y.title))

    def _bottom_axis(self, x: Axis, labels_below: bool) -> None:
        import detroit as d3

        axis = d3.axis_bottom(self.x).set_tick_values([value for value, _ in x.ticks])
        axis.set_tick_size_outer(0).set_tick_format(_labels(x) if labels_below else lambda value, *_: "")
        axis.set_tick_size_inner(4).set_tick_padding(4)
        self._svg.append("g").attr("class", "axis x").attr("transform", f"translate(0,{self.bottom})").call(axis)
        if labels_below and x.title:
            title = self._svg.append("text").attr("class", "axis-title").attr("text-anchor", "end")
            title.attr("x", self.right).attr("y", self.bottom + 36).text(clean(x.title))

    def pixels(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Where points are in the drawing."""
        return _scaled(self.x, x), _scaled(self.y, y)

    def marks(self, x: Floats, y: Floats, shape: str, style: str) -> None:
        """A mark at each point, given in pixels; one path for all of them."""
        suffix = SHAPES[shape]
        # A mark of no length is drawn as a dot by its round line cap.
        path = "".join(
            f"M{round(at * TENTHS)},{round(height * TENTHS)}{suffix}" for at, height in zip(x, y, strict=True)
        )
        group = self._svg.append("g").attr("transform", f"scale({1 / TENTHS:g})")
        group.append("path").attr("class", f"marks {shape} {style}").attr("d", path)

    def line(self, x: Floats, y: Floats, style: str, *, steps: bool = False, area: bool = False) -> None:
        """A line through points in the units of the axes, in steps or straight; with `area` what is below is filled."""
        import detroit as d3

        at, height = self.pixels(x, y)
        places = [(round(float(a), 1), round(float(b), 1)) for a, b in zip(at, height, strict=True)]
        curve = d3.curve_step_after if steps else d3.curve_linear
        if area:
            filled = d3.area().x(lambda p: p[0]).y0(self.bottom).y1(lambda p: p[1]).set_curve(curve)
            self._svg.append("path").attr("class", f"area {style}").attr("d", filled(places))
        drawn = d3.line().x(lambda p: p[0]).y(lambda p: p[1]).set_curve(curve)
        self._svg.append("path").attr("class", f"line {style}").attr("d", drawn(places))

    def bars(
        self, edges: Sequence[tuple[float, float]], spans: Sequence[tuple[float, float]], style: str, gap: float = 1.0
    ) -> None:
        """A bar from `spans[i][0]` to `spans[i][1]` over `edges[i]`, all in one path; none where that is no height."""
        parts = []
        for (begin, end), (low, high) in zip(edges, spans, strict=True):
            if high <= low:
                continue
            x0, x1 = float(self.x(begin)), float(self.x(end))
            # Narrow bars lose their gap before they lose their body.
            x1 = max(x0 + 0.8, x1 - min(gap, (x1 - x0) / 4))
            y0, y1 = float(self.y(low)), min(float(self.y(high)), float(self.y(low)) - 0.8)
            parts.append(f"M{x0:.1f},{y0:.1f}V{y1:.1f}H{x1:.1f}V{y0:.1f}Z")
        self._svg.append("path").attr("class", f"bars {style}").attr("d", "".join(parts))

    def whiskers(self, at: Sequence[float], spans: Sequence[tuple[float, float]], style: str) -> None:
        """A vertical line from the one value to the other at each place."""
        parts = [
            f"M{float(self.x(place)):.1f},{float(self.y(low)):.1f}V{float(self.y(high)):.1f}"
            for place, (low, high) in zip(at, spans, strict=True)
        ]
        self._svg.append("path").attr("class", f"whiskers {style}").attr("d", "".join(parts))

    def spans(self, places: Sequence[float], spans: Sequence[tuple[float, float]], style: str) -> None:
        """A horizontal line from the one value to the other at each place of the y axis."""
        parts = [
            f"M{float(self.x(low)):.1f},{float(self.y(place)):.1f}H{float(self.x(high)):.1f}"
            for place, (low, high) in zip(places, spans, strict=True)
        ]
        self._svg.append("path").attr("class", f"whiskers {style}").attr("d", "".join(parts))

    def lying_bars(
        self, places: Sequence[tuple[float, float]], spans: Sequence[tuple[float, float]], style: str
    ) -> None:
        """A bar from the one value of the x axis to the other, between two places of the y axis."""
        parts = []
        for (below, above), (low, high) in zip(places, spans, strict=True):
            if high > low:
                x0, x1 = float(self.x(low)), float(self.x(high))
                y0, y1 = float(self.y(below)), float(self.y(above))
                parts.append(f"M{x0:.1f},{y0:.1f}V{y1:.1f}H{max(x1, x0 + 0.8):.1f}V{y0:.1f}Z")
        self._svg.append("path").attr("class", f"bars {style}").attr("d", "".join(parts))

    def rug(self, at: Floats, style: str) -> None:
        """A short line on the lower edge at each place, one for each pixel."""
        places = sorted({round(float(place), 1) for place in _scaled(self.x, at)})
        path = "".join(f"M{place:.1f},{self.bottom - 7:.1f}v7" for place in places)
        self._svg.append("path").attr("class", f"rug {style}").attr("d", path)

    def rule(self, at: float, style: str) -> None:
        """A vertical line through the plot."""
        place = float(self.x(at))
        self._svg.append("path").attr("class", f"rule {style}").attr("d", f"M{place:.1f},{self.top}V{self.bottom}")

    def hint(self, begin: float, end: float, text: str) -> None:
        """What a pointer over this part of the plot is told."""
        x0, x1 = float(self.x(begin)), float(self.x(end))
        area = self._svg.append("rect").attr("class", "hint").attr("x", round(x0, 1)).attr("y", self.top)
        area.attr("width", round(max(x1 - x0, 0.1), 1)).attr("height", self.bottom - self.top)
        area.append("title").text(clean(text))


class Drawing:
    """One SVG. `alternative` is what it says to those who do not see it."""

    def __init__(self, size: Size, alternative: str) -> None:
        import detroit as d3

        self.size = size
        self.svg: Any = d3.create("svg").attr("viewBox", f"0 0 {size.width} {size.height}")
        self.svg.attr("role", "img").attr("aria-label", clean(alternative))

    def plot(self, x: Axis, y: Axis) -> Plot:
        """The only plot of the drawing."""
        return self.plots(x, [y])[0]

    def plots(self, x: Axis, of: Sequence[Axis]) -> list[Plot]:
        """Plots of one height below one another, the x axis labelled under the last."""
        gap = 34
        whole = self.size.height - self.size.top - self.size.bottom
        height = (whole - gap * len(of)) / len(of)
        found = []
        for at, y in enumerate(of):
            top = self.size.top + gap * 0.5 + at * (height + gap) + 4
            found.append(Plot(self, x, y, round(top, 1), round(top + height, 1), labels_below=at == len(of) - 1))
        return found

    def text(self, x: float, y: float, words: str, style: str) -> None:
        self.svg.append("text").attr("class", style).attr("x", x).attr("y", y).text(clean(words))

    def html(self) -> Html:
        return Html(self.svg.to_string(pretty_print=False))


def legend_mark(shape: str, style: str) -> Html:
    """A small drawing of a mark, a line or a bar, for a legend. The word beside it says what it is."""
    if shape in SHAPES:
        body = f'<path transform="translate(8,6) scale(.12)" class="marks {shape} {style}" d="M0,0{SHAPES[shape]}"/>'
    elif shape == "bar":
        body = f'<path class="bars {style}" d="M3,11V1H13V11Z"/>'
    else:
        body = f'<path class="line {style}" d="M0,6H16"/>'
    return Html(f'<svg viewBox="0 0 16 12" width="16" height="12" aria-hidden="true">{body}</svg>')


def _scaled(scale: Any, values: Floats) -> Floats:
    """A d3 scale over an array: it is linear in the values, or in their logarithms."""
    import numpy as np

    low, high = (float(end) for end in scale.get_domain())
    first, last = (float(end) for end in scale.get_range())
    if hasattr(scale, "get_base"):
        values, low, high = np.log10(np.maximum(values, low)), float(np.log10(low)), float(np.log10(high))
    return np.asarray(first + (values - low) * (last - first) / (high - low), dtype=np.float64)


def _labels(axis: Axis) -> Any:
    texts = dict(axis.ticks)
    return lambda value, *_: clean(texts.get(value, ""))
