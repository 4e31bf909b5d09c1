"""Draws pictures of every kind of file: what comparisons of decoding and preprocessing are made with."""
import io
import struct
import zlib

import jpeg_writer
import numpy as np
from PIL import Image

rng = np.random.default_rng(1)


def reseed(number):
    global rng
    rng = np.random.default_rng(number)


def scene(width, height, channels=3):
    """Waves, blobs, hard edges and noise."""
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for _ in range(channels):
        a, b = rng.uniform(2, 40, 2)
        plane = 128 + 70 * np.sin(x / a) * np.cos(y / b) + rng.normal(0, rng.uniform(0, 20), (height, width))
        for _ in range(4):
            cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(1, 1 + width / 4)
            plane = np.where((x - cx) ** 2 + (y - cy) ** 2 < r * r, rng.uniform(0, 255), plane)
        planes.append(plane)
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def size():
    if rng.random() < 0.1:
        return int(rng.integers(1, 12)), int(rng.integers(1, 12))
    if rng.random() < 0.05:
        return 224, 224
    return int(rng.integers(8, 700)), int(rng.integers(8, 500))


def saved(image, kind, **options):
    b = io.BytesIO()
    image.save(b, kind, **options)
    return b.getvalue()


def rgb(channels=3, mode=None):
    return Image.fromarray(scene(*size(), channels), mode) if mode else Image.fromarray(scene(*size(), channels))


def jpeg_options():
    options = {"quality": int(rng.integers(20, 101)), "progressive": bool(rng.random() < 0.4),
               "optimize": bool(rng.random() < 0.3)}
    if rng.random() < 0.4:
        options["restart_marker_blocks"] = int(rng.integers(1, 9))
    return options


def ycck():
    data = saved(rgb(4, "CMYK"), "JPEG", **jpeg_options())
    at = data.find(b"Adobe")
    return data if at < 0 else data[:at + 11] + b"\x02" + data[at + 12:]


def with_exif():
    exif = Image.Exif()
    exif[0x112] = int(rng.integers(1, 9))
    return saved(rgb(), "JPEG", exif=exif, **jpeg_options())


SAMPLINGS = {"440": [(1, 2), (1, 1), (1, 1)], "411": [(4, 1), (1, 1), (1, 1)], "410": [(4, 2), (1, 1), (1, 1)],
             "441": [(1, 4), (1, 1), (1, 1)], "311": [(3, 1), (1, 1), (1, 1)], "chroma": [(1, 1), (2, 1), (1, 2)],
             "422_in_444": [(2, 2), (2, 2), (1, 2)], "luma": [(1, 1), (2, 2), (2, 2)]}


