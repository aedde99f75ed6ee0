// SPDX-License-Identifier: Apache-2.0
// A further process in a running container, for a client. It lives in a sub-group of the container's, and ends with its client.
#include "shim.h"

#include <stdlib.h>
#include <string.h>

static void refuse(const struct client *client, uint32_t tag, int stage, int error) {
    const struct pf_msg message = {.magic = PF_MSG_MAGIC | PF_ABI, .type = PF_MSG_EXEC_FAILED, .tag = tag, .stage = stage, .error = error, .wall_ns = wall_ns()};
    send_message(client->fd, &message, NULL, 0, -1);
}

// n strings one after the other; NULL when the payload ends first.
static const char **take_strings(char **at, const char *end, uint32_t n) {
    if (n > PF_MSG_MAX) return NULL;
    const char **list = calloc(n + 1u, sizeof *list);
    for (uint32_t i = 0; list && i < n; i++) {
        char *stop = memchr(*at, 0, (size_t)(end - *at));
        if (!stop) {
            free(list);
            return NULL;
        }
        list[i] = *at;
        *at = stop + 1;
    }
    return list;
}

// Joining another pid namespace takes effect for what is forked next; afterwards the shim goes back to its own.
static pf_word start_inside(struct shim *shim, int target, int group_fd, int *pidfd, struct pf_exec_job *job) {
    PF_FD own = sys_openat(PF_FD_PROC, "self/ns/pid", O_RDONLY, 0);
    if (own < 0) return own;
    pf_word failed = sys_setns(target, CLONE_NEWPID);
    if (failed < 0) return failed;
    pf_word pid = start_child(shim, 0, group_fd, pidfd, pf_exec_main, job);
    const int back = shim->plan->flags & PF_POD_SHARE_PID && shim->pause_pidfd >= 0 ? shim->pause_pidfd : own;
    if (sys_setns(back, CLONE_NEWPID) < 0) sys_setns(own, CLONE_NEWPID);
    return pid;
}

static void group_path(const struct shim *shim, const struct pf_cgroup *group, int number, char *path, size_t room) {
    size_t n = strlen(plan_text(shim, group->path));
    if (n + 16 > room) n = 0;
    memcpy(path, plan_text(shim, group->path), n);
    memcpy(path + n, "/x", 2);
    pf_digits(path + n + 2, (uint32_t)number);
}

// v2: the group to be born in. v1: -1, and *members is where the child writes itself.
static int make_group(struct shim *shim, int32_t index, struct client *client, char *members, size_t room) {
    const struct pf_cgroup *group = tracking_group(shim, index);
    client->exec_group = 0;
    *members = 0;
    if (!group) return -1;
    const int hierarchy = PF_FD_FIRST_HIERARCHY + (int)group->hierarchy, number = (int)++shim->next_exec;
    group_path(shim, group, number, members, room - 8);
    if (sys_mkdirat(hierarchy, members, 0755) < 0) { // then in the container's own: its limits hold in any case
        *members = 0;
        return group->flags & PF_CG_V2 ? open_group(group, shim) : -1;
    }
    client->exec_group = number;
    if (!(group->flags & PF_CG_V2)) {
        strcat(members, "/tasks");
        return -1;
    }
    int fd = sys_openat(hierarchy, members, O_RDONLY | O_DIRECTORY, 0);
    *members = 0;
    return fd;
}

static void drop_group(const struct shim *shim, struct client *client) {
    const struct pf_cgroup *group = tracking_group(shim, client->index);
    char path[512];
    if (!group || !client->exec_group) return;
    group_path(shim, group, client->exec_group, path, sizeof path);
    pf_cgroup_remove(PF_FD_FIRST_HIERARCHY + (int)group->hierarchy, path, NULL);
    client->exec_group = 0;
}

