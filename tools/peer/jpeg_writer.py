"""Writes baseline JPEG files of any sampling factors, which Pillow's own writer does not offer."""
import struct

import numpy as np

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))
# The luminance table of the standard's annex K, for all components, and its Huffman tables.
STEPS = np.array([16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22,
                  29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87,
                  103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99])
DC = ([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], list(range(12)))
# Every AC symbol with a code of ten bits or so: simple, and long codes are met too.
SYMBOLS = [run << 4 | size for run in range(16) for size in range(1, 11)] + [0, 0xf0]
AC = ([0, 0, 0, 0, 0, 0, 40, 60, 30, 20, 12, 0, 0, 0, 0, 0], sorted(SYMBOLS, key=lambda s: (s >> 4) + (s & 15)))


def codes(table):
    counts, symbols = table
    out, code, at = {}, 0, 0
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            out[symbols[at]] = (code, length)
            code, at = code + 1, at + 1
        code <<= 1
    return out


COSINES = np.array([[np.cos((2 * x + 1) * u * np.pi / 16) * (0.5 if u else 0.5 ** 1.5) for x in range(8)] for u in range(8)])
DC_CODES, AC_CODES = codes(DC), codes(AC)


class Bits:
    def __init__(self):
        self.text = []

    def put(self, value, count):
        if count:
            self.text.append(format(value, f"0{count}b"))

    def number(self, value):
        size = int(abs(value)).bit_length()
        return size, value if value >= 0 else value + (1 << size) - 1

    def bytes(self):
        text = "".join(self.text)
        text += "1" * (-len(text) % 8)
        return int(text or "1" * 8, 2).to_bytes(max(len(text) // 8, 1), "big").replace(b"\xff", b"\xff\0")


def write(planes, factors, size, quality=75, restart=0, adobe=None, ids=None):
    """A file of planes (uint8, each of its own size), their (h, v) factors, and the picture's (width, height)."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    steps = np.clip((STEPS * scale + 50) // 100, 1, 255).astype(int)
    (width, height), most_h, most_v = size, max(h for h, _ in factors), max(v for _, v in factors)
    across, down = -(-width // (8 * most_h)), -(-height // (8 * most_v))
    single = len(planes) == 1
    blocks = []
    for plane, (h, v) in zip(planes, factors):
        padded = np.pad(plane, ((0, max(0, down * v * 8 - plane.shape[0])), (0, max(0, across * h * 8 - plane.shape[1]))), "edge")
        part = padded[: down * v * 8, : across * h * 8].reshape(down * v, 8, across * h, 8).transpose(0, 2, 1, 3) - 128.0
        numbers = np.round(COSINES @ part @ COSINES.T / steps.reshape(8, 8)).astype(int)
        blocks.append(numbers.reshape(down * v, across * h, 64)[..., ZIGZAG])
    if single:
        factors, across, down = [(1, 1)], -(-planes[0].shape[1] // 8), -(-planes[0].shape[0] // 8)
    out, bits, last, count, marker = [], Bits(), [0] * len(planes), 0, 0
    for y in range(down):
        for x in range(across):
            if restart and count == restart:
                out += [bits.bytes(), b"\xff" + bytes([0xd0 + marker])]
                bits, last, count, marker = Bits(), [0] * len(planes), 0, (marker + 1) % 8
            count += 1
            for c, (h, v) in enumerate(factors):
                for by in range(v):
                    for bx in range(h):
                        block = blocks[c][y * v + by, x * h + bx]
                        size_, value = bits.number(int(block[0]) - last[c])
                        last[c] = int(block[0])
                        bits.put(*DC_CODES[size_])
                        bits.put(value, size_)
                        run = 0
                        places = np.flatnonzero(block[1:]) + 1
                        at = 0
                        for k in places:
                            run = k - at - 1
                            at = k
                            while run > 15:
                                bits.put(*AC_CODES[0xf0])
                                run -= 16
                            size_, value = bits.number(int(block[k]))
                            bits.put(*AC_CODES[run << 4 | size_])
                            bits.put(value, size_)
                        if at < 63:
                            bits.put(*AC_CODES[0])
    out.append(bits.bytes())

    def part(mark, body):
        return b"\xff" + bytes([mark]) + struct.pack(">H", len(body) + 2) + body
    ids = ids or [1, 2, 3, 4][: len(planes)]
    head = b"\xff\xd8"
    if adobe is None:
        head += part(0xe0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    else:
        head += part(0xee, b"Adobe\0\x64\0\0\0\0" + bytes([adobe]))
    head += part(0xdb, b"\0" + bytes(int(steps[i]) for i in ZIGZAG))
    frame = b"".join(bytes([i, (h << 4) | v, 0]) for i, (h, v) in zip(ids, factors))
    head += part(0xc0, struct.pack(">BHHB", 8, height, width, len(planes)) + frame)
    for kind, (counts, symbols) in ((0, DC), (0x10, AC)):
        head += part(0xc4, bytes([kind]) + bytes(counts) + bytes(symbols))
    if restart:
        head += part(0xdd, struct.pack(">H", restart))
    head += part(0xda, bytes([len(planes)]) + b"".join(bytes([i, 0]) for i in ids) + b"\0\x3f\0")
    return head + b"".join(out) + b"\xff\xd9"
