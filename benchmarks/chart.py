"""The figures as a picture: how much of its bar each one takes up, and what it was before."""

from collections.abc import Sequence
from html import escape

from benchmarks.figure import Figure

_WIDTH, _ROW, _TOP = 860, 34, 64
_LABELS, _BAR = 400, 250
"""Where the bars begin, and how long one is that just reaches what it is to reach."""
_MOST = 1.45
_LONG = 1_000
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .small { font-size: 11px; fill: #57606a }
.good { fill: #2da44e } .bad { fill: #cf222e } .before { fill: #d0d7de } .bar { stroke: #24292f; stroke-dasharray: 3 3 }
rect.page { fill: #ffffff }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #8d96a0 } rect.page { fill: #0d1117 }
.before { fill: #30363d } .bar { stroke: #e6edf3 } }
"""


def draw(figures: Sequence[Figure]) -> str:
    """Give the figures as SVG."""
    height = _TOP + _ROW * len(figures) + 16
    rows = "".join(_row(figure, _TOP + _ROW * number) for number, figure in enumerate(figures))
    line = _LABELS + _BAR
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        f'role="img"><title>What the engine costs, against what it was to reach</title><style>{_STYLE}</style>'
        f'<rect class="page" width="{_WIDTH}" height="{height}"/>'
        f'<text x="16" y="26">What the engine costs, against what it was to reach</text>'
        f'<text class="small" x="16" y="44">left of the dashed line: reached · grey: the version before, where it can '
        f"be measured alike</text>"
        f'<line class="bar" x1="{line}" x2="{line}" y1="{_TOP - 10}" y2="{height - 12}"/>{rows}</svg>\n'
    )


def _row(figure: Figure, top: int) -> str:
    kind = "good" if figure.holds else "bad"
    sign = "≤" if figure.better == "less" else "≥"
    value = f"{_number(figure.value)} {figure.unit}".strip()
    shown = f"{value} ({sign} {_number(figure.bar)})"
    before = ""
    if figure.before is not None:
        before = f'<rect class="before" x="{_LABELS}" y="{top}" width="{_length(figure, figure.before)}" height="20"/>'
        shown += f", before {_number(figure.before)}"
    width = _length(figure, figure.value)
    return (
        f"<g><title>{escape(figure.note)}</title>"
        f'<text x="16" y="{top + 15}">{escape(figure.name)}</text>{before}'
        f'<rect class="{kind}" x="{_LABELS}" y="{top + 4}" width="{width}" height="12" rx="2"/>'
        f'<text class="small" x="{_LABELS + 6}" y="{top + 31}">{escape(shown)}</text></g>'
    )


def _length(figure: Figure, value: float) -> float:
    """Give how long a figure's bar is: of those that are to be large, the shorter the better as well."""
    if figure.better == "more":
        part = figure.bar / value if value else _MOST
    else:
        part = value / figure.bar if figure.bar else _MOST * (value > 0)
    return round(max(2.0, _BAR * min(_MOST, part)), 1)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= _LONG else f"{value:.3g}"
