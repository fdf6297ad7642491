"""What a class says of each of its attributes: the string behind it."""

from __future__ import annotations

import ast
import inspect
import itertools
from types import ModuleType


def attributes(module: ModuleType, name: str) -> dict[str, str]:
    """Attribute -> the string literal that follows it in the class `name`; those without one are left out."""
    tree = ast.parse(inspect.getsource(module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    said = {}
    for before, after in itertools.pairwise(body):
        target = before.targets[0] if isinstance(before, ast.Assign) else getattr(before, "target", None)
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            said[target.id] = inspect.cleandoc(str(after.value.value))
    return said
