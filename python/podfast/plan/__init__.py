# SPDX-License-Identifier: Apache-2.0
"""Pod + images → PodPlan: decide first, act later.

build.py         the plan as a whole       cgroups.py  resources → groups and their files
capabilities.py  names → bits              model.py    what comes out
"""

from podfast.plan.build import build, candidates
from podfast.plan.model import Hierarchy, HostFacts, Names, PodPlan, show

__all__ = ["Hierarchy", "HostFacts", "Names", "PodPlan", "build", "candidates", "show"]
