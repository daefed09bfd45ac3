"""The shape of the code, read from its syntax: direction of imports, homes, sizes, plug-ins."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from edge_agent import registry
from edge_agent.options import StrictOptions

PACKAGE = Path(__file__).parents[1] / "edge_agent"

PLUGIN_FOLDERS = ("sources", "backends", "tasks", "rules", "codecs")
# Plug-ins without anything to set: their kind says all.
CHOSEN_BY_NAME = {"backends", "codecs"}

# From the bottom up. A module imports from its own layer and those below it, never from above.
# "x." stands for all of a folder; a module's own name goes before its folder.
LAYERS = (
    ("ground", {"", "types", "errors", "lazy", "options", "registry", "metrics", "backoff"}),
    (
        "parts",
        {"pictures.", "sensing.", "inference.", "monitoring.", "reporting.", "line.", "upload."}
        | {"production.", "serving."}
        | {"processes.wire", "acceleration.report"}
        | {
            "brief",
            "clock",
            "durable",
            "environment",
            "field_errors",
            "leaky",
            "libc",
            "many_files",
            "pointer",
            "sdnotify",
            "state_lock",
            "threads",
        }
        | {"reloading"}
        | {"mqtt.broker_options", "mqtt.credentials", "mqtt.packets", "mqtt.receiving"}
        | {"mqtt.sending", "mqtt.routes", "processes.memory", "processes.worker_options"},
    ),
    ("connections", {"mqtt.", "delivery.", "line.evidence"}),
    (
        "plug-ins",
        {f"{folder}." for folder in PLUGIN_FOLDERS} | {"cell.", "inference.compiled_model"},
    ),
    ("config", {"config", "config_file", "modelstore.", "acceleration."}),
    (
        "lines",
        {"inference.model", "line.pipeline", "line.pipeline_thread", "line.trigger_desk"}
        | {"line.watched", "line.next_model", "line.succession", "line.variants"}
        | {"line.accelerating"}
        | {"delivery.publisher"},
    ),
    ("processes", {"processes."}),
    (
        "agent",
        {"agent", "control.", "commands.calibrating", "commands.checks", "commands.bundler"}
        | {"commands.fitting", "commands.golden_samples", "commands.named_files"}
        | {"commands.named_pipeline"}
        | {"commands.selftest", "commands.verification", "modelstore.models", "modelstore.synced"}
        | {"upload.sending", "upload.uploader", "upload.uploads"},
    ),
    ("front", {"cli", "__main__", "command_line", "commands."}),
)

# Where a library may be named at all: changing it, or its version, touches these files only.
HOMES = {
    "cv2": {"sources.camera", "pictures.image", "pictures.figures", "cell.conveyor"},
    "simplejpeg": {"pictures.image"},
    "paho": {"mqtt.client", "mqtt.paho_client"},
    "ai_edge_litert": {"backends.tflite", "inference.compiled_model"},
    "tflite_runtime": {"backends.tflite"},
    "onnxruntime": {"backends.onnx"},
    "sqlite3": {"delivery.verdict_store"},
    "amqtt": {"mqtt.embedded_broker"},
    "rich": {"commands.terminal", "commands.pipeline_table"},
    "cryptography": {"control.signature"},
}

# What the agent process must not load: it imports every plug-in and stays small all the same.
HEAVY = ("numpy", *(library for library in HOMES if library != "sqlite3"))

# preload is imported for its effect: it loads the libraries for the fork server.
LOADS_ON_PURPOSE = {"processes.preload", "__main__"}

MAY_PRINT = {"cli", "commands.terminal", "commands.demo"}
MOST_FUNCTION_LINES = 40
MOST_FILE_LINES = 300


@dataclass(frozen=True)
class Module:
    """One file of the package: its name below edge_agent, its syntax, what it imports.

    `runs`: what is imported when it runs; `named` also holds what is only named for types.
    """

    name: str
    tree: ast.Module
    lines: list[str]
    runs: frozenset[str]
    named: frozenset[str]


def _read() -> dict[str, Module]:
    modules = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts).removesuffix("__init__").removesuffix(".")
        text = file.read_text()
        tree = ast.parse(text)
        runs, named = _imports(tree, for_types=False), _imports(tree, for_types=True)
        modules[name] = Module(name, tree, text.splitlines(), frozenset(runs), frozenset(named))
    return modules


def _imports(node: ast.AST, *, for_types: bool) -> set[str]:
    """Return what is imported in `node`, lazily too; `for_types`: under TYPE_CHECKING as well."""
    found: set[str] = set()
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Import):
        found = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
        found = {f"{node.module}.{alias.name}" for alias in node.names}
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_module":
        found = {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not for_types:
        children = list(node.orelse)
    return found.union(*(_imports(child, for_types=for_types) for child in children))


MODULES = _read()


def _own(imports: frozenset[str]) -> set[str]:
    """Return those of `imports` that are modules of the package, by their name below it."""
    below = {i.partition(".")[2] for i in imports if i.partition(".")[0] == "edge_agent"}
    return {name if name in MODULES else name.rpartition(".")[0] for name in below}


def _layer(module: str) -> int:
    """Return the height of `module`: where its own name stands, else where its folder's does."""
    folder = module.partition(".")[0] + "."
    for name in (module, folder):
        for height, (_, members) in enumerate(LAYERS):
            if name in members:
                return height
    pytest.fail(f"{module} has no place in LAYERS")


