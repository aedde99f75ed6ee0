# SPDX-License-Identifier: Apache-2.0
"""`python -m podfast.cli`."""

import sys

from podfast.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
