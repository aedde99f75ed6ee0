// SPDX-License-Identifier: Apache-2.0
#include "core.h"

static size_t append(char *to, size_t at, size_t room, const char *text) {
    while (text && *text && at + 1 < room) to[at++] = *text++;
    to[at] = 0;
    return at;
}

int pf_fail(struct pf_err *err, pf_word code, const char *operation, const char *object) {
    if (err) {
        err->code = (int)(code < 0 ? -code : code);
        size_t at = append(err->what, 0, sizeof err->what, operation);
        if (object) {
            at = append(err->what, at, sizeof err->what, " ");
            append(err->what, at, sizeof err->what, object);
        }
    }
    return -1;
}

uint32_t pf_abi(void) { return PF_ABI; }

const char *pf_profile(void) {
#if defined(__SANITIZE_ADDRESS__)
    return "sanitize";
#else
    return "release";
#endif
}
