"""Texts below the fields of a dataclass, which are the help of their flags."""

import ast
import functools
import inspect
import itertools
import sys
from collections.abc import Iterator
from types import ModuleType


def field_texts(kind: type) -> dict[str, str]:
    """Return the string below each field of a dataclass, in one line, by the field's name.

    Fields without one are left out, as are those of classes whose source cannot be read.
    """
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        definition = _classes(sys.modules[base.__module__]).get(base.__name__)
        for part, after in itertools.pairwise(definition.body if definition else ()):
            if (
                isinstance(part, ast.AnnAssign)
                and isinstance(part.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                texts[part.target.id] = " ".join(after.value.value.split())
    return texts


@functools.cache
def _classes(module: ModuleType) -> dict[str, ast.ClassDef]:
    """Return the definitions of a module's classes by name."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):  # a notebook, or built in
        return {}
    return {node.name: node for node in _definitions(tree)}


def _definitions(parent: ast.AST) -> Iterator[ast.ClassDef]:
    """Iterate over classes, those inside of classes, functions and branches included.

    `ast.walk` would look into every expression, which takes longer than to parse them.
    """
    for part in ("body", "handlers", "orelse", "finalbody", "cases"):
        for node in getattr(parent, part, ()):
            if isinstance(node, ast.ClassDef):
                yield node
            yield from _definitions(node)
