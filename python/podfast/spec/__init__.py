# SPDX-License-Identifier: Apache-2.0
"""YAML, JSON or plain data → Pod: strict, and every mistake told at once with its place.

    text ─_native.yaml→ plain data ─model.decode→ Document ─checks→ Pod

model      the Pod's types                 fields     every field of the v1 Pod, and what becomes of it
load       the way from a source to a Pod  shape      what the fields table says to a document
quantity   500m, 64Mi                      checks     names, paths, ranges, references
options    podfast.dev/* annotations       expand     $(NAME) in command, args and env
"""
