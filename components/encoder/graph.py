"""The encoder as an ONNX graph, for runtimes that compute faster on CPUs than torch does."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from components.encoder.config import Pooling
from components.encoder.model import LAYER_NORM_EPS, Bert, Layer, pooled_layers

EMBEDDED, POOLED = "embedded", "pooled"
OPSET, IR_VERSION = 20, 9


def pooling_graph(bert: Bert, pooling: Pooling) -> bytes:
    """Return a serialised graph from embeddings to vectors of documents of one length.

    Its input `embedded`, float32[documents, tokens, hidden], is the sum of word, position and
    segment embeddings, so that the graph is small whatever the vocabulary. Its output `pooled` is
    float32[documents, d]. Attention is one operator, which OpenVINO knows too.

    Args:
        bert: the encoder.
        pooling: how token vectors become one vector.
    """
    graph = _Graph()
    x = graph.normalise(EMBEDDED, bert.embeddings.LayerNorm)
    outputs = []
    for layer in bert.encoder.layer:
        assert isinstance(layer, Layer)
        x = _layer(graph, x, layer)
        outputs.append(x)
    outputs = outputs[-pooled_layers(bert.config, pooling) :]
    tokens = graph.add("Concat", *outputs, axis=2)
    if pooling.startswith("cls"):
        graph.add("Gather", tokens, graph.keep(np.int64(0)), axis=1, out=POOLED)
    else:
        graph.add("ReduceMean", tokens, graph.keep(np.array([1])), keepdims=0, out=POOLED)
    width = bert.config.hidden
    return graph.serialise(
        ("documents", "tokens", width),
        ("documents", len(outputs) * width),
    )


def _layer(graph: "_Graph", x: str, layer: Layer) -> str:
    own = layer.attention.self
    projections = (own.query, own.key, own.value)
    attended = graph.add(
        "Attention",
        x,
        graph.keep(np.concatenate([_array(p.weight).T for p in projections], axis=1)),
        graph.keep(np.concatenate([_array(p.bias) for p in projections])),
        domain="com.microsoft",
        num_heads=own.heads,
    )
    output = layer.attention.output
    x = graph.normalise(graph.add("Add", graph.linear(attended, output.dense), x), output.LayerNorm)
    wide = graph.add("Gelu", graph.linear(x, layer.intermediate.dense))
    narrow = graph.linear(wide, layer.output.dense)
    return graph.normalise(graph.add("Add", narrow, x), layer.output.LayerNorm)


class _Graph:
    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._kept: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, out: str = "", domain: str = "", **settings: Any) -> str:
        out = out or f"{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [out], domain=domain, **settings))
        return out

    def keep(self, array: np.ndarray | np.generic) -> str:
        name = f"constant{len(self._kept)}"
        self._kept.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def linear(self, x: str, dense: nn.Linear) -> str:
        product = self.add("MatMul", x, self.keep(_array(dense.weight).T))
        return self.add("Add", product, self.keep(_array(dense.bias)))

    def normalise(self, x: str, norm: nn.LayerNorm) -> str:
        scale, shift = self.keep(_array(norm.weight)), self.keep(_array(norm.bias))
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=LAYER_NORM_EPS)

    def serialise(self, taken: tuple, given: tuple) -> bytes:
        source, result = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in ((EMBEDDED, taken), (POOLED, given))
        )
        graph = helper.make_graph(
            self._nodes, "encoder", [source], [result], initializer=self._kept
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return model.SerializeToString()


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
