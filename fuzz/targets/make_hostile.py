"""Writes found/: files that mean harm, for each target. What fuzzing finds is put beside them under a name of its own.

usage: python3 fuzz/targets/make_hostile.py
"""
import pathlib, struct, zlib

out = pathlib.Path(__file__).parent / "found"


def put(target, name, data):
    (out / target).mkdir(parents=True, exist_ok=True)
    (out / target / name).write_bytes(data)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width, height, *chunks):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + b"".join(chunks) + chunk(b"IEND", b"")


zeros = zlib.compress(bytes(1 << 26), 9)
put("picture", "profile_of_64_MiB.png", png(1, 1, chunk(b"iCCP", b"a\0\0" + zeros), chunk(b"zTXt", b"a\0\0" + zeros), chunk(b"IDAT", zlib.compress(bytes(4)))))
put("picture", "side_of_60000.png", png(60_000, 60_000, chunk(b"IDAT", zlib.compress(bytes(4)))))
put("picture", "pixels_of_36_MB.png", png(6_000, 2_000, chunk(b"IDAT", zlib.compress((bytes(1 + 3 * 6_000)) * 2_000, 9))))
put("picture", "jpeg_side_of_65535.jpg", b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9")
scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
put("picture", "jpeg_of_empty_scans.jpg", b"\xff\xd8\xff\xc2\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00" + b"\xff\xdb\x00\x43\x00" + bytes([1] * 64)
    + b"\xff\xc4\x00\x14\x00" + bytes([1] + [0] * 15) + b"\0" + scan * 2_000 + b"\xff\xd9")
put("picture", "gif_larger_than_its_canvas.gif", b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;")
put("picture", "nul_bytes", bytes(4096))
# A tuple of 2,000 values, copied by each of 1,500 calls of two bytes.
put("pickle", "copies", b"\x80\x02ctorch\nSize\nq\0(" + b"N" * 2_000 + b"t\x85q\x01" + b"h\0h\x01R" * 1_500 + b".")
put("pickle", "system", b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.")
put("pickle", "deep", b"]" * 5_000 + b"a" * 4_999 + b".")
put("pickle", "string_of_16_EiB", b"\x80\x04\x8d" + b"\xff" * 8 + b".")
put("pickle", "within_itself", b"\x80\x02}q\0X\x01\0\0\0wh\0s.")
put("pdparams", "system", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.")
put("pdparams", "codec", b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0hex\x86R.")
put("safetensors", "header_of_16_EiB", b"\xff" * 8 + b"{}")
put("safetensors", "shape_overflows", (lambda h: struct.pack("<Q", len(h)) + h + bytes(8))(
    b'{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,8]}}'))
put("torch_zip", "directory_beyond_the_file", b"PK\x03\x04" + bytes(40) + b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0")
put("torch_legacy", "magic_alone", bytes([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]) + b".")
put("config", "widths_of_2_to_63", b'{"embed_dim":9223372036854775807,"vision_cfg":{"width":9223372036854775807,"head_width":1},"text_cfg":{"embed_cls":true},"multimodal_cfg":{}}')
for name, data in (("deep", b"[" * 5_000), ("deep_objects", b'[{"a":' * 5_000), ("nul_bytes", b'[{"image":"a\0b.jpg","caption":"\\u0000"}]'),
                   ("lone_surrogates", b'[{"image":"a","caption":"\\ud800 \\udc00\\ud800"}]'), ("number_without_end", b'[{"image":"a","caption":"b","image_id":' + b"9" * 20_000 + b"}]")):
    put("karpathy", name, data)
    put("jsonl", name, data)
# An open quote over a hundred thousand lines: once it was looked through for each of them.
put("table", "open_quote", b'image,caption\na.jpg,ok\nb.jpg,"' + b"\n" * 100_000)
put("table", "columns", b"image,caption\n" + b"," * 20_000 + b"\n")
put("table", "nul_bytes", b"image,caption\na\0.jpg,\0\n")
put("laion", "tabs", b"\t" * 20_000)
put("laion", "json_in_json", b'0\tu\t' + b'{"a":' * 5_000 + b"\t\t\t/9j/\n")


def member(name, size, body=b"", kind=b"0"):
    head = bytearray(512)
    head[: len(name)], head[100:107], head[136:147], head[156:157], head[257:263] = name, b"0000644", b"0" * 11, kind, b"ustar\0"
    head[124:136] = b"\x80" + size.to_bytes(11, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + body + bytes(-len(body) % 512)


put("tar", "member_of_8_EiB", member(b"a.jpg", (1 << 63) - 1) + bytes(1024))
put("tar", "member_of_2_to_88", member(b"a.jpg", (1 << 88) - 1) + bytes(1024))
put("tar", "name_of_1_GiB", member(b"././@LongLink", 1 << 30, kind=b"L") + bytes(1024))
put("tar", "pax_without_end", member(b"x", 8, b"99999999", kind=b"x") + member(b"a.txt", 0) + bytes(1024))
put("tar", "escapes", member(b"../../a.jpg", 4, b"\xff\xd8\xff\xd9") + member(b"../../a.txt", 1, b"x") + bytes(1024))
