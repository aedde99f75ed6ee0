# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, auto_pickle=False, autotestdict=False, boundscheck=False, wraparound=False
"""PodPlan → the flat message of podfast.h. One pass; equal strings are stored once; arrays are aligned to eight bytes."""

cimport cython
import struct

cdef object HEAD = struct.Struct("<IIII II II II II II I II II II II I I 4x Q I I I I").pack
cdef object CGROUP = struct.Struct("<IIIIiII").pack
cdef object TREE = struct.Struct("<III").pack
cdef object VOLUME = struct.Struct("<IIQII").pack
cdef object FILE = struct.Struct("<III").pack
cdef object MOUNT = struct.Struct("<IIII").pack
cdef object BIND = struct.Struct("<II").pack
cdef object CONTAINER = struct.Struct("<II I II II II II II II II II I I 4x Q").pack

cdef int MAGIC = 0x4C504650
cdef int HEAD_SIZE = struct.calcsize("<IIII II II II II II I II II II II I I 4x Q I I I I")


@cython.internal
cdef class Blob:
    cdef bytearray data
    cdef dict known

    def __cinit__(self):
        self.data = bytearray(HEAD_SIZE)
        self.known = {}

    cdef int text(self, str value) except -1:
        cdef object at = self.known.get(value)
        if at is None:
            encoded = value.encode("utf-8", "surrogateescape")
            if b"\0" in encoded:
                raise ValueError(f"a NUL byte in {value!r}")
            at = len(self.data)
            self.known[value] = at
            self.data += encoded
            self.data.append(0)
        return at

    cdef int array(self, bytes packed) except -1:
        cdef int rest = len(self.data) & 7
        if rest:
            self.data += b"\0" * (8 - rest)
        cdef int at = len(self.data)
        self.data += packed
        return at

    cdef int numbers(self, tuple values) except -1:
        return self.array(struct.pack(f"<{len(values)}I", *values)) if values else 0

    cdef int texts(self, tuple values) except -1:
        return self.numbers(tuple([self.text(value) for value in values]))


cdef tuple _flat(tuple pairs):
    return tuple([part for pair in pairs for part in pair])


def encode(plan, int abi):
    """The bytes of a plan for a shim of that ABI. Raises ValueError for a string that no process can be given."""
    cdef Blob blob = Blob()
    containers = []
    for one in plan.containers:
        binds = blob.array(b"".join([BIND(tree, blob.text(target)) for tree, target in one.binds])) if one.binds else 0
        mounts = (
            blob.array(b"".join([MOUNT(mount.volume, blob.text(mount.target), mount.flags, 0) for mount in one.mounts]))
            if one.mounts
            else 0
        )
        containers.append(
            CONTAINER(
                blob.text(one.name), blob.text(one.log_directory), one.flags, one.uid, one.gid,
                len(one.groups), blob.numbers(one.groups), len(one.layers), blob.numbers(one.layers),
                len(one.binds), binds, len(one.mounts), mounts,
                blob.texts(one.argv), len(one.argv), blob.texts(one.envp), len(one.envp), blob.texts(one.paths), len(one.paths),
                blob.text(one.workdir), 0, one.capabilities,
            )
        )
    cgroups = b"".join([
        CGROUP(one.hierarchy, blob.text(one.path), blob.texts(_flat(one.writes)), 2 * len(one.writes), one.container, one.flags, blob.text(one.view))
        for one in plan.cgroups
    ])
    trees = b"".join([TREE(index if plan.passes_trees else 0xFFFFFFFF, blob.text(one.source), one.flags) for index, one in enumerate(plan.trees)])
    volumes = b"".join([VOLUME(one.kind, one.tree, one.size_limit, one.mode, 0) for one in plan.volumes])
    files = b"".join([FILE(blob.text(one.name), blob.text(one.content), blob.text(one.target)) for one in plan.files])
    sysctls = _flat(plan.sysctls)
    fields = [
        len(plan.containers), blob.array(b"".join(containers)),
        len(plan.cgroups), blob.array(cgroups) if cgroups else 0,
        len(plan.trees), blob.array(trees) if trees else 0,
        len(plan.volumes), blob.array(volumes) if volumes else 0,
        len(plan.files), blob.array(files) if files else 0,
        blob.text(plan.hostname),
        blob.texts(sysctls), len(sysctls), blob.texts(plan.masks), len(plan.masks), blob.texts(plan.read_only), len(plan.read_only),
        blob.texts(plan.devices), len(plan.devices),
        blob.text(plan.trash_name), blob.text(plan.state_name),
        plan.log_max_bytes, plan.log_max_files, plan.shm_bytes, plan.cgroup_view, 0,
    ]
    blob.data.append(0)  # the last byte is NUL, so that every offset inside is a string that ends
    blob.data[:HEAD_SIZE] = HEAD(MAGIC, abi, len(blob.data), plan.flags, *fields)
    return bytes(blob.data)
