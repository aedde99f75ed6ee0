# SPDX-License-Identifier: Apache-2.0
"""YAML, JSON or plain data → Pod: strict, and every mistake told at once with its place.

    source ─source→ plain data ─model, shape→ Document ─checks, options→ complete ─→ Pod

load       the way as a whole              source     text, paths, data; the limits
model      the Pod's types                 shape      what is wrong with fields and their types
fields     every v1 field, what becomes    checks     names, paths, ranges, references (names, capabilities)
           of it                           options    podfast.dev/* annotations
quantity   500m, 64Mi                      complete   defaults and canonical forms
expand     $(NAME) in command, args, env   problems   collecting mistakes, places, suggestions
"""

from __future__ import annotations

from podfast.spec.expand import environment, expand, expand_all
from podfast.spec.load import load
from podfast.spec.model import Pod

__all__ = ["Pod", "environment", "expand", "expand_all", "load"]
