/* SPDX-License-Identifier: Apache-2.0 */
/* Words of the TNS operations and codes, as people and the bindings write them. */
#include "core/tns.h"

#include <string.h>

static const char *const op_words[TNS_N_OPS] = {
    [TNS_PREASSOC] = "preassociate",
    [TNS_ASSOC] = "associate",
    [TNS_SUSPEND] = "suspend",
    [TNS_RESUME] = "resume",
    [TNS_EMIGRATE_PREPARE] = "emigrate-prepare",
    [TNS_EMIGRATE_COMMIT] = "emigrate",
    [TNS_IMMIGRATE_PRE] = "immigrate-prepare",
    [TNS_IMMIGRATE_ASSO] = "immigrate",
    [TNS_TERMINATE] = "terminate",
    [TNS_KEEPALIVE] = "keepalive",
};
static const char *const code_words[TNS_N_CODES] = {
    [TNS_OK] = "ok",
    [TNS_BAD_MESSAGE] = "bad-message",
    [TNS_NO_RESOURCES] = "no-resources",
    [TNS_NO_AUTHORITY] = "no-authority",
    [TNS_NOT_AUTHORISED] = "not-authorised",
    [TNS_CONFLICT] = "conflict",
    [TNS_UNKNOWN_VN] = "unknown-vn",
    [TNS_NO_STATE] = "no-state",
    [TNS_INVALID_STATE] = "invalid-state",
    [TNS_BUSY] = "busy",
    [TNS_MOVED] = "moved",
};

const char *
tns_op_str(uint8_t op)
{
    return op < TNS_N_OPS ? op_words[op] : "?";
}

const char *
tns_code_str(uint8_t code)
{
    return code < TNS_N_CODES ? code_words[code] : "?";
}

bool
tns_op_parse(const char *word, uint8_t *op)
{
    for (uint8_t i = 0; i < TNS_N_OPS; i++)
        if (strcmp(word, op_words[i]) == 0) {
            *op = i;
            return true;
        }
    return false;
}
