"""Draws hundreds of pictures of every kind, and compares what the model is shown with open_clip's transform on Pillow.

usage: python tools/peer/pixels.py PEER_EXAMPLE [SEED]

Run with a Python that has open_clip_torch 3.3.0 and Pillow. PEER_EXAMPLE is target/release/examples/peer. Exit status
1 when a channel of a pixel differs by more than 1, or one side reads what the other refuses.
"""
import io
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import open_clip
from PIL import Image

program, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
rng = np.random.default_rng(seed)
folder = pathlib.Path(tempfile.mkdtemp(prefix="pixels-"))
steps = open_clip.image_transform(224, is_train=False).transforms[:3]
LIMIT = {"webp_lossy": 1}


def scene(width, height, channels=3):
    """Waves, blobs, hard edges and noise."""
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for _ in range(channels):
        a, b, c = rng.uniform(2, 40, 3)
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


def app14(transform):
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


def resampled(data, factors):
    """A 4:4:4 file's header told other sampling factors is another picture: the decoder must follow libjpeg."""
    at = next(i for i in range(len(data)) if data[i:i + 2] in (b"\xff\xc0", b"\xff\xc2"))
    out = bytearray(data)
    for i, f in enumerate(factors):
        out[at + 11 + 3 * i] = f
    adobe = out.find(b"Adobe")
    out[adobe + 11] = 1
    return bytes(out)


def draw(kind):
    w, h = size()
    b = io.BytesIO()
    rgb = Image.fromarray(scene(w, h))
    quality = int(rng.integers(20, 101))
    if kind.startswith("jpeg"):
        k = {"quality": quality, "progressive": bool(rng.random() < 0.4), "optimize": bool(rng.random() < 0.3)}
        if rng.random() < 0.4:
            k["restart_marker_blocks"] = int(rng.integers(1, 9))
        if kind == "jpeg_grey":
            rgb.convert("L").save(b, "JPEG", **k)
        elif kind == "jpeg_cmyk":
            cmyk = Image.fromarray(scene(w, h, 4), "CMYK")
            cmyk.save(b, "JPEG", **k)
        elif kind == "jpeg_ycck":
            Image.fromarray(scene(w, h, 4), "CMYK").save(b, "JPEG", **k)
            data = b.getvalue()
            at = data.find(b"Adobe")
            if at >= 0:
                data = data[:at + 11] + b"\x02" + data[at + 12:]
            return data
        elif kind == "jpeg_rgb":
            rgb.save(b, "JPEG", keep_rgb=True, **k)
        elif kind == "jpeg_exif":
            exif = Image.Exif()
            exif[0x112] = int(rng.integers(1, 9))
            rgb.save(b, "JPEG", exif=exif, **k)
        else:
            rgb.save(b, "JPEG", subsampling={"444": 0, "422": 1, "420": 2, "440": "4:4:0", "411": "4:1:1"}.get(
                kind[5:], 2), **k) if kind[5:] in ("444", "422", "420") else odd(rgb, b, kind[5:], k)
        return b.getvalue()
    if kind == "png_1":
        rgb.convert("1").save(b, "PNG")
    elif kind in ("png_grey2", "png_grey4"):
        return small_grey(scene(w, h, 1)[..., 0], int(kind[-1]))
    elif kind == "png_grey":
        rgb.convert("L").save(b, "PNG")
    elif kind == "png_grey16":
        g = scene(w, h, 1)[..., 0].astype(np.uint16)
        Image.fromarray(g * (257 if rng.random() < 0.5 else 2)).save(b, "PNG")
    elif kind == "png_rgb16":
        return raw_png(scene(w, h).astype(np.uint16) * 251 + rng.integers(0, 250, (h, w, 3)).astype(np.uint16), 2, 16)
    elif kind == "png_rgba16":
        return raw_png(scene(w, h, 4).astype(np.uint16) * 251, 6, 16)
    elif kind == "png_la16":
        return raw_png(scene(w, h, 2).astype(np.uint16) * 251, 4, 16)
    elif kind == "png_palette":
        rgb.quantize(int(rng.integers(2, 257))).save(b, "PNG")
    elif kind == "png_palette_clear":
        rgb.quantize(32).save(b, "PNG", transparency=bytes(rng.integers(0, 256, 8).tolist()))
    elif kind == "png_rgb_clear":
        rgb.save(b, "PNG", transparency=tuple(int(v) for v in scene(w, h)[0, 0]))
    elif kind == "png_rgba":
        Image.fromarray(scene(w, h, 4), "RGBA").save(b, "PNG")
    elif kind == "png_la":
        Image.fromarray(scene(w, h, 2), "LA").save(b, "PNG")
    elif kind == "png_rgb":
        rgb.save(b, "PNG")
    elif kind == "webp_lossy":
        rgb.save(b, "WEBP", quality=quality)
    elif kind == "webp_lossless":
        rgb.save(b, "WEBP", lossless=True)
    elif kind == "webp_alpha":
        Image.fromarray(scene(w, h, 4), "RGBA").save(b, "WEBP", lossless=bool(rng.random() < 0.5), quality=quality)
    elif kind == "gif":
        rgb.quantize(int(rng.integers(2, 257))).save(b, "GIF", **({"transparency": 3} if rng.random() < 0.3 else {}))
    elif kind == "gif_grey":
        rgb.convert("L").save(b, "GIF")
    elif kind.startswith("bmp"):
        rgb.convert({"bmp": "RGB", "bmp_palette": "P", "bmp_grey": "L", "bmp_1": "1"}[kind]).save(b, "BMP")
    elif kind.startswith("tiff"):
        rgb.convert({"tiff": "RGB", "tiff_grey": "L", "tiff_rgba": "RGBA"}[kind]).save(b, "TIFF")
    return b.getvalue()


