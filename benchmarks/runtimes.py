"""Runtimes of ONNX graphs, at their best on one thread: ONNX Runtime, OpenVINO. Imported only where they are measured.

The graph is minibert's own, as ``convert --to onnx`` writes it.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable

import numpy as np

from minibert.api import Bert
from minibert.pretrained import onnx_writer

States = Callable[[np.ndarray, np.ndarray], np.ndarray]  # ids and mask (B, T) -> the last hidden state (B, T, H)


def onnxruntime_states(bert: Bert) -> States:
    """In float32, after onnxruntime's own optimiser for BERT, no spinning."""
    import onnxruntime
    from onnxruntime.transformers.optimizer import optimize_model

    config, options = bert.config, onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with tempfile.TemporaryDirectory() as folder:
        graph = optimize_model(_written(bert, folder), "bert", config.num_attention_heads, config.hidden_size, opt_level=0)
    session = onnxruntime.InferenceSession(graph.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(["last_hidden_state"], _feeds(ids, mask))[0]


def openvino_states(bert: Bert, calls: int) -> States:
    """In float32: by default it computes in bfloat16 where the processor can. ``calls``: side by side, each on a core of its own;
    with one stream they would wait for one another."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": calls, "NUM_STREAMS": calls, "INFERENCE_PRECISION_HINT": "f32"}
    local = threading.local()  # a request answers one call at a time
    with tempfile.TemporaryDirectory() as folder:
        compiled = openvino.Core().compile_model(_written(bert, folder), "CPU", settings)

    def states(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()
        return local.request.infer(_feeds(ids, mask))["last_hidden_state"]

    return states


def _written(bert: Bert, folder: str) -> str:
    path = os.path.join(folder, "model.onnx")
    onnx_writer.write(path, {name: x for name, x in bert.parameters.items() if name.startswith("bert.")}, bert.config)
    return path


def _feeds(ids: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(onnx_writer.INPUTS, (ids, mask, np.zeros_like(ids))))