static void launch(struct shim *shim, struct client *client, uint32_t number, const struct pf_msg *message, struct pf_exec_job *job) {
    struct container *container = &shim->containers[message->index];
    int ends[2], pair[2] = {-1, -1};
    if (sys_pipe(ends, O_CLOEXEC) < 0) return refuse(client, message->tag, PF_STAGE_CLONE, EMFILE);
    if (job->flags & PF_EXEC_TTY) PF_CALL(__NR_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, PF_P(pair), 0);
    job->report_fd = ends[1];
    job->tty_socket = pair[1];
    client->index = message->index;
    client->tag = message->tag;
    client->flags = job->flags;
    client->failed = 0;
    static char members[512];
    PF_FD group_fd = make_group(shim, message->index, client, members, sizeof members);
    if (*members) {
        job->cgroup_procs = members;
        job->cgroup_fd = PF_FD_FIRST_HIERARCHY + (int)tracking_group(shim, message->index)->hierarchy;
    }
    pf_word pid = start_inside(shim, container->pidfd, group_fd, &client->exec_pidfd, job);
    sys_close(ends[1]);
    if (pair[1] >= 0) sys_close(pair[1]);
    client->exec_tty = pair[0];
    if (pid < 0) {
        client->exec_pidfd = -1;
        sys_close(ends[0]);
        if (pair[0] >= 0) sys_close(pair[0]);
        drop_group(shim, client);
        return refuse(client, message->tag, PF_STAGE_CLONE, (int)-pid);
    }
    client->exec_report = ends[0];
    watch(shim, client->exec_report, KIND_EXEC_REPORT, number);
    watch(shim, client->exec_pidfd, KIND_EXEC_LIFE, number);
}

static size_t name_length(const char *variable) { return strcspn(variable, "="); }

// The container's variables, then those of the request, which win.
static const char **merge_environment(const char **own, const char **more) {
    size_t n = 0, n_more = 0;
    while (own[n]) n++;
    while (more[n_more]) n_more++;
    const char **out = calloc(n + n_more + 1, sizeof *out);
    size_t at = 0;
    for (size_t i = 0; out && i < n; i++) {
        size_t length = name_length(own[i]), k = 0;
        while (k < n_more && (name_length(more[k]) != length || strncmp(own[i], more[k], length) != 0)) k++;
        if (k == n_more) out[at++] = own[i];
    }
    for (size_t i = 0; out && i < n_more; i++) out[at++] = more[i];
    return out;
}

// What execve tries: the program itself if it has a slash, else each directory of PATH (execvp(3)). One block: pointers, then texts.
static const char **search(const char *program, const char **envp) {
    const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (size_t i = 0; envp[i]; i++)
        if (strncmp(envp[i], "PATH=", 5) == 0) path = envp[i] + 5;
    size_t n = 1, length = strlen(program);
    for (const char *at = path; *at; at++) n += *at == ':';
    const char **out = malloc((n + 1) * sizeof *out + strlen(path) + n * (length + 3));
    if (!out) return NULL;
    char *text = (char *)(out + n + 1);
    if (strchr(program, '/')) {
        out[0] = program;
        out[1] = NULL;
        return out;
    }
    for (size_t i = 0; i < n; i++) {
        size_t part = strcspn(path, ":");
        out[i] = text;
        memcpy(text, part ? path : ".", part ? part : 1);
        text += part ? part : 1;
        *text++ = '/';
        memcpy(text, program, length + 1);
        text += length + 1;
        path += part + (path[part] == ':');
    }
    out[n] = NULL;
    return out;
}