def sampled(way):
    """A file of samplings that Pillow doesn't write, each plane of its own size."""
    (w, h), factors = size(), SAMPLINGS[way]
    most_h, most_v = max(f[0] for f in factors), max(f[1] for f in factors)
    image = Image.fromarray(scene(w, h)).convert("YCbCr")
    planes = []
    for band, (fh, fv) in zip(image.split(), factors):
        shape = (-(-w * fh // most_h), -(-h * fv // most_v))
        planes.append(np.asarray(band.resize(shape, Image.BOX)))
    return jpeg_writer.write(planes, factors, (w, h), int(rng.integers(20, 100)), int(rng.choice([0, 0, 3])))


def misread(way):
    """A 4:4:4 file whose header is told other factors: means drift far out of the range, where libjpeg-turbo's
    16-bit sums show."""
    factors = {"440": (0x12, 0x11, 0x11), "411": (0x41, 0x11, 0x11), "420": (0x22, 0x11, 0x11)}[way]
    # All components of an RGB file share their tables, so its codes stay valid in any order of blocks.
    data = saved(rgb(), "JPEG", keep_rgb=True, quality=int(rng.integers(20, 101)))
    at = next(i for i in range(len(data)) if data[i:i + 2] == b"\xff\xc0")
    out = bytearray(data)
    for i, f in enumerate(factors):
        out[at + 11 + 3 * i] = f
    out[out.find(b"Adobe") + 11] = 1
    return bytes(out)


def grey16():
    grey = scene(*size(), 1)[..., 0].astype(np.uint16)
    return saved(Image.fromarray(grey * (257 if rng.random() < 0.5 else 2)), "PNG")


def png(width, height, bits, colour, rows, clear=None):
    """A PNG of packed rows; `clear` is the colour that stands for transparency, as its chunk has it."""
    out = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    for name, body in ((b"IHDR", header), *([(b"tRNS", clear)] if clear else []), (b"IDAT", data), (b"IEND", b"")):
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return out


def png16(channels, colour, clear=False):
    pixels = scene(*size(), channels).astype(np.uint16) * 251
    if channels == 3:
        pixels += rng.integers(0, 250, pixels.shape).astype(np.uint16)
    clear = pixels[0, 0].astype(">u2").tobytes() if clear else None
    return png(pixels.shape[1], pixels.shape[0], 16, colour, [row.astype(">u2").tobytes() for row in pixels], clear)


def small_grey(bits):
    plane = scene(*size(), 1)[..., 0] >> (8 - bits)
    rows = []
    for row in plane:
        parts = np.concatenate([row, np.zeros(-len(row) % (8 // bits), np.uint8)]).reshape(-1, 8 // bits)
        rows.append(sum((parts[:, i].astype(int) << (8 - bits * (i + 1))) for i in range(8 // bits)).astype(np.uint8).tobytes())
    return png(plane.shape[1], plane.shape[0], bits, 0, rows)


def palette(**options):
    return rgb().quantize(int(rng.integers(2, 257))), options


KINDS = {
    **{f"jpeg_{name}": lambda n=n: saved(rgb(), "JPEG", subsampling=n, **jpeg_options())
       for name, n in (("444", 0), ("422", 1), ("420", 2))},
    **{f"jpeg_{way}": lambda way=way: sampled(way) for way in SAMPLINGS},
    **{f"jpeg_misread_{way}": lambda way=way: misread(way) for way in ("440", "411", "420")},
    "jpeg_grey": lambda: saved(rgb().convert("L"), "JPEG", **jpeg_options()),
    "jpeg_cmyk": lambda: saved(rgb(4, "CMYK"), "JPEG", **jpeg_options()),
    "jpeg_ycck": ycck,
    "jpeg_rgb": lambda: saved(rgb(), "JPEG", keep_rgb=True, **jpeg_options()),
    "jpeg_exif": with_exif,
    "png_1": lambda: saved(rgb().convert("1"), "PNG"),
    "png_grey2": lambda: small_grey(2),
    "png_grey4": lambda: small_grey(4),
    "png_grey": lambda: saved(rgb().convert("L"), "PNG"),
    "png_grey16": grey16,
    "png_rgb16": lambda: png16(3, 2),
    "png_rgba16": lambda: png16(4, 6),
    "png_la16": lambda: png16(2, 4),
    "png_palette": lambda: saved(rgb().quantize(int(rng.integers(2, 257))), "PNG"),
    "png_palette_clear": lambda: saved(rgb().quantize(32), "PNG", transparency=bytes(rng.integers(0, 256, 8).tolist())),
    "png_rgb_clear": lambda: (lambda i: saved(i, "PNG", transparency=i.getpixel((0, 0))))(rgb()),
    "png_grey_clear": lambda: (lambda i: saved(i, "PNG", transparency=i.getpixel((0, 0))))(rgb().convert("L")),
    "png_rgb16_clear": lambda: png16(3, 2, clear=True),
    "png_grey16_clear": lambda: png16(1, 0, clear=True),
    "png_rgba": lambda: saved(rgb(4, "RGBA"), "PNG"),
    "png_la": lambda: saved(rgb(2, "LA"), "PNG"),
    "png_rgb": lambda: saved(rgb(), "PNG"),
    "webp_lossy": lambda: saved(rgb(), "WEBP", quality=int(rng.integers(20, 101))),
    "webp_lossless": lambda: saved(rgb(), "WEBP", lossless=True),
    "webp_alpha": lambda: saved(rgb(4, "RGBA"), "WEBP", lossless=bool(rng.random() < 0.5), quality=80),
    "gif": lambda: saved(rgb().quantize(int(rng.integers(4, 257))), "GIF", **({"transparency": 3} if rng.random() < 0.3 else {})),
    "gif_grey": lambda: saved(rgb().convert("L"), "GIF"),
    **{f"bmp_{mode}": lambda mode=mode: saved(rgb().convert(mode), "BMP") for mode in ("RGB", "P", "L", "1")},
    **{f"tiff_{mode}": lambda mode=mode: saved(rgb().convert(mode), "TIFF") for mode in ("RGB", "L", "RGBA")},
}
