# SPDX-License-Identifier: Apache-2.0
"""Test tools: what proves that podfast leaves nothing behind, whatever is killed.

kernel      the few system calls that Python lacks
isolation   a test session's own mount table and network, and a mark that all its descendants carry
leaks       snapshot and difference of everything a test can leave behind
  processes namespaces tables netlink bpf cgroups files    … kind by kind
roots       directories for one test, swept and removed
inject.c    runs an operation and kills or fails one process at its K-th system call
injector    … from Python;  crashpoints  … at many points, with recovery and leak check after each
race        one process loops an operation, another swaps the path under it
vm          boots another kernel in QEMU and runs a command in it
"""
