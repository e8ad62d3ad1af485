#!/usr/bin/env python3
"""Data sets as pyarrow, webdataset and Pillow write them, for tests/io/{parquet,tar,dataset_shards,webp}_test.cpp and tests/cli/data_sets:
fills data/ beside this file, and images/*.webp with Pillow's pixels as PNG beside each. What the tables hold is in the tests, by formula."""
import io
import json
import os
import pathlib
import shutil
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset as wds
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "data"
ROWS = 18


def table():
    n = range(ROWS)
    columns = {
        "caption": pa.array([None if i % 7 == 3 else f"caption {i % 5} é" for i in n], pa.string()),
        "key": pa.array([f"{i:03}" for i in n], pa.string()),
        "i32": pa.array([None if i % 4 == 1 else i - 12 for i in n], pa.int32()),
        "i64": pa.array([i * 10**12 for i in n], pa.int64()),
        "f32": pa.array([i / 4 for i in n], pa.float32()),
        "f64": pa.array([None if i == 17 else i * 0.1 for i in n], pa.float64()),
        "flag": pa.array([None if i % 5 == 2 else i % 3 == 0 for i in n], pa.bool_()),
        "image": pa.array([None if i % 6 == 5 else {"bytes": bytes([i]) * i, "path": None if i % 2 else f"{i}.jpg"} for i in n],
                          pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "nothing": pa.array([None] * ROWS, pa.bool_()),
        "list": pa.array([[i, i + 1] for i in n], pa.list_(pa.int32())),
    }
    schema = pa.schema([pa.field(k, v.type, nullable=k not in ("key", "i64", "f32")) for k, v in columns.items()])
    return pa.table(columns, schema=schema)


def picture(i, side=16):
    y, x = np.mgrid[:side, :side]
    return Image.fromarray(np.stack([(x * 15 + i * 40) % 256, (y * 15 + i * 70) % 256, (x + y) * 8 % 256], -1).astype(np.uint8))


def jpg(i):
    out = io.BytesIO()
    picture(i, 8).save(out, "JPEG", quality=20, optimize=True, comment=f"picture {i}.")
    return out.getvalue()


def png(i):
    out = io.BytesIO()
    picture(i, 8).save(out, "PNG")
    return out.getvalue()


def tables():
    t = table()
    for codec in ("none", "snappy", "gzip", "zstd"):
        for dictionary in (False, True):
            for version in ("1.0", "2.0"):
                name = f"{codec}_{'dictionary' if dictionary else 'plain'}_v{version[0]}.parquet"
                pq.write_table(t, OUT / name, compression=codec, use_dictionary=dictionary, data_page_version=version, row_group_size=10, write_batch_size=4,
                               data_page_size=24, write_statistics=False, store_schema=False)
    pq.write_table(t.select(["caption", "key"]), OUT / "checksums.parquet", write_page_checksum=True, row_group_size=10)  # all else by default
    small = t.select(["caption"])
    pq.write_table(small, OUT / "delta.parquet", use_dictionary=False, column_encoding={"caption": "DELTA_BYTE_ARRAY"}, store_schema=False)
    pq.write_table(small, OUT / "lz4.parquet", compression="lz4", store_schema=False)


# Pick-a-Pic's columns. Labels by row: left wins, right wins, tie, ...
def pickapic(first, rows, name):
    n = range(first, first + rows)
    labels = [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)]
    columns = {
        "are_different": pa.array([i % 3 != 2 for i in n]),
        "best_image_uid": pa.array([f"uid-{i}" for i in n]),
        "caption": pa.array([f"prompt {i}" for i in n]),
        "created_at": pa.array([1_670_000_000_000_000_000 + i for i in n], pa.timestamp("ns")),
        "has_label": pa.array([i != 6 for i in n]),
        "image_0_uid": pa.array([f"left-{i}" for i in n]),
        "jpg_0": pa.array([jpg(2 * i) for i in n], pa.binary()),
        "jpg_1": pa.array([jpg(2 * i + 1) for i in n], pa.binary()),
        "label_0": pa.array([labels[i % 3][0] for i in n]),
        "label_1": pa.array([labels[i % 3][1] for i in n]),
        "model_0": pa.array(["dreamlike-art/dreamlike-photoreal-2.0"] * rows),
        "ranking_id": pa.array(list(n), pa.int64()),
    }
    pq.write_table(pa.table(columns), OUT / "pickapic" / name, row_group_size=3, write_batch_size=1, data_page_size=1, write_statistics=False, store_schema=False)


