# Runs an interpreter once over a project, natively in the compile sandbox; `make_config` stands before this text.
import importlib.util
import json


def interpret(package, code, source, temp, request):
    find = importlib.util.spec_from_file_location
    spec = find("wasmtime", package + "/__init__.py", submodule_search_locations=[package])
    wasmtime = sys.modules["wasmtime"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(wasmtime)
    wanted = json.loads(request)
    for name, text in wanted["files"].items():
        Path(temp, name).write_text(text, encoding="utf-8")
    engine = wasmtime.Engine(make_config(metered=False))
    module = wasmtime.Module.deserialize_file(engine, code)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    store.set_epoch_deadline(1)
    wasi = wasmtime.WasiConfig()
    wasi.argv = wanted["argv"]
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    wasi.preopen_dir(source, "/src", False)
    wasi.preopen_dir(temp, "/check", False)
    store.set_wasi(wasi)
    try:
        linker.instantiate(store, module).exports(store)["_start"](store)
    except wasmtime.ExitTrap as ended:
        sys.exit(ended.code)
    except wasmtime.Trap as trap:
        sys.exit("the interpreter itself failed: " + str(trap).splitlines()[-1].strip())


interpret(*sys.argv[1:])