static void run_request(struct shim *shim, struct client *client, uint32_t number, const struct pf_msg *message, char *payload, size_t size, const int *fds) {
    static struct pf_exec_job job;
    struct pf_exec head;
    struct container *container = &shim->containers[message->index];
    memcpy(&head, payload, sizeof head);
    char *at = payload + sizeof head;
    const char *end = payload + size;
    const char **argv = take_strings(&at, end, head.n_argv), **more = argv ? take_strings(&at, end, head.n_envp) : NULL;
    const char **workdir = more ? take_strings(&at, end, 1) : NULL;
    const char **envp = workdir ? merge_environment(container->envp, more) : NULL, **paths = envp && argv[0] ? search(argv[0], envp) : NULL;
    if (paths) {
        job = (struct pf_exec_job){
            .base = shim->base, .plan = shim->plan, .container = plan_container(shim, (uint32_t)message->index), .index = (uint32_t)message->index,
            .flags = head.flags, .target_pidfd = container->pidfd, .stdio = {fds[0], fds[1], fds[2]}, .rows = head.rows, .columns = head.columns,
            .argv = argv, .envp = envp, .paths = paths, .board = shim->board,
            .workdir = workdir[0][0] ? workdir[0] : plan_text(shim, plan_container(shim, (uint32_t)message->index)->workdir),
        };
        launch(shim, client, number, message, &job);
    } else refuse(client, message->tag, PF_STAGE_PLAN, EINVAL);
    free(argv);
    free(more);
    free(workdir);
    free(envp);
    free(paths);
}

void exec_start(struct shim *shim, struct client *client, uint32_t number, const struct pf_msg *message, char *payload, size_t size, int *fds, int n_fds) {
    struct pf_exec head = {0};
    if (size >= sizeof head) memcpy(&head, payload, sizeof head);
    const int wanted = head.flags & PF_EXEC_TTY ? 0 : 3;
    const int known = message->index >= 0 && (uint32_t)message->index < shim->plan->n_containers;
    if (size < sizeof head || !known || n_fds != wanted || client->exec_pidfd >= 0) refuse(client, message->tag, PF_STAGE_PLAN, EINVAL);
    else if (shim->containers[message->index].phase != PHASE_RUNNING || shim->containers[message->index].pidfd < 0)
        refuse(client, message->tag, PF_STAGE_JOIN, ESRCH);
    else run_request(shim, client, number, message, payload, size, fds);
    for (int i = 0; i < n_fds; i++) sys_close(fds[i]);
}

static int take_master(int socket) {
    char byte[1];
    struct iovec data = {byte, 1};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (socket < 0 || sys_recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0 || header.msg_controllen < CMSG_LEN(sizeof(int))) return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
    return fd;
}

void exec_report(struct shim *shim, uint32_t number) {
    struct client *client = &shim->clients[number];
    struct pf_report report;
    pf_word n = sys_read(client->exec_report, &report, sizeof report);
    unwatch(shim, client->exec_report);
    sys_close(client->exec_report);
    client->exec_report = -1;
    PF_FD master = take_master(client->exec_tty);
    if (client->exec_tty >= 0) sys_close(client->exec_tty);
    client->exec_tty = -1;
    if (client->fd < 0) return;
    if (n == (pf_word)sizeof report) {
        client->failed = 1;
        return refuse(client, client->tag, report.stage, report.error);
    }
    if (client->flags & PF_EXEC_SILENT) return;
    const struct pf_msg message = {.magic = PF_MSG_MAGIC | PF_ABI, .type = PF_MSG_EXEC_STARTED, .tag = client->tag, .wall_ns = wall_ns()};
    send_message(client->fd, &message, NULL, 0, master);
}

void exec_ended(struct shim *shim, uint32_t number) {
    struct client *client = &shim->clients[number];
    if (client->exec_report >= 0) exec_report(shim, number);
    siginfo_t info = {0};
    sys_waitid(P_PIDFD, client->exec_pidfd, &info, WEXITED | WNOHANG);
    const int status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
    unwatch(shim, client->exec_pidfd);
    sys_close(client->exec_pidfd);
    client->exec_pidfd = -1;
    if (client->fd >= 0 && !client->failed) {
        const struct pf_msg message = {.magic = PF_MSG_MAGIC | PF_ABI, .type = PF_MSG_EXEC_EXITED, .tag = client->tag, .value = status, .wall_ns = wall_ns()};
        send_message(client->fd, &message, NULL, 0, -1);
    }
    drop_group(shim, client); // after the answer: removing a group may wait for what it kills
}
