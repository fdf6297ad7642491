# Runs a Python program as `python PROGRAM ARGUMENTS` would: `-c TEXT PROGRAM ARGUMENTS`.
def wasmgrid_run():
    """Nothing of it is left in the program's own names."""
    import builtins
    import sys

    from _sitebuiltins import Quitter

    def complain(kind, error, trace):
        while trace is not None and trace.tb_frame.f_code.co_filename == "<string>":
            trace = trace.tb_next  # frames of this text
        sys.__excepthook__(kind, error.with_traceback(trace), None)

    path = sys.argv.pop(1)
    sys.argv[0] = path
    sys.path[0] = path.rpartition("/")[0]
    builtins.exit, builtins.quit = Quitter("exit", "Ctrl-D"), Quitter("quit", "Ctrl-D")
    sys.stdout.reconfigure(line_buffering=True)  # whoever follows a job sees each line, and a killed one has said it
    sys.excepthook = complain
    names = sys.modules["__main__"].__dict__
    del names["wasmgrid_run"]
    names["__file__"] = path
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", 0, True)
    exec(code, names)


wasmgrid_run()
