# Serves calls of one function of a Python file: `-c TEXT FILE NAME`. The way of a call: wasmgrid/runner/serving.py.
import sys


def wasmgrid_serve():
    import _json  # and not json, which would bring re: half of what a first call costs
    import builtins
    import posix

    from _sitebuiltins import Quitter

    AT = 7309_000_000  # nanoseconds since 1970: a time that no file has
    WORDS = {bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "dict", None: "None"}
    SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

    def complain(kind, error, trace):
        while trace is not None and trace.tb_frame.f_code.co_filename == "<string>":
            trace = trace.tb_next  # frames of this text
        sys.__excepthook__(kind, error.with_traceback(trace), None)

    class Unfit(Exception):
        pass

    class Reading:
        strict, object_hook, object_pairs_hook, memo = True, None, None, {}
        parse_float, parse_int = float, int

        def parse_constant(self, text):
            raise ValueError(text)

    def unwritable(value):
        raise TypeError(f"a value of type {type(value).__name__} has no JSON")

    scan = _json.make_scanner(Reading())
    written = _json.make_encoder({}, unwritable, _json.encode_basestring_ascii, None, ":", ",", False, False, False)

    def decode(text):
        text = text.strip(" \t\r\n")
        try:
            value, end = scan(text, 0)
        except StopIteration:
            end = -1
        if end != len(text):
            raise ValueError("the call is no JSON")
        return value

    def encode(value):
        return "".join(written(value, 0))

    def quoted(value):
        text = encode(plain(value))
        return text if len(text) <= 40 else text[:40] + "..."

    def shown(annotation):
        if isinstance(annotation, str):
            return annotation
        if annotation is None or annotation is type(None):
            return "None"
        if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
            return annotation.__name__
        return str(annotation).replace("typing.", "")

    def alternatives(annotation):
        """What an annotation allows, where it is a union of types; else itself."""
        parts = getattr(annotation, "__args__", None)
        kind = type(annotation).__name__
        return list(parts) if parts and kind in ("UnionType", "_UnionGenericAlias") else [annotation]

    def origin(annotation):
        annotation = getattr(annotation, "__origin__", annotation)
        return None if annotation is type(None) else annotation

    def fit(value, annotation):
        """`value`, out of JSON, as a parameter of this type gets it; raises Unfit. What is no plain type takes all."""
        failed = Unfit(f"{shown(annotation)} is wanted, not {quoted(value)}")
        for each in alternatives(annotation):
            try:
                return fit_one(value, each, failed)
            except Unfit:
                pass
        raise failed

    def fit_one(value, annotation, failed):
        kind, parts = origin(annotation), getattr(annotation, "__args__", ())
        if kind is None and value is None:
            return None
        if kind is float and not isinstance(value, bool) and isinstance(value, (int, float)):
            return float(value)
        if kind is float and isinstance(value, str) and value in SPECIAL:
            return SPECIAL[value]
        if kind in (list, tuple, set, frozenset) and isinstance(value, list):
            if kind is tuple and parts and parts[-1] is not ...:
                if len(parts) != len(value):
                    raise failed
                return tuple(map(fit, value, parts))
            items = [fit(each, parts[0]) for each in value] if parts else value
            return items if kind is list else kind(items)
        if kind is dict and isinstance(value, dict):
            return {key: fit(each, parts[1]) for key, each in value.items()} if len(parts) == 2 else value
        if kind is bool or kind is str:
            good = isinstance(value, kind)
        elif kind is int:
            good = isinstance(value, int) and not isinstance(value, bool)
        else:
            good = kind not in (None, float, list, tuple, set, frozenset, dict)
        if not good:
            raise failed
        return value

    def word(text, annotation):
        """A word of the command line, read as the type of its parameter; where that is open, as JSON, else as it is."""
        kinds = [origin(each) for each in alternatives(annotation)]
        if kinds == [str]:
            return text
        try:
            value = SPECIAL[text] if text in SPECIAL and float in kinds else decode(text)
        except ValueError:
            if str in kinds or annotation is ANY:
                return text
            raise Unfit(f"{shown(annotation)} is wanted, not {quoted(text)[1:-1]}") from None
        if annotation is ANY:
            return value
        try:
            return fit(value, annotation)
        except Unfit:
            if str in kinds:
                return text
            raise Unfit(f"{shown(annotation)} is wanted, not {text[:40]}") from None

    class ANY:
        pass

    class Signature:
        """What a function wants, out of its code; of what is none (a class, a builtin) nothing is known."""

        def __init__(self, function, name, names):
            inner = function
            while hasattr(inner, "__wrapped__"):
                inner = inner.__wrapped__
            skip = 1 if hasattr(inner, "__self__") and hasattr(inner, "__func__") else 0
            inner = getattr(inner, "__func__", inner)
            code = getattr(inner, "__code__", None)
            self.known = code is not None
            self.text = f"{name}(...)"
            if code is None:
                return
            notes = {key: self.resolved(note, names) for key, note in getattr(inner, "__annotations__", {}).items()}
            count, only = code.co_argcount, code.co_kwonlyargcount
            self.names = list(code.co_varnames[skip:count])
            defaults = list(inner.__defaults__ or ())
            self.least = len(self.names) - len(defaults)
            at = count + only
            self.rest = code.co_varnames[at] if code.co_flags & 4 else None
            keywords = [each for each in code.co_varnames[count:at] if each not in (inner.__kwdefaults__ or {})]
            self.notes = [notes.get(each, ANY) for each in self.names]
            self.rest_note = notes.get(self.rest, ANY)
            words = [self.written(each, note) for each, note in zip(self.names, self.notes)]
            for place, default in enumerate(defaults, self.least):
                words[place] += f" = {default!r}"[:40]
            if self.rest is not None:
                words.append("*" + self.written(self.rest, self.rest_note))
            result = f" -> {shown(notes['return'])}" if "return" in notes else ""
            self.text = f"{name}({', '.join(words + [f'*, {each}' for each in keywords[:1]])}){result}"
            self.missing = keywords

        def resolved(self, note, names):
            if not isinstance(note, str):
                return note
            try:
                return eval(note, names)
            except Exception:
                return ANY

        def written(self, name, note):
            return name if note is ANY else f"{name}: {shown(note)}"

        def arguments(self, given, read):
            """`given` as the parameters want it, each through `read(value, annotation)`; raises Unfit."""
            if not self.known:
                return [read(value, ANY) for value in given]
            if self.missing:
                raise Unfit(f"the parameter {self.missing[0]} has to be named, and a call's arguments have no names")
            if len(given) < self.least:
                raise Unfit(f"arguments: {self.least} wanted, {len(given)} given")
            if self.rest is None and len(given) > len(self.names):
                raise Unfit(f"arguments: {len(self.names)} wanted, more given")
            made = []
            for place, value in enumerate(given):
                named = place < len(self.names)
                name, note = (self.names[place], self.notes[place]) if named else (self.rest, self.rest_note)
                try:
                    made.append(read(value, note))
                except Unfit as error:
                    raise Unfit(f"argument {place + 1} ({name}): {error}") from None
            return made

    def from_json(value, annotation):
        return value if annotation is ANY else fit(value, annotation)

    def plain(value):
        """The value in terms that have JSON."""
        if isinstance(value, float):
            return (
                value if value - value == 0 else next(key for key, each in SPECIAL.items() if str(each) == str(value))
            )
        if isinstance(value, (list, tuple)):
            return [plain(each) for each in value]
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return value

    def answer(value):
        try:
            return "=" + encode(value)
        except ValueError:  # a float that is none of JSON's, or a value within itself
            return "=" + encode(plain(value))

    def awaited(coroutine):
        """What a coroutine returns; here is nothing that it could wait for."""
        try:
            coroutine.send(None)
        except StopIteration as ended:
            return ended.value
        raise RuntimeError("it waits for something, and there is nothing to wait for in a call")

    def call(text):
        try:
            given = decode(text)
            if isinstance(given, dict):
                arguments = signature.arguments(given["argv"], word)
            else:
                arguments = signature.arguments(given, from_json)
        except (Unfit, ValueError) as error:
            return f"?{error}; it is {signature.text}"
        try:
            value = function(*arguments)
            return answer(awaited(value) if type(value).__name__ == "coroutine" else value)
        except MemoryError:
            raise
        except Exception as error:
            complain(type(error), error, error.__traceback__)
            return f"!{type(error).__name__}: {error}" if str(error) else f"!{type(error).__name__}"

    path, name = sys.argv[1:3]
    sys.argv[:] = [path]
    sys.path[0] = path.rpartition("/")[0]
    builtins.exit, builtins.quit = Quitter("exit", "Ctrl-D"), Quitter("quit", "Ctrl-D")
    sys.stdout.reconfigure(line_buffering=True)
    sys.excepthook = complain
    module = type(sys)(path.rpartition("/")[2].partition(".")[0])
    module.__file__ = path
    sys.modules[module.__name__] = module
    calls = posix.open("/wasmgrid/call", posix.O_RDONLY)
    with open(path, "rb") as file:
        exec(compile(file.read(), path, "exec", 0, True), module.__dict__)
    function = getattr(module, name, None)
    if not callable(function):
        sys.exit(f"{path.rpartition('/')[2]} has nothing called {name} that could be called")
    signature = Signature(function, name, module.__dict__)
    text = ""
    while True:
        posix.utime(
            "/" + text.encode("utf-8", "replace").decode().replace("\0", "?"), ns=(AT, 0)
        )  # hands the answer over, and returns when there is another call
        head = posix.pread(calls, 4096, 0)
        size = int(head[:16])
        given = head[16:] if size <= len(head) - 16 else posix.pread(calls, size, 16)
        text = call(given[:size].decode())
        sys.stdout.flush()


wasmgrid_serve()
