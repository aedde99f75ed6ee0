# SPDX-License-Identifier: Apache-2.0
"""Fails if a test was skipped for a reason that CI does not accept. Arguments: JUnit file, file of accepted reasons."""

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def main(report: str, accepted: str) -> int:
    lines = Path(accepted).read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    refused = 0
    for case in ET.parse(report).iter("testcase"):
        for skipped in case.iter("skipped"):
            reason = skipped.get("message", "")
            known = any(re.fullmatch(pattern, reason) for pattern in patterns)
            refused += not known
            print(f"{'accepted' if known else 'NOT ACCEPTED'}: {case.get('classname')}.{case.get('name')}: {reason}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
