"""Graphs inside nodes: the branch of an If whose condition is known, and what such graphs read from outside."""

from itertools import chain, count

import onnx
from onnx import helper

from adderhw.errors import CostError
from adderhw.onnx_reader import array_of, name_of

SUBGRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def subgraphs(raw):
    """The GraphProtos in a node's attributes."""
    for attribute in raw.attribute:
        if attribute.type in SUBGRAPHS:
            yield from (attribute.g,) if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs


def read_by(raw):
    """The names of the tensors that a node reads, those that graphs inside it take from outside too."""
    names = [name for name in raw.input if name]
    for graph in subgraphs(raw):
        own = {*defined_in(graph), *(value.name for value in graph.input)}
        inside = [name for node in graph.node for name in read_by(node)]
        names += [name for name in (*inside, *(value.name for value in graph.output)) if name not in own]
    return list(dict.fromkeys(names))


def defined_in(graph):
    """The names that the nodes and initializers of a graph define."""
    yield from (tensor.name for tensor in graph.initializer)
    yield from (name for node in graph.node for name in node.output if name)


def take_branches(graph, constants):
    """Puts the branch that is taken in place of every If whose condition is among `constants`; whether there was one.

    Initializers of the branch join `constants`. What only the other branch read is taken away.
    """
    names = {*constants, *(value.name for value in graph.input), *defined_in(graph)}
    nodes, taken = [], False
    for raw in graph.node:
        branch = branch_of(raw, constants)
        taken = taken or branch is not None
        nodes += [raw] if branch is None else opened(branch, raw, names, constants)
    if taken:
        replace_nodes(graph, nodes)
        drop_unread(graph)
    return taken


def branch_of(raw, constants):
    """The GraphProto that an If takes, None where its condition is not known (or the node is none)."""
    condition = constants.get(raw.input[0]) if raw.op_type == "If" and raw.input else None
    if condition is None or condition.size != 1:
        return None
    wanted = "then_branch" if condition.reshape(-1)[0] else "else_branch"
    return next((attribute.g for attribute in raw.attribute if attribute.name == wanted), None)


def replace_nodes(graph, nodes):
    """Makes `nodes`, some of which may be the graph's own, all that the graph has."""
    rest = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(rest)


def opened(branch, raw, names, constants):
    """The NodeProtos of a branch whose outputs have the names of the outputs of `raw`, the If; its own get new ones."""
    new_names = {name: unused(name, raw, names) for name in defined_in(branch)}
    made = {name for node in branch.node for name in node.output}
    copies = []
    for value, output in zip(branch.output, raw.output, strict=False):
        if value.name in made and output:
            new_names[value.name] = output
            made.discard(value.name)
        elif output:
            copies.append((value.name, output))
    for tensor in branch.initializer:
        constants[new_names[tensor.name]] = array_of(tensor, empty=True)
    nodes = [renamed(node, new_names) for node in branch.node]
    return nodes + [helper.make_node("Identity", [new_names.get(name, name)], [output]) for name, output in copies]


def renamed(raw, new_names):
    """A copy of a NodeProto with other tensor names, in graphs inside it too (ONNX's names are unique across them)."""
    node = onnx.NodeProto()
    node.CopyFrom(raw)
    for names in (node.input, node.output):
        names[:] = [new_names.get(name, name) for name in names]
    for graph in subgraphs(node):
        replace_nodes(graph, [renamed(each, new_names) for each in graph.node])
        for value in graph.output:
            value.name = new_names.get(value.name, value.name)
    return node


def unused(name, raw, names):
    """A name for tensor `name` of a branch that none of `names` equals; it joins them."""
    candidates = chain([f"{name_of(raw)}/{name}"], (f"{name_of(raw)}/{name}/{at}" for at in count(len(names))))
    candidate = next(each for each in candidates if each not in names)
    names.add(candidate)
    return candidate


def drop_unread(graph):
    """Takes away the nodes whose outputs nothing reads."""
    read, kept = {value.name for value in graph.output}, []
    for node in reversed(graph.node):
        if not node.output or read & set(node.output):
            kept.append(node)
            read.update(read_by(node))
    replace_nodes(graph, kept[::-1])


def check_no_branches(graph, constants):
    """Raises CostError for a node of the network that holds a graph: how often that runs is not known here."""
    for raw in graph.node:
        if any(subgraphs(raw)) and not set(raw.output) <= constants.keys():
            where = f"node {name_of(raw)!r} ({raw.op_type})"
            expected = "an If whose condition is constant" if raw.op_type == "If" else "none of If, Loop and Scan"
            raise CostError(f"{where}: found op ai.onnx::{raw.op_type}, which has no cost here, expected {expected}")
