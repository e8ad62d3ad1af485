"""Writes events.txt: TensorBoard's own bytes for a few events, as hexadecimal. Needs tensorboard (2.21 was used).

    python tests/golden/make_events.py tests/golden/events.txt
"""
import sys

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter


class Bytes:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data

    def flush(self):
        pass


def record(event):
    out = Bytes()
    RecordWriter(out).write(event.SerializeToString(deterministic=True))
    return out.data.hex()


def scalars(wall_time, step, values):
    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=t, simple_value=v) for t, v in values])
    return event_pb2.Event(wall_time=wall_time, step=step, summary=summary)


with open(sys.argv[1], "w") as out:
    print("crc", *(f"{masked_crc32c(t):08x}" for t in (b"", b"a", b"123456789", bytes(range(256)))), file=out)
    print("scalars", record(scalars(1.5, 7, [("loss", 0.25), ("a_tw", -1e-30)])), file=out)
    print("long", record(scalars(1764000000.125, 1234567890123, [("x" * 200, 3.0)])), file=out)
