"""Runs graphs of nodes as ComfyUI's published contract of classes says: loaded by path, checked, called in order."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch

Graph = dict[str, dict[str, Any]]
"""ComfyUI's API format: node id → class_type and inputs; an input that is [id, index] is another node's output."""


def load_nodes(folder: Path) -> dict[str, type]:
    """The folder's NODE_CLASS_MAPPINGS, its module named by its path, as custom_nodes are loaded."""
    name = str(folder).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    mappings: dict[str, type] = module.NODE_CLASS_MAPPINGS
    return mappings


def run_graph(nodes: dict[str, type], graph: Graph) -> dict[str, Any]:
    """Every node's outputs; the graph's order is one in which each node comes after those that it reads."""
    outputs: dict[str, Any] = {}
    with torch.inference_mode():  # as ComfyUI calls nodes
        for name, node in graph.items():
            cls: Any = nodes[node["class_type"]]
            _check(nodes, graph, cls.INPUT_TYPES(), node["inputs"])
            values = {
                key: outputs[value[0]][value[1]] if isinstance(value, list) else value
                for key, value in node["inputs"].items()
            }
            result = getattr(cls(), cls.FUNCTION)(**values)
            outputs[name] = result
            if not isinstance(result, dict):
                assert isinstance(result, tuple) and len(result) == len(cls.RETURN_TYPES) == len(cls.RETURN_NAMES)
    return outputs


def _check(nodes: dict[str, type], graph: Graph, types: dict[str, Any], inputs: dict[str, Any]) -> None:
    known = {**types["required"], **types.get("optional", {})}
    assert set(types["required"]) <= set(inputs) <= set(known)
    for name, value in inputs.items():
        kind, options = known[name][0], (known[name][1:] or ({},))[0]
        if isinstance(value, list):
            sender: Any = nodes[graph[value[0]]["class_type"]]
            assert sender.RETURN_TYPES[value[1]] == kind, name
        elif isinstance(kind, list):
            assert value in kind
        else:
            legal = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}[kind]
            assert isinstance(value, legal), name
            assert not ("min" in options and value < options["min"]) and not (
                "max" in options and value > options["max"]
            )
