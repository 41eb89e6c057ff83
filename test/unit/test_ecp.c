/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/ecp.h"

static void
all_values(void **state)
{
    (void)state;
    for (uint32_t head = 0; head < 0x10000; head++) {
        uint8_t bytes[4] = {(uint8_t)(head >> 8), (uint8_t)head, 0x12, 0x34}, again[4];
        struct rd r = rd_of(bytes, 4);
        struct wr w = wr_of(again, 4);
        struct ecp e;
        assert_true(ecp_decode(&r, &e));
        ecp_encode(&w, &e);
        assert_memory_equal(bytes, again, 4);
    }
    for (size_t n = 0; n < 4; n++) {
        struct rd r = rd_of("\x10\x01\0", n);
        struct ecp e;
        assert_false(ecp_decode(&r, &e));
    }
}

static void
words(void **state)
{
    (void)state;
    struct rd r = rd_of("\x14\x01\x00\x16", 4);
    struct ecp e;
    assert_true(ecp_decode(&r, &e));
    assert_true(
        e.version == 1 && e.op == ECP_ACK && e.subtype == ECP_VDP && e.seq == 22);
    char text[64];
    ecp_print(&e, text, sizeof text);
    assert_string_equal(text, "ecp ack version 1 subtype 1 seq 22");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_values), cmocka_unit_test(words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
