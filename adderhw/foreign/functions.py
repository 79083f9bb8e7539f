"""Local functions inlined level by level, so that every attribute that a call leaves out has its function's default.

onnx's inliner drops an attribute that the call does not give, whatever default the function states for it: a stride, a
zero point or a slope of the function's author would become ONNX's. It also passes a reference to an attribute of the
outer function on as nothing where that has no value. So each round writes the defaults onto the calls that stand in the
graph and inlines those calls alone; calls that they contained stand in the graph then, and have their turn.
"""

import onnx
import onnx.inliner

from adderhw.errors import ModelError
from adderhw.onnx_reader import MOST_CALLS, ONNX_DOMAINS
from adderhw.ops.base import DOMAIN

LEVEL = "adderhw.inlined"  # the domain of the functions of one round


def inlined(proto):
    """A copy of the model whose local functions are inlined, but for those of the adder ops; raises ModelError."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    functions = {}
    for each in proto.functions:
        if each.domain != DOMAIN and functions.setdefault(key_of(each, each.name), each) is not each:
            raise ModelError(f"model: found function {each.name!r} of domain {each.domain!r} twice, expected once")
    for _ in range(MOST_CALLS):
        calls = [node for node in nodes_of(model.graph) if key_of(node, node.op_type) in functions]
        if not calls:
            break
        model = with_calls_inlined(model, calls, functions)
    else:
        raise ModelError(f"model: found functions that call each other more than {MOST_CALLS} deep, expected fewer")
    kept = [each for each in model.functions if each.domain == DOMAIN]
    del model.functions[:]
    model.functions.extend(kept)
    return model


def with_calls_inlined(model, calls, functions):
    """The model without `calls`, nodes of its graph, each of which gets the defaults of its function first."""
    used = {}
    for call in calls:
        key = key_of(call, call.op_type)
        add_defaults(call, functions[key])
        call.domain, call.op_type, call.overload = LEVEL, used.setdefault(key, f"function{len(used)}"), ""
    for key, name in used.items():
        copy = model.functions.add()
        copy.CopyFrom(functions[key])
        copy.domain, copy.name, copy.overload = LEVEL, name, ""
    model.opset_import.add(domain=LEVEL, version=1)
    try:
        result = onnx.inliner.inline_selected_functions(model, [(LEVEL, name) for name in used.values()])
    except (onnx.checker.ValidationError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"model: found functions that cannot be inlined ({reason}), expected others") from error
    imports = [each for each in result.opset_import if each.domain != LEVEL]
    del result.opset_import[:]
    result.opset_import.extend(imports)
    return result


def add_defaults(call, function):
    """Gives the call every attribute of the function that it leaves out and that has a default."""
    given = {attribute.name for attribute in call.attribute}
    call.attribute.extend(default for default in function.attribute_proto if default.name not in given)


def key_of(message, name):
    """(domain, name, overload) of a function, or of the one that a node may call."""
    return "" if message.domain in ONNX_DOMAINS else message.domain, name, message.overload


def nodes_of(graph):
    """Every NodeProto of a GraphProto, those of graphs inside nodes too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_of(inner)
