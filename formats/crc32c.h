/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), as TensorFlow's files carry it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Goes on from crc, which is 0 ahead of the first byte. */
uint32_t i3d_crc32c(uint32_t crc, const void *bytes, size_t length);

/* The checksum behind a stored one: files that hold checksums of data with checksums
 * inside rotate and shift them (LevelDB, util/crc32c.h). */
uint32_t i3d_crc32c_unmask(uint32_t masked);
