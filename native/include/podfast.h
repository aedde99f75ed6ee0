/* SPDX-License-Identifier: Apache-2.0 */
/* podfast's C interface: the plan a pod is made from, the messages engine and shim exchange, and the few calls that Python makes.
 * Everything that crosses a process boundary is flat, versioned by PF_ABI and length-checked by the side that reads it. */
#ifndef PODFAST_H
#define PODFAST_H

#include <stdint.h>
#include <stddef.h>

#define PF_ABI 1u
#define PF_PLAN_MAGIC 0x4c504650u /* "PFPL" */
#define PF_MSG_MAGIC 0x4d465000u  /* "PFM", the ABI in the low byte */

#if defined(__GNUC__)
#define PF_API __attribute__((visibility("default")))
#else
#define PF_API
#endif

/* ---- the plan: one memfd; offsets are from its start, 0 means none; strings end with NUL ---- */

struct pf_vec { /* n offsets of strings, at `at` */
    uint32_t at, n;
};

enum { /* pf_plan.flags */
    PF_POD_SERVED = 1,    /* shim and containers outlive the engine */
    PF_POD_SHARE_PID = 2, /* one pid namespace, pause is its PID 1 */
    PF_POD_ROOTLESS = 4,  /* a user namespace is in front; device nodes and host trees are bound, not made */
    PF_POD_ADOPT = 8,     /* a new shim for running containers */
    PF_POD_NO_STATE = 16, /* nothing of it is on the state disk */
};

struct pf_plan {
    uint32_t magic, abi, size, flags;
    uint32_t n_containers, containers; /* struct pf_container[] */
    uint32_t n_cgroups, cgroups;       /* struct pf_cgroup[] */
    uint32_t n_trees, trees;           /* struct pf_tree[] */
    uint32_t n_volumes, volumes;       /* struct pf_volume[] */
    uint32_t n_files, files;           /* struct pf_file[]: generated files of the pod (hosts, hostname, resolv.conf) */
    uint32_t hostname;
    struct pf_vec sysctls; /* name, value, name, value … below /proc/sys */
    struct pf_vec masks;   /* below /proc and /sys: "/proc/kcore" */
    struct pf_vec rdonly;  /* "/proc/sys" */
    struct pf_vec devices; /* for privileged containers: "c 660 10 229 fuse": kind, mode in octal, major, minor, name */
    uint32_t trash_name;   /* name of the state directory in the trash */
    uint32_t state_name;   /* rootless: host path of the state directory */
    uint32_t pad0;
    uint64_t log_max_bytes;
    uint32_t log_max_files;
    uint32_t shm_bytes;
    uint32_t cgroup_view; /* 1: /sys/fs/cgroup is shown */
    uint32_t pad;
};

struct pf_cgroup { /* made in order, removed in reverse */
    uint32_t hierarchy; /* index into the hierarchy descriptors */
    uint32_t path;      /* below the hierarchy's base */
    struct pf_vec writes; /* file, value, file, value … */
    int32_t container;  /* -1: of the pod */
    uint32_t flags;     /* PF_CG_* */
    uint32_t view;      /* name below /sys/fs/cgroup, "" on a v2 host */
};
enum {
    PF_CG_V2 = 1,
    PF_CG_MEMORY = 2, /* out-of-memory kills are read here */
    PF_CG_TRACK = 4,  /* every process of the container is in it: it is what a kill empties */
    PF_CG_SHIM = 8,   /* the shim joins it, so that everything it forks is born there */
};

struct pf_tree { /* a mount tree that came from the host's side: layer, bind source, hostPath */
    uint32_t fd;    /* index into the tree descriptors, or PF_NO_FD */
    uint32_t path;  /* rootless: path below /host in the launcher */
    uint32_t flags; /* PF_TREE_* */
};
#define PF_NO_FD 0xffffffffu
enum {
    PF_TREE_FILE = 1,   /* not a directory */
    PF_TREE_RDONLY = 2,
    PF_TREE_DEVICES = 4, /* device nodes in it keep working */
    PF_TREE_RECURSIVE = 8,
};

