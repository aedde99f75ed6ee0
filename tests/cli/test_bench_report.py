# SPDX-License-Identifier: Apache-2.0
"""`podfast bench report`: results in, one page out."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from podfast.cli.bench_page import number, page, seconds, title
from podfast.cli.bench_plot import MOST_DOTS, strips
from podfast.cli.bench_results import Figure, read
from podfast.cli.main import main
from podfast.errors import PodfastError
from tests.cli.conftest import Podfast


def benchmark(name: str, **extra: object) -> dict[str, Any]:
    stats = {"min": 0.001, "median": 0.002, "max": 0.004, "mean": 0.002, "rounds": 3, "data": [0.001, 0.002, 0.004]}
    return {"name": name, "group": "pod start", "stats": stats, "extra_info": extra}


COMPARED = {
    "beside": "plain floor", "subject": [0.004, 0.005, 0.006], "counterpart": [0.005, 0.005, 0.009],
    "medians": [0.005, 0.005], "ratio": 1.0, "budget": 1.5, "aim": 1.0, "load": 0.25,
}  # fmt: skip
MEMORY = {"name": "shim and pause, PSS", "value": 412.0, "unit": "KiB", "budget": 400, "more_is_better": False}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    document = {
        "datetime": "2026-01-02T03:04:05.678+00:00",
        "machine_info": {"release": "6.18.1", "python_version": "3.11.7", "cpu": {"brand_raw": "A CPU", "count": 2}},
        "commit_info": {"id": "0123456789abcdef", "dirty": False},
        "benchmarks": [
            benchmark("test_pod_start[plain]", interleaved=COMPARED),
            benchmark("test_memory", figures=[MEMORY]),
            benchmark("test_alone"),
        ],
        "version": "5.3.1",
    }
    file = tmp_path / "run.json"
    file.write_text(json.dumps(document))
    return file


class Tags(HTMLParser):
    """Holds that every element is closed, in order, and keeps what would load something."""

    VOID = frozenset({"meta", "br", "line", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "xlink:href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(results: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    assert main(["bench", "report", str(results), str(results), "-o", str(output)]) == 0
    text = output.read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == [] and tags.loads == []
    assert "http" not in text and "@import" not in text and "<script" not in text and "url(" not in text
    assert "prefers-color-scheme: dark" in text
    assert text.count("<h2>run.json</h2>") == 2


def test_rows(results: Path) -> None:
    text = page([read(results)])
    assert "pod start [plain]" in text and "plain floor" in text
    assert re.search(r'class="n big good">1\.00 × ✓</td><td class="n">≤ 1\.5 ×<br><span class="dim">aim 1 ×', text)
    assert re.search(r'class="n big bad">412 KiB ✗</td><td class="n">≤ 400 KiB', text)
    assert '<td>alone</td><td class="n">1 ms</td><td class="n">2 ms</td><td class="n">4 ms</td>' in text
    for fact in ("2026-01-02 03:04:05 UTC", "2 × A CPU", "Linux 6.18.1", "commit 0123456789ab", "load up to 0.2"):
        assert fact in text


def test_text_from_the_file_is_only_text(results: Path) -> None:
    results.write_text(results.read_text().replace("plain floor", "<script>alert(1)</script>"))
    assert "<script" not in page([read(results)])


def test_budgets_of_figures() -> None:
    assert Figure("lines", 2.0, "lines/s", budget=1.0, more_is_better=True).kept
    assert not Figure("lines", 0.5, "lines/s", budget=1.0, more_is_better=True).kept
    assert Figure("memory", 0.5, "KiB", budget=1.0).kept
    assert Figure("memory", 0.5, "KiB").kept is None


def test_strips_show_every_round_and_the_far_ones_at_the_edge() -> None:
    near = [0.001 + number * 1e-6 for number in range(40)]
    plot = strips([*near, 1.0], near, seconds)
    assert plot.count("<circle") == 81
    assert plot.count('style="fill: none"') == 1
    assert plot.count('class="median') == 2
    assert strips(near * 100, [], seconds).count("<circle") <= MOST_DOTS
    assert strips([], [], seconds) == ""
    assert "<svg" in strips([0.0], [0.0], seconds)


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.8123, "4.81 s"), (0.0123, "12.3 ms"), (0.000456, "456 µs"), (1e-8, "0.01 µs"), (0.0, "0 µs"), (250.0, "250 s")],
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


def test_numbers_and_titles() -> None:
    assert number(1873421.4).split("\N{NARROW NO-BREAK SPACE}") == ["1", "873", "421"]
    assert number(-3) == "-3"
    assert number(float("nan")) == "nan"
    assert title("test_roundtrip[tcp]") == "roundtrip [tcp]"


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"datetime": "x", "benchmarks": [{"name": 1}]}', "\xff"])
def test_what_is_no_result_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(PodfastError, match=r"other\.json: not a JSON file of pytest-benchmark: "):
        read(file)


def test_mistakes_on_the_command_line(podfast: Podfast, tmp_path: Path) -> None:
    output = str(tmp_path / "page.html")
    result = podfast("bench", "report", str(tmp_path / "none.json"), "-o", output)
    assert result.returncode == 1 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert podfast("bench", "report", "-o", output).returncode == 2
    assert podfast("bench", "reports", "run.json", "-o", output).returncode == 2
    assert not Path(output).exists()
