"""Fingerprints of the functions, classes and constants that a script reaches.

An edit therefore counts where it can change a result. A new loss in a module of losses, or in a registry, does not.
Modules that decide no result never count: see `INFRASTRUCTURE`.
"""

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
SCRIPTS = "workflow/scripts"
INFRASTRUCTURE = ("runtime", "config", "registry", "atomic_files.py")
ON_IMPORT = "(on import)"  # the statements of a module that define nothing
DIGITS = 16


@cache
def code_hash(*entries: str | Path) -> str:
    """Return one fingerprint of all `definitions` of the entries, 16 hexadecimal digits of a SHA-256."""
    digests = [digest for found in definitions(*entries).values() for digest in found.values()]
    return _digest("".join(sorted(digests)))


def definitions(*entries: str | Path) -> dict[str, dict[str, str]]:
    """Return the fingerprint of every definition that the entries use, by file; comments and docstrings do not count.

    Files are relative to the parent folder of the package or to the checkout. Entries are scripts, or names in this
    package written "module:name"; what a script imports by such a name is an entry of its own.
    """
    pending: list[tuple[Path, str]] = []
    for entry in entries:
        if isinstance(entry, str):
            dotted, _, name = entry.partition(":")
            pending += _found(dotted, name)
        else:
            pending += [(entry, name) for name in _module(entry).statements]
    reached: set[tuple[Path, str]] = set()
    while pending:
        definition = pending.pop()
        if definition not in reached:
            reached.add(definition)
            path, name = definition
            pending += [(path, ON_IMPORT), *_used(path, name)]
    digests: dict[str, dict[str, str]] = defaultdict(dict)
    for path, name in sorted(reached):
        if (digest := definition_digest(path, name)) is not None:
            in_package = path.is_relative_to(PACKAGE)
            file = path.relative_to(PACKAGE.parent).as_posix() if in_package else f"{SCRIPTS}/{path.name}"
            digests[file][name] = digest
    return dict(digests)


@cache
def definition_digest(path: Path, name: str) -> str | None:
    """Return the fingerprint of the definition of `name` in a file; None where there is none."""
    statements = _module(path).statements.get(name) if path.is_file() else None
    return _digest("\n".join(map(_unparsed, statements))) if statements else None


def source_file(name: str) -> Path:
    return (PACKAGE.parents[1] if name.startswith(SCRIPTS) else PACKAGE.parent) / name


@dataclass
class _Module:
    """A parsed module."""

    # The defining statements of each top-level name; those that define no name are `ON_IMPORT`
    statements: dict[str, list[ast.stmt]] = field(default_factory=lambda: defaultdict(list))
    # Local name to the imported module of this package and the name in it
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)


@cache
def _module(path: Path) -> _Module:
    module = _Module()
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.If | ast.Try):
            module.imports |= _imports(ast.walk(statement))
        if own := _imports([statement]):
            module.imports |= own
            continue
        for name, part in _defined(statement):
            module.statements[name].append(part)
    module.statements.pop("__all__", None)
    return module


def _imports(nodes: Iterable[ast.AST]) -> dict[str, tuple[str, str]]:
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.name
        for alias in node.names
    }


def _defined(statement: ast.stmt) -> list[tuple[str, ast.stmt]]:
    stored: list[ast.expr] = []
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [(statement.name, statement)]
        case ast.Import():
            return [(_local(alias), ast.Import([alias])) for alias in statement.names]
        case ast.ImportFrom():
            return [(_local(alias), ast.ImportFrom(statement.module, [alias], 0)) for alias in statement.names]
        case ast.Expr(value=ast.Constant()):
            return []
        case ast.Assign():
            stored = statement.targets
        case ast.AnnAssign() | ast.AugAssign():
            stored = [statement.target]
    names = [node.id for target in stored for node in ast.walk(target) if isinstance(node, ast.Name)]
    return [(name, statement) for name in names or [ON_IMPORT]]


def _local(alias: ast.alias) -> str:
    return alias.asname or alias.name.split(".")[0]


@cache
def _used(path: Path, name: str) -> list[tuple[Path, str]]:
    """Return the definitions of this package that a definition names."""
    module, used, of_modules = _module(path), list[tuple[Path, str]](), set[int]()
    nodes = [node for statement in module.statements.get(name, []) for node in ast.walk(statement)]
    imports = module.imports | _imports(nodes)
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=local) as value) if local in imports:
                dotted = ".".join(imports[local])
                if _file(dotted):  # of an imported module one name is used
                    of_modules.add(id(value))
                    used += _found(dotted, node.attr)
    for node in nodes:
        if isinstance(node, ast.Name) and id(node) not in of_modules:
            if node.id in imports:
                used += _found(*imports[node.id])
            elif node.id in module.statements:
                used.append((path, node.id))
    return used


def _found(dotted: str, name: str) -> Iterator[tuple[Path, str]]:
    """Yield the definition of a name, followed through re-exports; of a module, all its definitions."""
    submodule, path = _file(f"{dotted}.{name}"), _file(dotted)
    if path is None or (submodule or path).relative_to(PACKAGE).parts[0] in INFRASTRUCTURE:
        return
    module = _module(submodule or path)
    if submodule is not None:
        yield from ((submodule, each) for each in module.statements)
    elif name in module.imports:
        yield from _found(*module.imports[name])
    else:
        yield path, name


def _file(dotted: str) -> Path | None:
    base = PACKAGE.joinpath(*dotted.split(".")[1:])
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def _unparsed(statement: ast.stmt) -> str:
    for node in ast.walk(statement):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                    node.body = rest or [ast.Pass()]
    return ast.unparse(statement)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