enum pf_volume_kind { PF_VOLUME_TREE = 0, PF_VOLUME_DISK = 1, PF_VOLUME_MEMORY = 2 };
struct pf_volume {
    uint32_t kind;
    uint32_t tree;       /* PF_VOLUME_TREE */
    uint64_t size_limit; /* bytes, 0: none */
    uint32_t mode;
    uint32_t pad;
};

struct pf_file {
    uint32_t name, content, target; /* name in the pod's own tmpfs, its text, where containers see it */
};

struct pf_mount { /* one volume in one container */
    uint32_t volume;
    uint32_t target; /* below the root, without a leading slash */
    uint32_t flags;  /* PF_MOUNT_RDONLY */
    uint32_t pad;
};
enum { PF_MOUNT_RDONLY = 1 };


struct pf_bind { /* one read-only tree of the image in the root */
    uint32_t tree, target;
};

enum { /* pf_container.flags */
    PF_C_AUTOSTART = 1,
    PF_C_ROOT_RDONLY = 2,
    PF_C_ROOT_UPPER = 4,     /* needs a writable layer (for a read-only root: to make mount points) */
    PF_C_UPPER_MEMORY = 8,   /* …on tmpfs */
    PF_C_PRIVILEGED = 16,
    PF_C_NO_NEW_PRIVS = 32,
    PF_C_SECCOMP = 64,
    PF_C_INIT = 128,         /* podfast-init is PID 1 */
};

struct pf_container {
    uint32_t name, log_dir; /* log_dir: below the logs directory */
    uint32_t flags;
    uint32_t uid, gid;
    uint32_t n_groups, groups; /* uint32_t[] */
    uint32_t n_layers, layers; /* uint32_t[]: trees, topmost first */
    uint32_t n_binds, binds;
    uint32_t n_mounts, mounts;
    struct pf_vec argv, envp;
    struct pf_vec paths; /* what execve tries, in this order */
    uint32_t workdir;
    uint32_t pad[2];
    uint64_t caps; /* bounding, permitted and effective alike */
};

/* The encoder in native/cython writes these sizes by hand. */
_Static_assert(sizeof(struct pf_plan) == 128 && sizeof(struct pf_container) == 96, "the plan's layout has changed");

/* ---- descriptors a shim is born with ---- */
enum {
    PF_FD_CONTROL = 3, /* the engine's connection */
    PF_FD_LISTEN,      /* other clients connect here */
    PF_FD_PLAN,
    PF_FD_ENGINE,      /* pidfd of the engine */
    PF_FD_PROC,        /* a checked procfs */
    PF_FD_ROOT,        /* the host's root directory: undo records are resolved from it */
    PF_FD_RUN,         /* the pod's run directory */
    PF_FD_POD,         /* the `pod` file: its lock says that the shim lives */
    PF_FD_LOGS,        /* <root>/logs */
    PF_FD_TRASH,       /* <root>/trash */
    PF_FD_STATE,       /* detached tree of <root>/pods/<id> */
    PF_FD_PAUSE,       /* the pause binary */
    PF_FD_INIT,        /* the podfast-init binary */
    PF_FD_FIRST_HIERARCHY, /* then the hierarchies' bases, then the trees */
};

/* ---- messages ---- */
struct pf_msg {
    uint32_t magic; /* PF_MSG_MAGIC | PF_ABI */
    uint16_t type, flags;
    uint32_t tag;   /* given by the asker, returned in the answer */
    int32_t index, attempt;
    int32_t value, stage, error;
    uint64_t wall_ns;
};
#define PF_MSG_MAX 65536u

