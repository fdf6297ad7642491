# Judges a Python project in the very interpreter that will run it: `-c TEXT ENTRY FUNCTION`; nothing of it is run.
import sys

ROOT = "/src/"
seen, judged = {}, []


def parse(path):
    """The file's tree, and what it imports of the project, and so on."""
    if path in seen:
        return
    try:
        with open(ROOT + path, "rb") as file:
            text = file.read()
    except OSError:
        return
    judged.append(path)
    tree = seen[path] = compile(text, path, "exec", 0x400, True)  # ast.PyCF_ONLY_AST
    compile(tree, path, "exec", 0, True)  # what only the compiler sees, such as a return outside of functions
    for node in walk(tree):
        for name in imported(node, path):
            parts = name.replace(".", "/")
            parse(parts + ".py")
            parse(parts + "/__init__.py")


def walk(tree):
    """All nodes below it, however deep."""
    left = [tree]
    while left:
        node = left.pop()
        yield node
        for field in node._fields:
            value = getattr(node, field, None)
            for each in value if isinstance(value, list) else [value]:
                if hasattr(each, "_fields"):
                    left.append(each)


def imported(node, path):
    kind = type(node).__name__
    if kind == "Import":
        return [alias.name for alias in node.names]
    if kind != "ImportFrom":
        return []
    above = path.split("/")[: -node.level] if node.level else []
    module = ".".join([*above, *([node.module] if node.module else [])])
    return [*([module] if module else []), *(".".join(filter(None, [module, each.name])) for each in node.names)]


def bound(body):
    """The names that a module's own statements bind, with how a function is written; None: there may be others."""
    names = {}
    left = list(body)
    while left:
        node = left.pop(0)
        kind = type(node).__name__
        if kind in ("FunctionDef", "AsyncFunctionDef", "ClassDef"):
            names[node.name] = kind != "ClassDef"
        elif kind in ("Import", "ImportFrom"):
            for alias in node.names:
                if alias.name == "*":
                    return None
                names[(alias.asname or alias.name).split(".")[0]] = False
        elif kind in ("Assign", "AnnAssign", "For", "With", "AugAssign"):
            for each in walk(node):
                if type(each).__name__ == "Name":
                    names.setdefault(each.id, False)
        for field in ("body", "orelse", "finalbody", "handlers"):
            if kind not in ("FunctionDef", "AsyncFunctionDef", "ClassDef"):
                left.extend(getattr(node, field, None) or [])
    return names


def main(entry, function):
    try:
        parse(entry)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if getattr(error, "filename", None) is None:
            sys.stderr.write(f"{judged[-1]}: ")
        sys.excepthook(type(error), error.with_traceback(None), None)
        return 1
    names = bound(seen[entry].body) if function else None
    if names is None or function in names:
        return 0
    there = ", ".join(sorted(name for name, is_function in names.items() if is_function)) or "none"
    sys.stderr.write(f"there is no function {function} in {entry}; the functions in it: {there}\n")
    return 1


sys.exit(main(*sys.argv[1:]))
