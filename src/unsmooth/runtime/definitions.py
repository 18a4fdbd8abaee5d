"""Definitions in the text of a module: their fingerprints, and the names that they use.

A text is parsed once in a process. The job server parses ahead, and its forks keep this module and what it has parsed.
"""

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

ON_IMPORT = "(on import)"  # the statements of a module that define nothing
DIGITS = 16
Imports = dict[str, tuple[str, str]]  # local name to the module of this package and the name in it
Reference = tuple[str, str | None]  # a name, and the attribute of it that is used


class Definitions:
    """The top-level definitions of a parsed module.

    Attributes:
        names: of the definitions, `ON_IMPORT` among them.
        imports: from this package, at the top level.
    """

    def __init__(self, text: str) -> None:
        self.imports: Imports = {}
        self._statements: dict[str, list[ast.stmt]] = defaultdict(list)
        self._digests: dict[str, str | None] = {}
        self._used: dict[str, tuple[Imports, set[Reference]]] = {}
        for statement in ast.parse(text).body:
            if isinstance(statement, ast.If | ast.Try):
                self.imports |= _imports(ast.walk(statement))
            if own := _imports([statement]):
                self.imports |= own
                continue
            for name, part in _defined(statement):
                self._statements[name].append(part)
        self._statements.pop("__all__", None)
        self.names = self._statements.keys()

    def digest(self, name: str) -> str | None:
        """Return the fingerprint of a definition, without comments and docstrings; None where there is none."""
        if name not in self._digests:
            statements = self._statements.get(name)
            self._digests[name] = digest("\n".join(map(_unparsed, statements))) if statements else None
        return self._digests[name]

    def used(self, name: str) -> tuple[Imports, set[Reference]]:
        """Return what a definition imports from this package inside it, and the names that it uses."""
        if name not in self._used:
            nodes = [node for statement in self._statements.get(name, []) for node in ast.walk(statement)]
            attributes = [
                node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            ]
            of_attributes = {id(node.value) for node in attributes}
            references: set[Reference] = {(node.value.id, node.attr) for node in attributes}  # type: ignore[attr-defined]
            references |= {
                (node.id, None) for node in nodes if isinstance(node, ast.Name) and id(node) not in of_attributes
            }
            self._used[name] = _imports(nodes), references
        return self._used[name]


@cache
def parsed(text: str) -> Definitions:
    """The definitions in the text of a module."""
    return Definitions(text)


def parse_ahead(files: Iterable[Path]) -> None:
    """Parse modules for the processes that fork from this one; a module with a syntax error is left out."""
    for file in files:
        with suppress(SyntaxError):
            module = parsed(file.read_text(encoding="utf-8"))
            for name in module.names:
                module.used(name)
                module.digest(name)


def digest(text: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _imports(nodes: Iterable[ast.AST]) -> Imports:
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == __name__.split(".")[0]
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


def _unparsed(statement: ast.stmt) -> str:
    for node in ast.walk(statement):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                    node.body = rest or [ast.Pass()]
    return ast.unparse(statement)
