"""Writes sorted string tables, in which TensorFlow keeps checkpoints (LevelDB's
doc/table_format.md), with whatever a test wants to be wrong in them."""

import struct

MAGIC = 0xDB4775248B80FB57


def make_polynomial_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C = make_polynomial_table()


def checksum(content):
    """CRC-32C, masked as LevelDB and TensorFlow store it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def varint(number):
    number &= 2**64 - 1
    parts = []
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def snappy(block):
    """A Snappy stream of literals alone, each of at most 60 bytes."""
    pieces = [block[at:at + 60] for at in range(0, len(block), 60)]
    return varint(len(block)) + b"".join(bytes([len(piece) - 1 << 2]) + piece
                                         for piece in pieces)


def block(entries, shared=0, restarts=1):
    """shared: of each key's bytes, how many are said to be the previous key's."""
    body = b"".join(varint(shared) + varint(len(key)) + varint(len(value)) + key + value
                    for key, value in entries)
    return body + struct.pack("<II", 0, restarts)


def table(entries, compress=None, shared=0, restarts=1):
    """One block of data, no metadata, an index and the footer."""
    stored = b""

    def put(content, packed):
        nonlocal stored
        place = varint(len(stored)) + varint(len(content))
        content += b"\1" if packed else b"\0"
        stored += content + checksum(content)
        return place

    content = block(entries, shared, restarts)
    data = put(compress(content) if compress else content, bool(compress))
    metadata = put(block([]), False)
    index = put(block([(entries[-1][0] + b"\xff", data)]), False)
    footer = metadata + index
    return stored + footer + bytes(40 - len(footer)) + struct.pack("<Q", MAGIC)


def read_varint(raw, at):
    number = shift = 0
    while True:
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def blocks(raw):
    """(start, length) of a table's block of data and of its index, as table() wrote them."""
    at = len(raw) - 48
    numbers = []
    for _ in range(4):
        number, at = read_varint(raw, at)
        numbers.append(number)
    metadata_start, _, index_start, index_length = numbers
    return (0, metadata_start - 5), (index_start, index_length)


def seal(raw, place):
    """Gives a block (start, length) in a bytearray the checksum of what it now holds."""
    start, length = place
    raw[start + length + 1:start + length + 5] = checksum(raw[start:start + length + 1])


def bundle_header():
    """BundleHeaderProto: one data file, little-endian."""
    return b"\x08\x01\x1a\x02\x08\x01"


def bundle_entry(shape, content, offset=0, size=None, shard=0):
    """BundleEntryProto of a float32 tensor that is stored whole."""
    axes = b"".join(b"\x12" + varint(len(axis) + 1) + b"\x08" + axis
                    for axis in map(varint, shape))
    return (b"\x08\x01\x12" + varint(len(axes)) + axes + b"\x18" + varint(shard) + b"\x20"
            + varint(offset) + b"\x28" + varint(len(content) if size is None else size)
            + b"\x35" + checksum(content))