enum pf_msg_type {
    /* engine → shim */
    PF_MSG_START = 1,  /* index, attempt */
    PF_MSG_SIGNAL,     /* index, value: signal */
    PF_MSG_REMOVE,     /* kill what is left, undo everything, answer GONE, exit */
    PF_MSG_ADOPT,      /* a new engine; its pidfd comes along; answered by READY, STARTED, EXITED … as they stand */
    /* shim → engine */
    PF_MSG_READY = 16, /* pause runs; its pidfd comes along */
    PF_MSG_STARTED,    /* index, attempt; the pidfd comes along */
    PF_MSG_FAILED,     /* index (-1: the sandbox), attempt, stage, error, value: which mount, path … ; text follows */
    PF_MSG_EXITED,     /* index, attempt, value: wait status, flags: PF_EXIT_* */
    PF_MSG_PAUSE_EXITED,
    PF_MSG_GONE,       /* value: 0, or the errno of what could not be undone */
    PF_MSG_REQUEST,    /* a client asks the owner: value: PF_ASK_*, error: grace in ms or -1, tag */
    /* client → shim */
    PF_MSG_EXEC = 32,  /* index; three descriptors; struct pf_exec follows */
    PF_MSG_EXEC_SIGNAL,
    PF_MSG_ASK,        /* value: PF_ASK_*, error: grace in ms or -1 */
    /* shim → client */
    PF_MSG_EXEC_STARTED = 48, /* the pty master comes along with a tty */
    PF_MSG_EXEC_EXITED,
    PF_MSG_EXEC_FAILED,
    PF_MSG_ANSWER, /* value: 0 passed on, else errno */
};
enum { PF_EXIT_OOM = 1, PF_EXIT_UNKNOWN = 2 };
enum { PF_ASK_STOP = 1, PF_ASK_KILL, PF_ASK_REMOVE };

struct pf_exec { /* follows the header; strings end with NUL, one after the other: argv, then variables that add to the container's, then workdir ("": its own) */
    uint32_t flags, n_argv, n_envp;
    uint16_t rows, columns;
};
enum { PF_EXEC_TTY = 1, PF_EXEC_SILENT = 2 /* tell a failure and the end, not the start */ };

/* ---- exit records: one slot for each container, then one for pause, in the run directory's file `exit` ---- */
struct pf_exit {
    uint32_t state; /* PF_SLOT_* */
    int32_t attempt, pid, status;
    uint32_t flags, pad;
    uint64_t start_ticks; /* of pid, from /proc/<pid>/stat */
    uint64_t started_ns, finished_ns;
    int32_t stage, error, at, reserved; /* PF_SLOT_FAILED: what PF_MSG_FAILED says */
};
enum { PF_SLOT_EMPTY = 0, PF_SLOT_RUNNING = 1, PF_SLOT_EXITED = 2, PF_SLOT_FAILED = 3 };

/* ---- where a start failed ---- */
enum pf_stage {
    PF_STAGE_NONE = 0,
    PF_STAGE_CLONE, PF_STAGE_CGROUP, PF_STAGE_NAMESPACE, PF_STAGE_ROOT, PF_STAGE_BIND, PF_STAGE_DEV, PF_STAGE_PROC, PF_STAGE_SYS,
    PF_STAGE_MASK, PF_STAGE_VOLUME, PF_STAGE_FILE, PF_STAGE_JOIN, PF_STAGE_VERIFY, PF_STAGE_CGROUP_VIEW, PF_STAGE_PIVOT, PF_STAGE_STDIO,
    PF_STAGE_KEYRING, PF_STAGE_WORKDIR, PF_STAGE_IDS, PF_STAGE_CAPS, PF_STAGE_SECCOMP, PF_STAGE_EXEC, PF_STAGE_PAUSE, PF_STAGE_PLAN,
    PF_STAGE_STATE, PF_STAGE_LOG, PF_STAGE_NETWORK, PF_STAGE_TTY, PF_STAGE_DIED, PF_STAGE_COUNT,
};

/* ---- errors ---- */
struct pf_err {
    int code; /* errno */
    char what[232];
};

/* ---- calls: 0 or a descriptor, or -1 with *err filled ---- */

