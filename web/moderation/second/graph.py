"""The file of the network as ONNX Runtime reads it, written node by node from weights by name, and read back.

One letter at a time, so there is no padding and no mask. Weights are whole numbers of seven bits, of eight in the table
of pieces, with a scale for each column of a matrix and each row of the table, under the names that they have in
`network`: a training can go on from the file. What passes between matrices is made eight bits letter by letter.

Nodes of the domain `com.microsoft` are ONNX Runtime's own ("Contrib Operators" in its documentation); a graph exported
from PyTorch has six times as many. For training alone; needs the package `onnx`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from web.moderation.second.network import EPSILON, HEAD, MOST_OF_WEIGHTS, Shape

Floats = NDArray[np.float32]
_RUNTIME: Final = "com.microsoft"
_OPSETS: Final = {"": 18, _RUNTIME: 1}
_FORM: Final = 9
"""Of the file; ONNX Runtime 1.16 and later read it."""
_MOST_OF_TABLE: Final = 127
_MATRIX, _SCALES = ".weight", ".scales"


@dataclass(slots=True)
class _Graph:
    """Nodes in their order; a method for each kind of step gives the name of its result."""

    weights: Mapping[str, Floats]
    constants: list[onnx.TensorProto] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    names: count[int] = field(default_factory=count)

    def steps(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **more: Any) -> Sequence[str]:
        self.nodes.append(helper.make_node(kind, inputs, outputs, **more))
        return outputs

    def step(self, kind: str, *inputs: str, **more: Any) -> str:
        return self.steps(kind, inputs, [f"{kind} {next(self.names)}"], **more)[0]

    def own(self, kind: str, *inputs: str, **more: Any) -> str:
        return self.step(kind, *inputs, domain=_RUNTIME, **more)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def exact(self, name: str) -> str:
        return self.constant(name, self.weights[name])

    def matrix(self, name: str) -> tuple[str, str]:
        """A dense layer's matrix, turned so that letters are multiplied from the left, and its columns' scales."""
        whole, scales = _whole(self.weights[name + _MATRIX], MOST_OF_WEIGHTS)
        return self.constant(name + _MATRIX, whole.T), self.constant(name + _SCALES, scales[:, 0])

    def dense(self, x: str, name: str) -> str:
        return self.own("DynamicQuantizeMatMul", x, *self.matrix(name), "", self.exact(f"{name}.bias"))

    def normal(self, x: str, name: str) -> str:
        return self.step(
            "LayerNormalization", x, self.exact(f"{name}.weight"), self.exact(f"{name}.bias"), epsilon=EPSILON
        )

    def embedding(self, pieces: str) -> str:
        whole, scales = _whole(self.weights["word.weight"], _MOST_OF_TABLE)
        rows = self.step("Gather", self.constant("word" + _MATRIX, whole), pieces)
        scale = self.step("Gather", self.constant("word" + _SCALES, scales), pieces)
        words = self.step("Mul", self.step("Cast", rows, to=TensorProto.FLOAT), scale)
        start, length = self.constant("start", np.zeros(1, np.int64)), self.step("Shape", pieces, start=1)
        places = self.step("Slice", self.exact("position.weight"), start, length)
        return self.normal(self.step("Add", words, places), "ln")

    def layer(self, x: str, name: str) -> str:
        bits, scale, zero = self.steps(
            "DynamicQuantizeLinear", [x], [f"{name}{part}" for part in (" bits", " scale", " zero")]
        )
        matrix, scales = self.matrix(f"{name}.qkv")
        heads = self.weights[f"{name}.ao.weight"].shape[1] // HEAD
        bias = self.exact(f"{name}.qkv.bias")
        seen = self.own("QAttention", bits, matrix, bias, scale, scales, "", zero, num_heads=heads)
        x = self.normal(self.step("Add", x, self.dense(seen, f"{name}.ao")), f"{name}.aln")
        inner = self.own("Gelu", self.dense(x, f"{name}.fi"))
        return self.normal(self.step("Add", x, self.dense(inner, f"{name}.fo")), f"{name}.oln")

    def answers(self, x: str) -> str:
        """The logits of the labels, from the mean and the most of each number over the pieces."""
        pieces = self.constant("over pieces", np.ones(1, np.int64))
        pooled = (self.step(kind, x, pieces, keepdims=0) for kind in ("ReduceMean", "ReduceMax"))
        return self.dense(self.step("Concat", *pooled, axis=1), "head")


def write_graph(weights: Mapping[str, Floats], place: Path) -> None:
    """Write the network of these weights, in whole numbers, to `place`.

    Input: `pieces`, int64, one letter by pieces. Output: `answers`, one letter by labels, in logits.
    """
    graph = _Graph(weights)
    x = graph.embedding("pieces")
    for at in range(shape_of(weights).layers):
        x = graph.layer(x, f"layers.{at}")
    graph.steps("Identity", [graph.answers(x)], ["answers"])
    inputs = [helper.make_tensor_value_info("pieces", TensorProto.INT64, [1, "length"])]
    outputs = [helper.make_tensor_value_info("answers", TensorProto.FLOAT, [1, None])]
    whole = helper.make_graph(graph.nodes, "second reading", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    onnx.save(helper.make_model(whole, opset_imports=opsets, ir_version=_FORM), place)


def read_weights(place: Path) -> dict[str, Floats]:
    """The weights that `write_graph` wrote to `place`, as near as whole numbers tell them."""
    every = {one.name: numpy_helper.to_array(one) for one in onnx.load(place).graph.initializer}
    found: dict[str, Floats] = {}
    for name, value in every.items():
        layer, _, part = name.rpartition(".")
        if value.dtype == np.float32 and not name.endswith(_SCALES):
            found[name] = value
        elif part and name.endswith(_MATRIX):
            rows = value if layer == "word" else value.T
            found[name] = rows.astype(np.float32) * every[layer + _SCALES].reshape(-1, 1)
    return found


def shape_of(weights: Mapping[str, Floats]) -> Shape:
    """How large the network of these weights is."""
    pieces, width = weights["word.weight"].shape
    layers = sum(name.endswith(".qkv.weight") for name in weights)
    heads = weights["layers.0.ao.weight"].shape[1] // HEAD
    return Shape(pieces, width, len(weights["layers.0.fi.bias"]), layers, heads)


def _whole(rows: Floats, most: int) -> tuple[NDArray[np.int8], Floats]:
    """Whole numbers up to `most`, and the scale of each row."""
    scales = np.maximum(np.abs(rows).max(1, keepdims=True) / most, 1e-8).astype(np.float32)
    return np.rint(rows / scales).astype(np.int8), scales
