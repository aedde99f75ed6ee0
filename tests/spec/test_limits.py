# SPDX-License-Identifier: Apache-2.0
"""Texts made to hurt: each is answered within 50 ms of processor time and in bounded memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from yaml._yaml import CParser

from podfast.errors import SpecError
from podfast.spec import load
from tests.spec.samples import HELLO

FULL = 3 * 1024 * 1024 - 400
HEAD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    args:\n"
GOOD = ""


def _bomb() -> str:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    for index in range(1, 10):
        inner = ",".join([f"*a{index - 1}"] * 9)
        lines.append(f"a{index}: &a{index} [{inner}]")
    return "\n".join(lines) + "\n"


# What the answer must say; an empty word is a Pod.
TEXTS: dict[str, tuple[Callable[[], str], str]] = {
    "items": (lambda: HEAD + "    - name\n" * (FULL // 11), "more than 20000 keys and values"),
    "keys": (lambda: "".join(f"k{i}: {i}\n" for i in range(FULL // 15)), "more than 20000 keys and values"),
    "literal": (lambda: HEAD + "    - |\n" + "      a text that goes on and on\n" * (FULL // 34), GOOD),
    "folded": (lambda: HEAD + "    - >\n" + "      a text that goes on and on\n" * (FULL // 34), GOOD),
    "plain": (lambda: HEAD + "    - a\n" + "      a text that goes on and on\n" * (FULL // 34), GOOD),
    "one line": (lambda: HEAD + "    - " + "abc d" * (FULL // 5) + "\n", GOOD),
    "quoted": (lambda: HEAD + '    - "' + "\\x41" * (FULL // 4) + '"\n', GOOD),
    "digits": (lambda: HEAD + "    - " + "1" * FULL + "\n", GOOD),
    "comments": (lambda: "#\n" * (FULL // 2) + HEAD + "    - a\n", GOOD),
    "blank": (lambda: "\n" * FULL + HEAD + "    - a\n", GOOD),
    "json": (lambda: '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"' + "a" * FULL + '"}}', "at most 253"),
    "surrogates": (lambda: '{"a":"' + "\\ud83d\\ude00" * (FULL // 12) + '"}', 'unknown field "a"'),
    "alias bomb": (_bomb, "aliases make this more than 10 times"),
    "wide alias": (lambda: f"a: &a {'x' * (FULL // 2)}\nb: [{'*a,' * 100000}]", "aliases make this more than 10 times"),
    "merge bomb": (
        lambda: "a: &a {" + ",".join(f"k{i}: 1" for i in range(5000)) + "}\n" + "b: {<<: *a}\n" * 100,
        "more than 20000 keys and values",
    ),
    "many anchors": (
        lambda: "".join(f"k{i}: &a{i} {i}\n" for i in range(FULL // 24)),
        "more than 20000 keys and values",
    ),
    "deep flow": (lambda: "[" * FULL, "nest"),
    "deep mapping": (lambda: "{a: " * (FULL // 4), "nested more than 100 deep"),
    "deep items": (lambda: "- " * (FULL // 2), "nested more than 100 deep"),
    "deep block": (lambda: "".join(" " * i + "a:\n" for i in range(2400)), "nested more than 100 deep"),
    "questions": (lambda: "? " * (FULL // 2), "nested more than 100 deep"),
    "documents": (lambda: "---\n" * (FULL // 4), "more than 100 documents"),
    "many pods": (lambda: "kind: Pod\n---\n" * (FULL // 14), "more than 100 documents"),
    "directives": (lambda: "%YAML 1.1\n---\n" * (FULL // 14), "more than 100 documents"),
    "colons": (lambda: ": " * (FULL // 2), "not YAML"),
    "tabs": (lambda: "\t" * FULL + "\n", "not YAML"),
    "open quote": (lambda: '"' + "a" * FULL + "\n", "not YAML"),
    "long key": (lambda: "a" * FULL + ": 1\n", "not"),
    "long tag": (lambda: "!<" + "a" * FULL + "> x\n", "tag"),
    "long anchor": (lambda: "&" + "a" * FULL + " x\n", "single word"),
    "long key in json": (lambda: '{"' + "a" * FULL + '": 1}', "did not find expected"),
    "duplicates": (lambda: "a: 1\n" * 9000, "too many mistakes"),
    "unknown": (lambda: HEAD + "    - a\n" + "".join(f"    argz{i}: 1\n" for i in range(9000)), "too many mistakes"),
    "mistyped": (lambda: HEAD[:-10] + "  - 5\n" * 19000, "too many mistakes"),
    "containers": (lambda: HEAD[:-10] + "  - name: a\n" * 6000, "between 1 and 100 items"),
    "mounts": (
        lambda: (
            HEAD
            + "    - a\n    volumeMounts:\n"
            + "".join(f"    - {{name: x, mountPath: /{i}}}\n" for i in range(3500))
        ),
        "too many mistakes",
    ),
    "labels": (
        lambda: (
            HEAD.replace("{name: a}", "{name: a, labels: {" + ",".join(f"k{i}: v" for i in range(9000)) + "}}")
            + "    - a\n"
        ),
        GOOD,
    ),
    "nul at the end": (lambda: "a" * FULL + "\n\0", "control character"),
    "too large": (lambda: "a: " + "b" * (FULL + 500) + "\n", "larger than 3 MiB"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_answered_in_time(name: str) -> None:
    make, words = TEXTS[name]
    data = make().encode()
    assert len(data) <= FULL + 1000
    load(HELLO)
    answer = ""
    best = 1.0
    for _ in range(5):
        start = time.process_time()
        try:
            load(data)
        except SpecError as error:
            answer = str(error)
            assert len(answer) < 100_000
        best = min(best, time.process_time() - start)
        if best < 0.05:
            break
    else:
        # The machine is slow or busy: then it is slow for libyaml, too, which needs some 100 ms for the first text.
        start = time.process_time()
        CParser(TEXTS["items"][0]().encode()).raw_parse()
        assert best < time.process_time() - start
    assert words in answer
    assert bool(answer) is bool(words)


_MEASURE = """
import resource, sys
from podfast.errors import SpecError
from podfast.spec import load
from tests.spec.samples import HELLO
from tests.spec.test_limits import TEXTS
load(HELLO)
for name, (make, _) in TEXTS.items():
    text = make().encode()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        load(text)
    except SpecError as error:
        str(error)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, name)
    del text
"""


def test_memory_is_bounded() -> None:
    """A process that reads them all grows by no more than a few copies of the largest text."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    grown = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert len(grown) == len(TEXTS)
    assert sum(grown) < 40 * 1024


def test_a_usual_manifest_takes_less_than_a_millisecond() -> None:
    best = 1.0
    for _ in range(50):
        start = time.process_time()
        load(HELLO)
        best = min(best, time.process_time() - start)
    assert best < 0.001


def test_neither_yaml_nor_what_only_mistakes_need_is_imported_early() -> None:
    code = (
        "import sys\nfrom podfast.spec import load\nfrom tests.spec.samples import FULL, HELLO\nload(FULL)\n"
        "late = {'yaml', 'difflib', 'dataclasses', 'asyncio', 'podfast.spec.fields', 'podfast.spec.shape'}\n"
        "load(HELLO)\nprint(sorted(late & set(sys.modules)))\n"
        "load(HELLO + '#\\r\\n')\nprint(sorted(late & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout == "[]\n['yaml']\n"
