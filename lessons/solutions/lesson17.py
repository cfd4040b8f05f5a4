"""Answers to lesson 17."""

import json
import pickletools
import re

import numpy as np


def our_name(name):
    name = name.removeprefix("module.").replace("/", ".")
    name = re.sub(r"layer_(\d+)", r"layer.\1", name)
    parts = name.split(".")
    last = {"kernel": "weight", "gamma": "weight", "beta": "bias", "output_weights": "weight", "output_bias": "bias"}
    parts[-1] = last.get(parts[-1], parts[-1])
    if parts[-1].endswith("_embeddings"):
        parts.append("weight")
    if parts[0] not in ("bert", "cls"):
        parts.insert(0, "bert")
    return ".".join(parts)


def read_safetensors(raw):
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8"}
    return {name: np.frombuffer(raw[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]],
                                kinds[entry["dtype"]]).reshape(entry["shape"]) for name, entry in header.items()}


def from_bfloat16(bits):
    return (np.asarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32)


def from_tensorflow(arrays):
    ours = {}
    for name, x in arrays.items():
        if name != "global_step" and not name.endswith(("adam_m", "adam_v")):
            ours[our_name(name)] = x.T if name.endswith("/kernel") else x
    return ours


def asked_for(program):
    found = {argument.replace(" ", ".") for opcode, argument, _ in pickletools.genops(program) if opcode.name == "GLOBAL"}
    return sorted(found)