/* The launcher: a mount namespace whose root is a private read-only tmpfs with podfast's binaries and mount points; returns its descriptors. */
struct pf_launcher {
    int mount_ns, user_ns; /* user_ns -1 for root */
    int shim, pause, init;
};
struct pf_hierarchy_spec {
    const char *base; /* host path that is shown and below which pods are made */
    const char *name; /* directory below /sys/fs/cgroup, "" for a v2 host */
};
struct pf_launcher_spec {
    const char *shim, *pause, *init; /* host paths of the binaries */
    const struct pf_hierarchy_spec *hierarchies;
    uint32_t n_hierarchies;
    uint32_t rootless;
    const char *uid_map, *gid_map; /* rootless: text for the maps */
};
PF_API int pf_launcher_make(const struct pf_launcher_spec *spec, struct pf_launcher *out, struct pf_err *err);

/* Starts a shim, double-forked; fds[i] becomes descriptor 3 + i. Returns a pidfd of the shim. */
enum { PF_SHIM_NEW_PID = 1 };
PF_API int pf_shim_spawn(const struct pf_launcher *launcher, int mount_ns, const int *fds, uint32_t n_fds, uint32_t flags, struct pf_err *err);

/* Replays the undo records of the pod file in a run directory, last to first, and removes the directory `run_name` below pods_fd. */
PF_API int pf_undo_replay(int root_fd, int run_fd, struct pf_err *err);
/* Removes a tree below dir_fd without following links or crossing mounts. Missing is fine. */
PF_API int pf_remove_tree(int dir_fd, const char *name, struct pf_err *err);
/* Kills every process in a cgroup directory, removes it and everything below it. Missing is fine. */
PF_API int pf_cgroup_remove(int dir_fd, const char *path, struct pf_err *err);

/* A detached, private clone of the tree at path (mount flags applied): open_tree, mount_setattr. */
PF_API int pf_tree_open(int dir_fd, const char *path, uint32_t flags, struct pf_err *err);
/* openat2 from a directory descriptor, never leaving it: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS. Returns an O_PATH descriptor. */
PF_API int pf_open_in_root(int dir_fd, const char *path, struct pf_err *err);
/* A procfs descriptor, its magic number and root inode checked. */
PF_API int pf_proc_open(struct pf_err *err);
/* A sealed memfd holding data. */
PF_API int pf_sealed(const char *name, const void *data, size_t size, struct pf_err *err);

/* A timerfd on the monotonic clock; set to an absolute time in ns, 0 disarms it. */
PF_API int pf_timer_make(struct pf_err *err);
PF_API int pf_timer_set(int fd, uint64_t at_ns, struct pf_err *err);
/* inotify(7): for those who follow logs and status files of other processes. */
PF_API int pf_inotify_make(struct pf_err *err);
PF_API int pf_inotify_add(int fd, const char *path, uint32_t mask, struct pf_err *err);

/* For those who build their own tools (podfast.native). */
struct pf_clone_spec {
    uint64_t namespaces; /* CLONE_NEW* */
    int cgroup_fd;       /* v2 directory to be born in, or -1 */
    const char *const *argv, *const *envp; /* argv[0] is the program's path */
    const int *stdio;    /* three descriptors or NULL */
    int join_pidfd;      /* its namespaces are joined first, or -1 */
    uint64_t join;       /* CLONE_NEW* */
};
PF_API int pf_clone(const struct pf_clone_spec *spec, int *pid, struct pf_err *err); /* returns a pidfd; fails when execve fails */
PF_API int pf_wait(int pidfd, int *status, struct pf_err *err);                   /* waitid(P_PIDFD) without blocking: 1 exited, 0 not yet */
PF_API int pf_join(int pidfd, uint64_t namespaces, struct pf_err *err);            /* joins and verifies; the caller must be single-threaded for user and mount namespaces */
PF_API int pf_exit_status(int pidfd, int *status, struct pf_err *err);             /* PIDFD_GET_INFO, Linux 6.15: of a process that is not a child */

/* What this library was built as, compared at import. */
PF_API uint32_t pf_abi(void);
PF_API const char *pf_profile(void); /* "release", "sanitize" */

#endif
