#include "formats/crc32c.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

enum { POLYNOMIAL = 0x82f63b78, STEP = 8 }; /* with the bits reversed */

/* tables[k][b]: what byte b changes when k bytes stand behind it. */
static uint32_t tables[STEP][256];

static void fill_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? (uint32_t)POLYNOMIAL : 0);
        tables[0][byte] = crc;
    }
    for (int k = 1; k < STEP; k++)
        for (int byte = 0; byte < 256; byte++)
            tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 255];
}

static uint32_t by_tables(uint32_t crc, const unsigned char *at, size_t length)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_tables);
    for (; length >= STEP; at += STEP, length -= STEP) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        word = le64toh(word) ^ crc;
        crc = 0;
        for (int k = 0; k < STEP; k++)
            crc ^= tables[STEP - 1 - k][word >> 8 * k & 255];
    }
    while (length--)
        crc = crc >> 8 ^ tables[0][(crc ^ *at++) & 255];
    return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2")))
static uint32_t by_instruction(uint32_t start, const unsigned char *at, size_t length)
{
    uint64_t crc = start, word;
    for (; length >= sizeof word; at += sizeof word, length -= sizeof word) {
        memcpy(&word, at, sizeof word);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    while (length--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *at++);
    return (uint32_t)crc;
}
#endif

uint32_t i3d_crc32c(uint32_t crc, const void *bytes, size_t length)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return ~by_instruction(~crc, bytes, length);
#endif
    return ~by_tables(~crc, bytes, length);
}

uint32_t i3d_crc32c_unmask(uint32_t masked)
{
    uint32_t rotated = masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}
