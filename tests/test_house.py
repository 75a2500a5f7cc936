"""The structure of the code, read from its syntax trees: keyword arguments, sizes, and imports between folders."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"avf_shards": "shards", "avf_curation": "curation", "avf_training": "training"}

POSITIONAL_DATACLASSES = {"Span", "TimeRange", "RunFolder", "Fields"}
"""Tiny value types whose arguments have a natural order, such as Span(start_frame, stop_frame)."""

MANY_POSITIONAL_CALLS = {
    "cv2.ellipse",  # OpenCV's own drawing functions, whose early parameters cannot be skipped
    "cv2.putText",
    "cv2.rectangle",
    "F.batch_norm",  # PyTorch's own signature
    "get_mel_banks",  # torchaudio's own signature
    "info",  # a logger's: a format and its values
    "nn.Sequential",  # a list of layers
    "add_row",  # the cells of a row
    "_table",  # the titles of columns
    "reshape",  # the sizes of a tensor
    "permute",  # the order of its axes
    "refuse",  # the rules that a settings class checks
}

ROOT_MODULES = {
    "avf_shards": {"__init__", "errors", "text", "timeline"},
    "avf_curation": {"__init__", "api", "recipe"},
    "avf_training": {"__init__", "finetune_api", "pretrain_api"},
}

MAX_LINES, MAX_PARAMETERS, MAX_POSITIONAL_VALUES = 60, 6, 5

SHARED_NAMES = {
    "add", "build_parser", "main",  # of each subcommand and command
    "add_recipe_option", "add_run_argument", "make_console",  # of each package's command line
    "decide", "measure",  # of each stage
    "list_pictures", "list_videos",  # of each source
    "freeze_identity", "load_recipe", "recipe_from_frozen",  # of each kind of run
    "Samples", "Floats",  # arrays of int16 sound, of float64 values
}  # fmt: skip
"""Public names that several modules define for the same thing."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def trees() -> Iterator[tuple[str, ast.Module]]:
    """(dotted module name, syntax tree) of every module of the three packages."""
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT / folder).with_suffix("").parts)
            yield name.removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.AST, prefix: str, nested: bool) -> Iterator[tuple[str, Function]]:
    """(dotted name, function) of every function and method; nested: those that lie in another function too."""
    for child in ast.iter_child_nodes(tree):
        name = f"{prefix}.{child.name}" if isinstance(child, Function | ast.ClassDef) else prefix
        if isinstance(child, Function):
            yield name, child
        if nested or not isinstance(child, Function):
            yield from functions(child, name, nested)


def lines_of(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def parameters_of(function: Function) -> list[str]:
    """Names of all parameters without self and cls, keyword-only ones with defaults included."""
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def dataclass_decorator(node: ast.ClassDef) -> ast.expr | None:
    """The decorator that makes a class a dataclass, None where there is none."""
    for decorator in node.decorator_list:
        if ast.unparse(decorator).partition("(")[0] in ("dataclass", "dataclasses.dataclass"):
            return decorator
    return None


def test_dataclasses_take_keywords_only() -> None:
    for module, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and (decorator := dataclass_decorator(node)) is not None:
                keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
                kw_only = any(each.arg == "kw_only" and ast.unparse(each.value) == "True" for each in keywords)
                assert kw_only == (node.name not in POSITIONAL_DATACLASSES), f"{module}.{node.name}"


def test_no_call_passes_more_than_five_positional_values() -> None:
    offenders = []
    for module, tree in trees():
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or len(call.args) <= MAX_POSITIONAL_VALUES:
                continue
            function = call.func
            short = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
            if not {short, ast.unparse(function)} & MANY_POSITIONAL_CALLS:
                offenders.append(f"{module}:{call.lineno} {ast.unparse(call)[:100]}")
    assert not offenders, "\n".join(offenders)


def test_functions_are_short() -> None:
    """A nested function counts as lines of the function that it lies in; docstrings do not count."""
    long = {
        name
        for module, tree in trees()
        for name, function in functions(tree, module, nested=False)
        if lines_of(function) > MAX_LINES
    }
    assert not long


def test_functions_have_few_parameters() -> None:
    many = {
        name
        for module, tree in trees()
        for name, function in functions(tree, module, nested=True)
        if len(parameters_of(function)) > MAX_PARAMETERS
    }
    assert not many


def test_no_function_shadows_its_module() -> None:
    """`main` in a command's main.py is what Python projects call it."""
    offenders = [
        module
        for module, tree in trees()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == module.rpartition(".")[2] != "main"
    ]
    assert not offenders


def public_definitions(tree: ast.Module) -> Iterator[str]:
    """Names of a module's public functions, classes and type aliases; single letters are type variables."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):  # Alias = ...: constants are in capitals
            names = [target.id for target in node.targets if isinstance(target, ast.Name) and not target.id.isupper()]
        else:
            continue
        yield from (name for name in names if not name.startswith("_") and len(name) > 1)


def test_no_two_unrelated_things_share_a_name() -> None:
    modules: dict[str, list[str]] = {}
    for module, tree in trees():
        for name in public_definitions(tree):
            modules.setdefault(name, []).append(module)
    shared = {name: where for name, where in modules.items() if len(where) > 1}
    assert shared.keys() - {"log"} == SHARED_NAMES, shared


@pytest.mark.parametrize("package", PACKAGES)
def test_package_roots_hold_only_the_listed_modules(package: str) -> None:
    folder = ROOT / PACKAGES[package] / package
    assert {path.stem for path in folder.glob("*.py")} == ROOT_MODULES[package]


def imported_modules(module: str, tree: ast.Module, is_package: bool) -> Iterator[str]:
    """Dotted names that a module imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_folders_import_each_other(package: str) -> None:
    """Folders, and single modules at the root, in loops of any length; imports inside functions count."""
    root = ROOT / PACKAGES[package] / package
    names = {path.stem for path in root.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    names -= {"__init__"}
    imports: dict[str, set[str]] = {name: set() for name in names}
    for module, tree in trees():
        first, *rest = module.split(".")
        if first != package or not rest:
            continue
        is_package = (ROOT / PACKAGES[package] / Path(*module.split(".")) / "__init__.py").is_file()
        for imported in imported_modules(module, tree, is_package):
            parts = imported.split(".")
            if parts[0] == package and len(parts) > 1 and parts[1] in names and parts[1] != rest[0]:
                imports[rest[0]].add(parts[1])
    assert any(imports.values())
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"{package}: folders import each other in a loop: {' -> '.join(error.args[1])}")
