"""The live view's table: a row for each pipeline, in the columns that a terminal has room for.

A number or a heading that is cut says something else: columns are as wide as what stands in them,
and the last one, the bars or what is wrong, takes what they leave. Where that is too little, whole
columns are left away, and names are cut last of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edge_agent.brief import brief
from edge_agent.commands.overview import number, subject
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    import rich.table as rich_table
    import rich.text as rich_text

    from edge_agent.commands.overview import Overview, PipelineSeen
    from edge_agent.types import Outcome

    Cells = dict[str, rich_text.Text]
else:
    rich_table = lazy_module("rich.table")
    rich_text = lazy_module("rich.text")

STYLES: dict[Outcome | None, str] = {
    "pass": "green",
    "fail": "bold red",
    "uncertain": "yellow",
    "error": "bold magenta",
    None: "cyan",
}
COUNTS: dict[str, Outcome] = {
    "pass": "pass", "fail": "fail", "unc.": "uncertain", "err.": "error"
}  # fmt: skip
# Heading: on which side its cells stand.
COLUMNS: dict[str, Literal["left", "right"]] = {
    "pipeline": "left",
    "recipe": "left",
    "verdict": "left",
    "score": "right",
    "limit": "right",
    "found": "left",
    "per s": "right",
    "p50 ms": "right",
    "p99 ms": "right",
    **dict.fromkeys(COUNTS, "right"),
    "scores": "left",
}
# What is left away where there is no room, the bars first; what is wrong is worth more than they.
NARROW = ("limit", "p50 ms")
NARROWER = (*NARROW, "scores", "p99 ms")
NARROWEST = (*NARROWER, "per s", "found")
LEFT_AWAY = (
    *((), ("scores",), (*NARROW, "scores"), NARROWER),
    *((*NARROWER, "per s"), NARROWEST, (*NARROWEST, "recipe")),
)
LEFT_AWAY_IN_TROUBLE = ((), NARROW, *LEFT_AWAY[1:])
RUNNING = "running"
FOUND_LEAST, FOUND_MOST = 10, 14
BARS = "▁▂▃▄▅▆▇█"
BARS_MOST = 40
# Of a sentence, wherever it stands: the state's word.
WORDS_LEAST = 10


def pipeline_table(overview: Overview, width: int, mono_s: float) -> rich_table.Table:
    """Return the table of all pipelines for a terminal of so many columns."""
    pipelines = list(overview.pipelines.values())
    rows = [
        _cells(seen, f"{seen.device} " if overview.several else "", mono_s) for seen in pipelines
    ]
    gap, widths = _layout(_widths(pipelines, rows), width, in_trouble=any(map(_trouble, pipelines)))
    table = rich_table.Table(box=None, padding=(0, gap, 0, 0), header_style="dim")
    for heading, columns in widths.items():
        table.add_column(
            heading, justify=COLUMNS[heading], width=columns, no_wrap=True, overflow="ellipsis"
        )
    for row, seen in zip(rows, pipelines, strict=True):
        row["scores"] = _bars_or_trouble(seen, widths.get("scores", 0))
        table.add_row(*(row[heading] for heading in widths))
    return table


def _widths(pipelines: Sequence[PipelineSeen], rows: Sequence[Cells]) -> dict[str, int]:
    """Return how wide each column is at least."""
    widths = {
        heading: max([len(heading), *(row[heading].cell_len for row in rows if heading in row)])
        for heading in COLUMNS
        if heading != "recipe" or any(seen.recipe for seen in pipelines)
    }
    widths["scores"] = WORDS_LEAST
    return widths


def _layout(widths: dict[str, int], width: int, *, in_trouble: bool) -> tuple[int, dict[str, int]]:
    """Return the space between columns, and the columns that fit with their widths."""
    left_away = LEFT_AWAY_IN_TROUBLE if in_trouble else LEFT_AWAY
    for gap, away in ((2, ()), *((1, away) for away in left_away)):
        shown = {heading: least for heading, least in widths.items() if heading not in away}
        room = width - sum(shown.values()) - gap * len(shown)
        if room >= 0:
            break
    widest = "scores" if room > 0 and "scores" in shown else "pipeline"
    if room < 0 or widest == "scores":
        shown[widest] = max(1, shown[widest] + room)
    return gap, shown


def _cells(pipeline: PipelineSeen, gateway: str, mono_s: float) -> Cells:
    """Return what stands in all columns but the last."""
    last = pipeline.last
    p50_ms, p99_ms = pipeline.latency_ms(0.5), pipeline.latency_ms(0.99)
    name = rich_text.Text("\u25cf ", "green" if pipeline.state == RUNNING else "bold yellow")
    found = subject(last)[:FOUND_MOST] if last else ""
    cells = {
        "pipeline": name.append(f"{gateway}{pipeline.family} {pipeline.name}", "bold default"),
        "recipe": pipeline.recipe,
        "verdict": rich_text.Text(last.verdict, STYLES[last.verdict]) if last else "-",
        "score": f"{number(last.score)} {last.unit}".rstrip() if last else "-",
        "limit": number(last.threshold) if last else "-",
        "found": f"{found:<{FOUND_LEAST}}",
        "per s": f"{pipeline.rate_hz(mono_s):.1f}",
        "p50 ms": "-" if p50_ms is None else f"{p50_ms:.1f}",
        "p99 ms": "-" if p99_ms is None else f"{p99_ms:.1f}",
        **{heading: _count(pipeline, outcome) for heading, outcome in COUNTS.items()},
    }
    return {
        heading: rich_text.Text(cell) if isinstance(cell, str) else cell
        for heading, cell in cells.items()
    }


def _count(pipeline: PipelineSeen, outcome: Outcome) -> rich_text.Text:
    count = pipeline.outcomes[outcome]
    return rich_text.Text(str(count), STYLES[outcome] if count else "dim")


def _trouble(pipeline: PipelineSeen) -> str:
    """Return why it does not run, or not on what it should; else ""."""
    if pipeline.state not in {RUNNING, ""}:
        return f"{pipeline.state} {pipeline.detail}".strip()
    return pipeline.accelerator if ", not " in pipeline.accelerator else ""


def _bars_or_trouble(pipeline: PipelineSeen, most: int) -> rich_text.Text:
    """Return what is wrong; else the last scores as bars, drawn to a scale that holds the limit."""
    trouble = _trouble(pipeline)
    words = brief(trouble or pipeline.accelerator, most)
    line = rich_text.Text(words, "yellow" if trouble else "dim")
    between = "  " if words else ""
    room = min(BARS_MOST, most - len(words + between))
    if pipeline.state not in {RUNNING, ""} or room <= 0:
        return line
    line.append(between)
    scores = list(pipeline.scores)[-room:]
    limit = pipeline.last.threshold if pipeline.last else None
    values = [score for score, _ in scores] + ([] if limit is None else [limit])
    lowest, span = min(values, default=0.0), max(values, default=0.0) - min(values, default=0.0)
    for score, outcome in scores:
        step = round((score - lowest) / span * (len(BARS) - 1)) if span else 0
        line.append(BARS[step], STYLES[outcome])
    return line