def parquet_sets():
    (OUT / "pickapic").mkdir()
    pickapic(0, 8, "train-00000-of-00002-b66ac786bf6fb553.parquet")
    pickapic(8, 4, "train-00001-of-00002-0cc3a1f28b1a9b38.parquet")
    images = pa.array([{"bytes": png(i), "path": f"{i}.png"} for i in range(4)], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": images, "text": pa.array([f"picture {i}" for i in range(4)])}), OUT / "images.parquet")  # as datasets.push_to_hub


# One thing wrong with each.
def bad_tables():
    (OUT / "bad").mkdir()
    good = {"caption": pa.array(["a", "b"]), "jpg_0": pa.array([png(0), png(1)], pa.binary()), "jpg_1": pa.array([png(2), png(3)], pa.binary()),
            "label_0": pa.array([1.0, 0.0]), "label_1": pa.array([0.0, 1.0])}
    def write(name, without="", **columns):
        kept = {k: v for k, v in {**good, **columns}.items() if k != without}
        pq.write_table(pa.table(kept), OUT / "bad" / f"{name}.parquet", compression="none", use_dictionary=False, write_statistics=False, store_schema=False)
    write("no_label", without="label_1")
    write("no_caption", without="caption")
    write("number_caption", caption=pa.array([1, 2]))
    write("text_label", label_0=pa.array(["1", "0"]))
    write("list_picture", jpg_1=pa.array([[png(2)], [png(3)]], pa.list_(pa.binary())))
    write("odd_label", label_1=pa.array([0.25, 1.0]))
    write("null_label", label_0=pa.array([1.0, None]))
    write("null_caption", caption=pa.array([None, "b"]))
    write("latin_caption", caption=pa.array([b"caf\xe9", b"b"], pa.binary()))
    write("null_picture", jpg_0=pa.array([png(0), None], pa.binary()))
    write("torn_picture", jpg_1=pa.array([png(2), png(3)[:60]], pa.binary()))
    write("ties", label_0=pa.array([0.5, 0.5]), label_1=pa.array([0.5, 0.5]))
    write("empty", **{k: v[:0] for k, v in good.items()})


def tars():
    (OUT / "shards").mkdir()
    with wds.ShardWriter(str(OUT / "shards" / "shard-%06d.tar"), maxcount=3, verbose=0, mtime=1.7e9 + 0.5) as sink:
        for i in range(4):
            sink.write({"__key__": f"photos/{i:05}", "jpg": jpg(i), "txt": f"photo {i}\n", "json": {"style": "noto", "n": i}})
    with wds.TarWriter(str(OUT / "pairs.tar"), mtime=0) as sink:
        for i, (a, b) in enumerate([("1", "0"), ("0", "1"), ("0.5", "0.5")]):
            sink.write({"__key__": f"{i:05}", "jpg_0": jpg(2 * i), "jpg_1": jpg(2 * i + 1), "label_0": a.encode(), "label_1": b.encode(), "txt": f"pair {i}"})
    for name, form in (("pax.tar", tarfile.PAX_FORMAT), ("gnu.tar", tarfile.GNU_FORMAT)):
        with tarfile.open(OUT / name, "w", format=form) as tar:
            def add(path, content=b"", kind=tarfile.REGTYPE, target=""):
                info = tarfile.TarInfo(path)
                info.type, info.size, info.linkname = kind, len(content), target
                tar.addfile(info, io.BytesIO(content))
            add("./a/cat.png", png(0))
            add("./a/cat.txt", b"a cat")
            add("a/" + "long" * 60 + ".png", png(1))
            add("a/" + "long" * 60 + ".json", json.dumps({"caption": "a long name", "url": "x"}).encode())
            add("a", kind=tarfile.DIRTYPE)
            add("link.png", kind=tarfile.SYMTYPE, target="/etc/passwd")
            add("hard.png", kind=tarfile.LNKTYPE, target="../x")
            add("null", kind=tarfile.CHRTYPE)
            add("pipe", kind=tarfile.FIFOTYPE)


def webps():
    images = HERE / "images"
    photo = Image.open(images / "444.jpg.png").convert("RGB")
    alpha = Image.fromarray(np.add.outer(np.arange(photo.height) * 7, np.arange(photo.width) * 3).astype(np.uint8))
    clear = photo.copy()
    clear.putalpha(alpha)
    turned = Image.Exif()
    turned[0x0112] = 6
    def save(name, image, **options):
        image.save(images / name, **options)
        ImageOps.exif_transpose(Image.open(images / name)).convert("RGB").save(images / (name + ".png"), optimize=True)
    save("lossy.webp", photo, quality=80)
    save("lossless.webp", photo, lossless=True)
    save("lossy_alpha.webp", clear, quality=80)
    save("lossless_alpha.webp", clear, lossless=True, exact=True)
    save("turned.webp", photo, quality=80, exif=turned)
    photo.save(images / "animated.webp", save_all=True, append_images=[ImageOps.mirror(photo)], quality=30)


def main():
    os.environ["TZ"] = "UTC"
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    tables()
    parquet_sets()
    bad_tables()
    tars()
    webps()
    files = [f for f in OUT.rglob("*") if f.is_file()] + list((HERE / "images").glob("*.webp*"))
    for file in sorted(files):
        print(f"{file.relative_to(HERE)}: {file.stat().st_size} bytes")
    print(sum(f.stat().st_size for f in files), "bytes")


if __name__ == "__main__":
    main()