def _plugin_folder(module: str) -> str | None:
    folder, dot, _ = module.partition(".")
    return folder if dot and folder in PLUGIN_FOLDERS else None


def test_imports_point_down() -> None:
    upward = {
        f"{name} ({LAYERS[_layer(name)][0]}) imports {other} ({LAYERS[_layer(other)][0]})"
        for name, module in MODULES.items()
        for other in _own(module.runs)
        if _layer(other) > _layer(name)
    }
    assert not upward, "imports point up; or a module is not in its place in LAYERS"


def test_the_layers_name_only_modules_that_exist() -> None:
    named = {member for _, members in LAYERS for member in members}
    folders = {f"{name.partition('.')[0]}." for name in MODULES if "." in name}
    assert named - MODULES.keys() - folders == set()


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: _own(module.runs) - {name} for name, module in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError that names the circle


def test_a_plug_in_knows_the_base_of_its_folder_and_no_other_plug_in() -> None:
    neighbours = {
        f"{name} imports {other}"
        for name, module in MODULES.items()
        for other in _own(module.named)
        if (folder := _plugin_folder(name)) and _plugin_folder(other)
        if other not in {name, f"{folder}.base"}
    }
    assert not neighbours


def test_each_heavy_library_has_one_home() -> None:
    elsewhere = {
        f"{name} names {library}"
        for name, module in MODULES.items()
        for library in (i.partition(".")[0] for i in module.named)
        if library in HOMES and name not in HOMES[library]
    }
    assert not elsewhere


def test_importing_every_module_loads_no_heavy_library() -> None:
    names = [f"edge_agent.{name}".rstrip(".") for name in MODULES if name not in LOADS_ON_PURPOSE]
    code = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
    heavy = [library for library in {HEAVY!r} if library in sys.modules]
    if heavy: sys.exit(f"import {{name}} loads {{heavy}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_fits_on_a_few_screens() -> None:
    lengths = {name: len(module.lines) for name, module in MODULES.items()}
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_FILE_LINES}


def test_a_function_has_at_most_40_lines_of_code() -> None:
    """Lines of code: without the docstring, comments and blank lines."""
    lengths = {
        f"{module.name}, line {node.lineno}: {node.name}": _code_lines(node, module.lines)
        for module in MODULES.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_FUNCTION_LINES}


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    first, last = function.lineno, function.end_lineno or function.lineno
    numbers = set(range(first, last + 1))
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        numbers -= set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    texts = (lines[number - 1].strip() for number in numbers)
    return sum(bool(text) and not text.startswith("#") for text in texts)


def test_any_exception_is_caught_in_one_place_at_most() -> None:
    broad = [
        f"{module.name}, line {node.lineno}"
        for module in MODULES.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node)
    ]
    assert len(broad) <= 1, broad


def _is_broad(handler: ast.ExceptHandler) -> bool:
    caught = ast.unparse(handler.type) if handler.type else "BaseException"
    return not {"Exception", "BaseException"}.isdisjoint(caught.strip("()").split(", "))


def test_only_what_faces_a_person_prints() -> None:
    prints = {
        f"{module.name}, line {node.lineno}"
        for module in MODULES.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
        if module.name not in MAY_PRINT
    }
    assert not prints


@pytest.mark.parametrize(
    ("folder", "kind"),
    [(folder, kind) for folder in PLUGIN_FOLDERS for kind in registry.kinds(folder)],
)
def test_a_plug_in_has_create_and_strict_options_of_its_kind(folder: str, kind: str) -> None:
    module = registry.plugin(folder, kind)
    assert callable(module.create)
    if folder in CHOSEN_BY_NAME:
        return
    assert issubclass(module.Options, StrictOptions)
    assert get_args(module.Options.model_fields["kind"].annotation) == (kind,)


@pytest.mark.parametrize("kind", ["os", "base", "../registry", "__init__", "sources.folder", ""])
def test_a_kind_that_is_not_in_the_folder_is_never_imported(kind: str) -> None:
    with pytest.raises(KeyError):
        registry.plugin("sources", kind)
