"""Checkpoints in formats that the package only reads, written from their specifications and without any of its code."""

import io
import pickle
import struct
import zipfile

import numpy as np

# Pickles: https://docs.python.org/3/library/pickletools.html


class Name(str):
    """``module name`` of something that the pickle asks for."""


class Call(tuple):
    """(Name, arguments): the pickle calls it."""


class Reference(tuple):
    """Arguments of a reference to something outside the pickle."""


class Object(tuple):
    """(Name, attributes): an object of a class, as of argparse.Namespace."""


def pickled(x):
    """Protocol 2, as torch.save uses it."""
    return b"\x80\x02" + _pickled(x) + b"."


def _pickled(x):
    if isinstance(x, Name):
        return b"c" + x.replace(" ", "\n").encode() + b"\n"
    if isinstance(x, Call):
        return _pickled(x[0]) + _pickled(tuple(x[1])) + b"R"
    if isinstance(x, Object):
        return _pickled(x[0]) + b")\x81" + _pickled(x[1]) + b"b"
    if isinstance(x, Reference):
        return _pickled(tuple(x)) + b"Q"
    if x is None or isinstance(x, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[x]
    if isinstance(x, int):
        digits = x.to_bytes(x.bit_length() // 8 + 1, "little", signed=True)
        return b"J" + struct.pack("<i", x) if -2**31 <= x < 2**31 else b"\x8a" + bytes([len(digits)]) + digits
    if isinstance(x, str):
        return b"X" + struct.pack("<I", len(x.encode())) + x.encode()
    if isinstance(x, dict):
        return b"}(" + b"".join(_pickled(key) + _pickled(value) for key, value in x.items()) + b"u"
    if isinstance(x, (tuple, list)):
        inside = b"".join(map(_pickled, x))
        return b"(" + inside + b"t" if isinstance(x, tuple) else b"](" + inside + b"e"
    raise TypeError(type(x))


STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "u2": "BFloat16Storage"}


def tensor(key, x, count=None, offset=0, shape=None, strides=None, view=()):
    """What torch.save writes for a tensor on the storage ``key``."""
    shape = x.shape if shape is None else shape
    strides = tuple(s // x.itemsize for s in np.empty(shape, x.dtype).strides) if strides is None else strides
    storage = Reference(("storage", Name(f"torch {STORAGES[x.dtype.str[1:]]}"), key, "cpu", x.size if count is None else count,
                         *view))
    return Call((Name("torch._utils _rebuild_tensor_v2"),
                 (storage, offset, shape, strides, False, Call((Name("collections OrderedDict"), ())))))


def torch_zip(path, arrays, content=None, storages=None, prefix="archive"):
    """The format since 1.6."""
    content = {name: tensor(str(i), x) for i, (name, x) in enumerate(arrays.items())} if content is None else content
    storages = {str(i): x for i, x in enumerate(arrays.values())} if storages is None else storages
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{prefix}/data.pkl", content if isinstance(content, bytes) else pickled(content))
        archive.writestr(f"{prefix}/byteorder", "little")
        for key, x in storages.items():
            archive.writestr(f"{prefix}/data/{key}", x.tobytes())
        archive.writestr(f"{prefix}/version", "3\n")


def torch_legacy(path, arrays, content=None, storages=None):
    """The format before 1.6."""
    if content is None:
        content = {name: tensor(str(i), x, view=(None,)) for i, (name, x) in enumerate(arrays.items())}
    storages = {str(i): x for i, x in enumerate(arrays.values())} if storages is None else storages
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with open(path, "wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, system, content, list(storages)):
            file.write(part if isinstance(part, bytes) else pickled(part))
        for x in storages.values():
            file.write(struct.pack("<q", x.size) + x.tobytes())


# TensorFlow's tensor bundle: LevelDB's doc/table_format.md, tensor_bundle.proto, RFC 3720

TYPES = {"f4": 1, "f8": 2, "i4": 3, "i8": 9, "f2": 19, "u2": 14}


def crc32c(data):
    """Bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def mask(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def field(number, value):
    """A field of a Protocol Buffers message: bytes as kind 2, numbers as kind 0; zero is left out."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value) if value else b""


def block(entries, restart=16):
    """Keys with their common beginnings left out, but for every ``restart``-th."""
    out, restarts, last = bytearray(), [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % restart == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(last), len(key)) and last[shared] == key[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    return bytes(out) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def snappy(data):
    """Compressed a little: literals of up to 60 bytes, and copies of 8 bytes that came less than 64 kB before."""
    out, at, literal = bytearray(varint(len(data))), 0, bytearray()

    def flush():
        for start in range(0, len(literal), 60):
            part = literal[start:start + 60]
            out.extend(bytes([len(part) - 1 << 2]) + part)
        literal.clear()

    while at < len(data):
        where = data.rfind(data[at:at + 8], max(0, at - 65535), at + 7) if len(data) - at >= 8 else -1
        if where >= 0:
            flush()
            out += bytes([7 << 2 | 2]) + struct.pack("<H", at - where)
            at += 8
        else:
            literal.append(data[at])
            at += 1
    flush()
    return bytes(out)


def table(entries, per_block=5, compress=False):
    """Blocks of ``per_block`` entries, an empty metaindex, the index and the footer."""
    out, index = bytearray(), []

    def add(contents):
        handle = varint(len(out))
        kind = b"\1" if compress else b"\0"
        contents = snappy(contents) if compress else contents
        handle += varint(len(contents))
        out.extend(contents + kind + struct.pack("<I", mask(crc32c(contents + kind))))
        return handle

    for start in range(0, len(entries), per_block):
        part = entries[start:start + per_block]
        index.append((part[-1][0], add(block(part))))
    footer = add(block([])) + add(block(index, 1))
    return bytes(out) + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def tensorflow(prefix, arrays, shards=1, compress=False, header=b"", spoil=lambda name, message: message):
    """``prefix``.index and its data files. uint16 arrays are taken for bfloat16."""
    files = [bytearray() for _ in range(shards)]
    entries = [(b"", field(1, shards) + field(3, field(1, 1)) + header)]
    for i, (name, x) in enumerate(sorted(arrays.items())):
        raw, shard = np.ascontiguousarray(x).tobytes(), i % shards
        shape = b"".join(field(2, field(1, n)) for n in x.shape)
        message = (field(1, TYPES[x.dtype.str[1:]]) + field(2, shape) + field(3, shard) + field(4, len(files[shard]))
                   + field(5, len(raw)) + varint(6 << 3 | 5) + struct.pack("<I", mask(crc32c(raw))))
        files[shard] += raw
        entries.append((name.encode(), spoil(name, message)))
    prefix.with_name(prefix.name + ".index").write_bytes(table(entries, compress=compress))
    for i, data in enumerate(files):
        prefix.with_name(f"{prefix.name}.data-{i:05}-of-{shards:05}").write_bytes(bytes(data))


def npz(path, arrays):
    """As numpy.savez writes it."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path.write_bytes(buffer.getvalue())


# ONNX: onnx.proto


ONNX_TYPES = {"f4": 1, "u1": 2, "i1": 3, "i4": 6, "i8": 7, "f2": 10, "f8": 11, "u2": 16}


def onnx_array(name, x, numbers=None):
    """uint16 is taken for bfloat16. ``numbers``: fields that say otherwise than usual where the numbers are."""
    x = np.asarray(x)
    return (b"".join(varint(1 << 3) + varint(n) for n in x.shape) + field(2, ONNX_TYPES[x.dtype.str[1:]])
            + field(8, name.encode()) + (field(9, x.tobytes()) if numbers is None else numbers))


def onnx_node(op, inputs, outputs, attributes):
    """``attributes``: a whole number or a list of them by name, or for a constant the message of its array."""
    def attribute(name, value):
        values = value if isinstance(value, list) else [value]
        return field(1, name.encode()) + (field(5, value) if isinstance(value, bytes) else b"".join(
            varint((8 if isinstance(value, list) else 3) << 3) + varint(n % 2**64) for n in values))

    return (b"".join(field(1, name.encode()) for name in inputs) + b"".join(field(2, name.encode()) for name in outputs)
            + field(4, op.encode()) + b"".join(field(5, attribute(*item)) for item in attributes.items()))


def onnx(path, arrays, nodes=(), others=b""):
    """``arrays`` by name, or messages; ``nodes``: arguments of onnx_node."""
    graph = b"".join(field(1, onnx_node(*node)) for node in nodes)
    graph += b"".join(field(5, x if isinstance(x, bytes) else onnx_array(name, x)) for name, x in arrays.items())
    path.write_bytes(field(1, 8) + field(7, graph + others) + field(8, field(2, 17)))


# GGUF: ggml's docs/gguf.md

GGUF_TYPES = {"f4": 0, "f2": 1, "u2": 30}
GGUF_VALUES = {bool: (7, "<?"), int: (4, "<I"), float: (6, "<f")}


def gguf_text(x):
    return struct.pack("<Q", len(x.encode())) + x.encode()


def gguf_value(x):
    """A number, a text or a list of texts or numbers."""
    if isinstance(x, str):
        return struct.pack("<I", 8) + gguf_text(x)
    if isinstance(x, list):
        kind = 8 if x and isinstance(x[0], str) else 5
        return struct.pack("<IIQ", 9, kind, len(x)) + b"".join(gguf_text(y) if kind == 8 else struct.pack("<i", y) for y in x)
    kind, code = GGUF_VALUES[type(x)]
    return struct.pack("<I", kind) + struct.pack(code, x)


def gguf(path, arrays, values=None, version=3, alignment=32, spoil=lambda name, message: message):
    """``arrays``: by llama.cpp's names; uint16 is taken for bfloat16, and (shape, bytes) for Q8_0."""
    values = {"general.architecture": "bert"} | (values or {})
    out = b"GGUF" + struct.pack("<IQQ", version, len(arrays), len(values))
    out += b"".join(gguf_text(key) + gguf_value(x) for key, x in values.items())
    numbers = b""
    for name, x in arrays.items():
        shape, kind, raw = (*x[:1], 8, x[1]) if isinstance(x, tuple) else (x.shape, GGUF_TYPES[x.dtype.str[1:]], x.tobytes())
        out += spoil(name, gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, len(numbers)))
        numbers += raw + bytes(-len(raw) % alignment)
    path.write_bytes(out + bytes(-len(out) % alignment) + numbers)
# MessagePack, and Flax's extension for arrays: https://github.com/msgpack/msgpack/blob/master/spec.md, flax/serialization.py


def msgpack(x):
    """Every value with a length of four bytes where there is a choice, but for what is short."""
    if isinstance(x, bool) or x is None:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[x]
    if isinstance(x, int):
        return bytes([x % 256]) if -32 <= x < 128 else b"\xd3" + struct.pack(">q", x)
    if isinstance(x, str):
        text = x.encode()
        return (bytes([0xA0 + len(text)]) if len(text) < 32 else b"\xdb" + struct.pack(">I", len(text))) + text
    if isinstance(x, bytes):
        return b"\xc6" + struct.pack(">I", len(x)) + x
    if isinstance(x, (list, tuple)):
        return b"\xdd" + struct.pack(">I", len(x)) + b"".join(map(msgpack, x))
    if isinstance(x, dict):
        start = bytes([0x80 + len(x)]) if len(x) < 16 else b"\xde" + struct.pack(">H", len(x))
        return start + b"".join(msgpack(key) + msgpack(value) for key, value in x.items())
    return extension(1, msgpack([x.shape, "bfloat16" if x.dtype == np.uint16 else x.dtype.name, x.tobytes()]))


def extension(kind, data):
    short = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
    head = bytes([short[len(data)]]) if len(data) in short else b"\xc9" + struct.pack(">I", len(data))
    return head + bytes([kind]) + data


def chunked(x, size):
    """An array in chunks of so many numbers."""
    chunks = [x.reshape(-1)[i:i + size] for i in range(0, x.size, size)]
    return {"__msgpack_chunked_array__": True, "shape": {str(i): n for i, n in enumerate(x.shape)},
            "chunks": {str(i): chunk for i, chunk in enumerate(chunks)}}


def tree(arrays):
    """Flat names with dots as dictionaries within dictionaries."""
    root = {}
    for name, x in arrays.items():
        *above, last = name.split(".")
        level = root
        for part in above:
            level = level.setdefault(part, {})
        level[last] = x
    return root


def flax(path, arrays):
    """The file of a model with the names of Flax."""
    path.write_bytes(msgpack(tree(arrays)))


# Keras 2 in HDF5, by h5py; PaddlePaddle, by Python's own pickle


def keras(path, layers):
    """``layers``: name of a layer -> name of a variable -> array."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, variables in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in variables]
            for name, x in variables.items():
                group.create_dataset(name, data=x)


def paddle(path, arrays, protocol=4):
    """As paddle.save writes the dictionary of a model."""
    beside = {"StructuredToParameterName@@": {name: f"w_{i}" for i, name in enumerate(arrays)}}
    path.write_bytes(pickle.dumps(dict(arrays) | beside, protocol))
