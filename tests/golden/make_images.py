#!/usr/bin/env python3
"""Pictures and what Pillow makes of them: writes images/ and resize.txt beside this file.

images/*.png        every kind of PNG there is, written here by hand; images.txt has the CRC of Pillow's RGB bytes, alpha.txt of
                    the alpha channel of what has one.
images/*.jpg        by Pillow; beside each, NAME.jpg.png is Pillow's decoding, upright.
resize.txt          WIDTH HEIGHT NEW_WIDTH NEW_HEIGHT FILTER CRC: Pillow's resize of the picture that `noise` draws.
"""
import io
import pathlib
import random
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
OUT = HERE / "images"
OUT.mkdir(exist_ok=True)
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def noise(w, h):
    """A gradient with noise: a state of 32 bits, s = 1664525 s + 1013904223, its upper 8 bits over 4."""
    n = w * h * 3
    s, out = w * 65537 + h, np.empty(n, np.int64)
    for i in range(n):
        s = (1664525 * s + 1013904223) & 0xFFFFFFFF
        out[i] = s >> 26
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    return ((out.reshape(h, w, 3) + x * 5 + y * 3 + c * 80 + (x // 3 + y // 4) % 2 * 70) % 256).astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def rows(samples, depth, channels, first_filter):
    out, above = b"", None
    step = max(1, channels * depth // 8)
    for y, row in enumerate(samples):  # [w * channels]
        if depth == 16:
            line = b"".join(struct.pack(">H", v) for v in row)
        else:
            bits = "".join(format(v, f"0{depth}b") for v in row)
            bits += "0" * (-len(bits) % 8)
            line = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
        above = above or bytes(len(line))
        kind = (first_filter + y) % 5
        filtered = bytearray()
        for i, v in enumerate(line):
            a, c = (line[i - step], above[i - step]) if i >= step else (0, 0)
            filtered.append((v - [0, a, above[i], (a + above[i]) // 2, paeth(a, above[i], c)][kind]) % 256)
        out += bytes([kind]) + filtered
        above = line
    return out


def png(colour, depth, interlaced, w, h, extra=b"", pieces=1):
    r = random.Random(colour * 100 + depth * 2 + interlaced)
    n = CHANNELS[colour]
    palette = b""
    top = 2 ** depth
    if colour == 3:
        palette = chunk(b"PLTE", bytes(r.randrange(256) for _ in range(3 * top)))
    pixels = [[[r.randrange(top) for _ in range(n)] for _ in range(w)] for _ in range(h)]
    raw = b""
    for i, (x0, y0, dx, dy) in enumerate(ADAM7 if interlaced else [(0, 0, 1, 1)]):
        part = [[v for p in row[x0::dx] for v in p] for row in pixels[y0::dy]]
        if part and part[0]:
            raw += rows(part, depth, n, i)
    packed = zlib.compress(raw)
    cut = [len(packed) * i // pieces for i in range(pieces + 1)]
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, interlaced)) + palette + extra
            + b"".join(chunk(b"IDAT", packed[a:b]) for a, b in zip(cut, cut[1:])) + chunk(b"IEND", b""))


lines = []


def golden(name, data, upper_byte=False):
    (OUT / name).write_bytes(data)
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if upper_byte:  # Pillow clips 16-bit grey to 255; sspo keeps the upper byte
        grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        image = Image.fromarray(grey)
    image = image.convert("RGB")
    lines.append(f"{name} {image.width} {image.height} {zlib.crc32(image.tobytes()):08x}")


for colour, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items():
    for depth in depths:
        for interlaced in (0, 1):
            w, h = (13, 9) if interlaced else (11, 7)
            golden(f"c{colour}_{depth}{'i' if interlaced else ''}.png", png(colour, depth, interlaced, w, h), colour == 0 and depth == 16)
golden("one_pixel.png", png(2, 8, 0, 1, 1))
golden("one_pixel_i.png", png(2, 8, 1, 1, 1))
golden("pieces.png", png(2, 8, 0, 9, 9, pieces=7))
golden("transparent_palette.png", png(3, 2, 0, 8, 8, chunk(b"tRNS", b"\0\x80\xff")))
first = random.Random(16).randrange(256)  # of the pixels that png() draws
golden("transparent_grey.png", png(0, 8, 0, 8, 8, chunk(b"tRNS", bytes([0, first]))))
golden("transparent_colour.png", png(2, 8, 0, 8, 8, chunk(b"tRNS", b"\0\1\0\2\0\3")))
EXIF = {o: b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1" + struct.pack(">H", o) + b"\0\0\0\0\0\0" for o in range(1, 9)}
golden("turned.png", png(2, 8, 0, 5, 3, chunk(b"eXIf", EXIF[6])))
golden("texts.png", png(0, 8, 0, 4, 4, chunk(b"tEXt", b"parameters\0a caf\xe9\nSteps: 20") + chunk(b"zTXt", b"packed\0\0" + zlib.compress(b"x" * 500))
       + chunk(b"iTXt", b"unicode\0\0\0de\0\0" + "日本 🎨".encode()) + chunk(b"iTXt", b"both\0\1\0\0\0" + zlib.compress("é".encode() * 9))))
(HERE / "images.txt").write_text("\n".join(lines) + "\n")

alphas = []
for name in ["c2_8.png", "c3_4.png", "c4_8.png", "c4_8i.png", "c6_8.png", "c6_8i.png", "c6_16.png", "c6_16i.png", "transparent_palette.png",
             "transparent_colour.png", "transparent_grey.png"]:
    alphas.append(f"{name} {zlib.crc32(Image.open(OUT / name).convert('RGBA').getchannel('A').tobytes()):08x}")
(HERE / "alpha.txt").write_text("\n".join(alphas) + "\n")

photo = Image.fromarray(noise(43, 29)).resize((37, 27), Image.BICUBIC)


def jpeg(name, image, **options):
    image.save(OUT / name, **options)
    ImageOps.exif_transpose(Image.open(OUT / name)).convert("RGB").save(OUT / (name + ".png"), optimize=True)


jpeg("444.jpg", photo, quality=90, subsampling=0)
jpeg("422.jpg", photo, quality=90, subsampling=1)
jpeg("420.jpg", photo, quality=90, subsampling=2)
jpeg("progressive.jpg", photo, quality=90, subsampling=2, progressive=True)
jpeg("restart.jpg", photo, quality=90, subsampling=2, restart_marker_blocks=2)
jpeg("grey.jpg", photo.convert("L"), quality=90)
jpeg("cmyk.jpg", photo.convert("CMYK"), quality=95)
for o in range(1, 9):
    e = Image.Exif()
    e[0x0112] = o
    jpeg(f"turned{o}.jpg", photo.crop((0, 0, 16, 9)), quality=90, subsampling=0, exif=e)

FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
SIZES = [(1, 1), (2, 3), (7, 5), (64, 48), (61, 97), (100, 3), (3, 100), (120, 80)]
TARGETS = [(1, 1), (2, 2), (5, 9), (32, 32), (64, 48), (53, 47), (160, 7), (7, 160), (121, 81)]
out = []
for w, h in SIZES:
    image = Image.fromarray(noise(w, h))
    for W, H in TARGETS:
        for name, f in FILTERS.items():
            out.append(f"{w} {h} {W} {H} {name} {zlib.crc32(image.resize((W, H), f).tobytes()):08x}")
for w, h, W, H in [(500, 375, 224, 224), (640, 360, 512, 288), (33, 400, 299, 299), (512, 512, 64, 64), (299, 299, 512, 512), (400, 300, 399, 301)]:
    image = Image.fromarray(noise(w, h))
    for name, f in FILTERS.items():
        out.append(f"{w} {h} {W} {H} {name} {zlib.crc32(image.resize((W, H), f).tobytes()):08x}")
(HERE / "resize.txt").write_text("\n".join(out) + "\n")
