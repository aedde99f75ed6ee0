# SPDX-License-Identifier: Apache-2.0
"""Results → one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from podfast.cli.bench_plot import strips
from podfast.cli.bench_results import Benchmark, Figure, Interleaved, Run

STYLE = """\
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5d6878; --line: #d9dee6; --paper: #fff;
  --subject: #0b63c5; --other: #8b5a00; --good: #11713a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e4e8ee; --dim: #9aa5b4; --line: #343c48; --paper: #14181e;
  --subject: #6cb2ff; --other: #e0a95c; --good: #62c98b; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 0; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
p { margin: .25rem 0; } .dim { color: var(--dim); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
table.rounds { table-layout: fixed; min-width: 64rem; }
.rounds th { width: 5.5rem; } .rounds th:first-child, .rounds th:nth-child(2) { width: auto; }
.rounds th:last-child { width: 19rem; padding-left: 1rem; } .rounds td:last-child { padding-left: 1rem; }
th, td { padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left; }
th { color: var(--dim); font-weight: 500; font-size: .85rem; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .big { font-weight: 600; }
.key { display: inline-block; width: .65rem; height: .65rem; border-radius: 50%; margin-right: .35rem; }
svg { display: block; width: 18rem; height: 3.2rem; } svg text { font: 9px system-ui, sans-serif; fill: var(--dim); }
.subject { fill: var(--subject); } .other { fill: var(--other); }
.median { stroke-width: 1.5; } .median.subject { stroke: var(--subject); } .median.other { stroke: var(--other); }
.axis { stroke: var(--line); }
"""


def page(runs: Sequence[Run]) -> str:
    """The whole document."""
    body = "".join(map(_run, runs))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>podfast benchmarks</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>podfast benchmarks</h1>\n"
        '<p class="dim">Every figure beside something that was run in turns with it. The ratio is that of the medians; '
        "each dot is one round, each line their median. ✓ and ✗: within the budget or not.</p>\n"
        f"{body}</body>\n</html>\n"
    )


def _run(run: Run) -> str:
    document = run.document
    machine, commit = document.machine_info, document.commit_info
    facts = [document.datetime[:19].replace("T", " ") + " UTC"]
    if machine.cpu.brand_raw:
        facts.append(f"{machine.cpu.count or '?'} × {machine.cpu.brand_raw}")
    facts += [f"Linux {machine.release}"] * bool(machine.release)
    facts += [f"Python {machine.python_version}"] * bool(machine.python_version)
    if commit.id and commit.id != "unknown":
        facts.append(f"commit {commit.id[:12]}" + (" with changes" if commit.dirty else ""))
    loads = [one.extra_info.interleaved.load for one in document.benchmarks if one.extra_info.interleaved]
    busiest = max((load for load in loads if load is not None), default=0.0)
    facts += [f"load up to {busiest:.1f}"] * bool(loads)
    sections = "".join(_group(name, members) for name, members in run.groups().items())
    head = f'<h2>{escape(run.source)}</h2>\n<p class="dim">{escape(" · ".join(facts))}</p>\n'
    return f"<section>\n{head}{sections}</section>\n"


def _group(name: str, members: Sequence[Benchmark]) -> str:
    compared = [(one, one.extra_info.interleaved) for one in members if one.extra_info.interleaved]
    alone = [one for one in members if not one.extra_info.interleaved and not one.extra_info.figures]
    figures = [figure for one in members for figure in one.extra_info.figures]
    parts = [f"<h3>{escape(name[:1].upper() + name[1:])}</h3>\n"]
    if compared:
        heads = ("benchmark", "beside", "+median", "+its median", "+ratio", "+budget", "rounds")
        parts.append(_table(heads, (_comparison(one, rounds) for one, rounds in compared if rounds), "rounds"))
    if figures:
        parts.append(_table(("figure", "+value", "+budget"), map(_figure, figures)))
    if alone:
        parts.append(_table(("benchmark", "+fastest", "+median", "+slowest", "+rounds"), map(_alone, alone)))
    return "".join(parts)


def _table(heads: Iterable[str], rows: Iterable[str], kind: str = "") -> str:
    """A head that starts with + is over numbers. `kind` is the table's class."""
    top = "".join(f'<th class="n">{head[1:]}</th>' if head[0] == "+" else f"<th>{head}</th>" for head in heads)
    return f'<div class="scroll"><table class="{kind}">\n<tr>{top}</tr>\n{"".join(rows)}</table></div>\n'


def _comparison(one: Benchmark, rounds: Interleaved) -> str:
    kept = None if rounds.budget is None else rounds.ratio <= rounds.budget
    budget = "" if rounds.budget is None else f"≤ {rounds.budget:g} ×"
    aim = "" if rounds.aim is None else f'<br><span class="dim">aim {rounds.aim:g} ×</span>'
    return (
        f"<tr><td>{_key('subject')}{escape(title(one.name))}</td><td>{_key('other')}{escape(rounds.beside)}</td>"
        f'<td class="n">{seconds(rounds.medians[0])}</td><td class="n">{seconds(rounds.medians[1])}</td>'
        f'<td class="n big {_verdict(kept)}">{rounds.ratio:.2f} ×{_mark(kept)}</td><td class="n">{budget}{aim}</td>'
        f"<td>{strips(rounds.subject, rounds.counterpart, seconds)}</td></tr>\n"
    )


def _figure(figure: Figure) -> str:
    sign = "≥" if figure.more_is_better else "≤"
    budget = "" if figure.budget is None else f"{sign} {number(figure.budget)} {escape(figure.unit)}"
    return (
        f'<tr><td>{escape(figure.name)}</td><td class="n big {_verdict(figure.kept)}">'
        f'{number(figure.value)} {escape(figure.unit)}{_mark(figure.kept)}</td><td class="n">{budget}</td></tr>\n'
    )


def _alone(one: Benchmark) -> str:
    times = "".join(f'<td class="n">{seconds(time)}</td>' for time in (one.stats.min, one.stats.median, one.stats.max))
    return f'<tr><td>{escape(title(one.name))}</td>{times}<td class="n">{one.stats.rounds}</td></tr>\n'


def _key(kind: str) -> str:
    return f'<span class="key" style="background: var(--{kind})"></span>'


def _verdict(kept: bool | None) -> str:
    return "" if kept is None else "good" if kept else "bad"


def _mark(kept: bool | None) -> str:
    """For those who do not see the colour."""
    return "" if kept is None else " ✓" if kept else " ✗"


def title(name: str) -> str:
    """`test_pod_start[plain]` → `pod start [plain]`."""
    plain, bracket, parameters = name.removeprefix("test_").partition("[")
    return plain.replace("_", " ") + (f" [{parameters}" if bracket else "")


UNITS = ((1.0, "s"), (1e3, "ms"), (1e6, "µs"))


def seconds(value: float) -> str:
    """Three digits and the unit that fits: 4.81 ms."""
    factor, unit = next(((factor, unit) for factor, unit in UNITS if value * factor >= 1), UNITS[-1])
    return f"{number(value * factor)} {unit}"


def number(value: float) -> str:
    """Three digits, or all before the point, in groups: 4.81, 136, 1 870 000."""
    if value != value or abs(value) >= 1e15:
        return f"{value:g}"
    decimals = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{decimals}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