def odd(image, b, way, k):
    """Samplings that Pillow doesn't write: the header of a smaller 4:4:4 file is told them."""
    factors = {"440": (0x12, 0x11, 0x11), "411": (0x41, 0x11, 0x11), "410": (0x42, 0x11, 0x11), "311": (0x31, 0x11, 0x11),
               "chroma": (0x11, 0x21, 0x12)}[way]
    # All components of an RGB file share their tables, so its codes stay valid in any order of blocks.
    k = {**k, "restart_marker_blocks": 0, "progressive": False, "optimize": False}
    # Little contrast: means that drift from block to block must not leave the range.
    image = Image.blend(Image.new("RGB", image.size, (128, 128, 128)), image, 0.12)
    image.save(b, "JPEG", keep_rgb=True, **k)
    data = resampled(b.getvalue(), factors)
    b.seek(0)
    b.truncate()
    b.write(data)


def raw_png(numbers, colour, bits):
    import struct
    import zlib
    h, w = numbers.shape[:2]
    rows = b"".join(b"\0" + numbers[y].astype(">u2" if bits == 16 else "u1").tobytes() for y in range(h))
    return png(struct.pack(">IIBBBBB", w, h, bits, colour, 0, 0, 0), zlib.compress(rows))


def small_grey(plane, bits):
    import struct
    import zlib
    h, w = plane.shape
    rows = []
    for y in range(h):
        v = plane[y] >> (8 - bits)
        v = np.concatenate([v, np.zeros(-w % (8 // bits), np.uint8)]).reshape(-1, 8 // bits)
        packed = np.zeros(len(v), np.uint8)
        for i in range(8 // bits):
            packed |= (v[:, i] << (8 - bits * (i + 1))).astype(np.uint8)
        rows.append(b"\0" + packed.tobytes())
    return png(struct.pack(">IIBBBBB", w, h, bits, 0, 0, 0, 0), zlib.compress(b"".join(rows)))


def png(header, data):
    import struct
    import zlib
    out = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return out


KINDS = ("jpeg_444 jpeg_422 jpeg_420 jpeg_440 jpeg_411 jpeg_410 jpeg_311 jpeg_chroma jpeg_grey jpeg_cmyk jpeg_ycck "
         "jpeg_rgb jpeg_exif png_1 png_grey2 png_grey4 png_grey png_grey16 png_rgb16 png_rgba16 png_la16 png_palette "
         "png_palette_clear png_rgb_clear png_rgba png_la png_rgb webp_lossy webp_lossless webp_alpha gif gif_grey bmp "
         "bmp_palette bmp_grey bmp_1 tiff tiff_grey tiff_rgba").split()


def main():
    files = []
    for kind in KINDS:
        for i in range(24 if kind.startswith("jpeg") else 10):
            path = folder / f"{kind}.{i}"
            path.write_bytes(draw(kind))
            files.append(path)
    told = subprocess.run([program, "pixels", *map(str, files)], stdout=subprocess.PIPE, check=True, text=True)
    worst, bad = {}, 0
    for path, line in zip(files, told.stdout.splitlines(), strict=True):
        ours, kind = json.loads(line), path.name.split(".")[0]
        try:
            image = Image.open(path)
            for step in steps:
                image = step(image)
            theirs = np.asarray(image).astype(int)
        except Exception as error:
            theirs = str(error)
        if isinstance(theirs, str) or "error" in ours:
            if isinstance(theirs, str) != ("error" in ours):
                bad += 1
                print(f"{path}: here {ours.get('error', 'read')!r}, there {theirs if isinstance(theirs, str) else 'read'!r}")
            continue
        mine = np.frombuffer(bytes.fromhex(ours["pixels"]), np.uint8).reshape(224, 224, 3).astype(int)
        most = int(np.abs(mine - theirs).max())
        worst[kind] = max(worst.get(kind, 0), most)
        if most > LIMIT.get(kind, 1):
            bad += 1
            print(f"{path}: differs by {most}")
    print(json.dumps({"pictures": len(files), "worst": worst, "bad": bad}))
    sys.exit(bad > 0)


main()
