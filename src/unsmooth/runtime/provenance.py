"""Where a result comes from: the code, the versions, the machine."""

import ast
import hashlib
import json
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["canonical_json", "code_hash", "git_commit", "source_digest", "text_digest", "versions"]

PACKAGE = Path(__file__).parents[1]


def canonical_json(value: object) -> str:
    """Write plain data as JSON with sorted keys, so that equal settings are equal text."""
    return json.dumps(value, sort_keys=True)


def code_hash(*sources: str | Path) -> str:
    """Return a fingerprint of Python files and of every module of this package that they import, directly or not.

    Comments, docstrings and formatting do not count: only what changes the syntax tree does. Modules that are named in
    text ("module:name") are not seen; pass their files too.

    Args:
        sources: Python files, such as a script that imports from `unsmooth`.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    pending, reached = [Path(source).resolve() for source in sources], set()
    while pending:
        path = pending.pop()
        if path not in reached:
            reached.add(path)
            pending += _imported_modules(path)
    digests = sorted(source_digest(path) for path in reached)
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


@cache
def source_digest(path: Path) -> str:
    """Return the `text_digest` of a Python file."""
    return _digest(_tree(path))


def text_digest(text: str) -> str:
    """Return the SHA-256 of what Python source says, without comments, docstrings and formatting."""
    return _digest(_bare(text))


def _digest(tree: ast.Module) -> str:
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def git_commit() -> str:
    """Return the commit of the checkout this package runs from, with "+" for local changes; "unknown" without git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of the installed `packages`."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PACKAGE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@cache
def _tree(path: Path) -> ast.Module:
    return _bare(path.read_text(encoding="utf-8"))


def _bare(text: str) -> ast.Module:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                    node.body = rest
    return tree


@cache
def _imported_modules(path: Path) -> list[Path]:
    found: list[Path] = []
    for node in ast.walk(_tree(path)):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            # Every parent package runs its __init__ too, but that of the whole library only names things.
            for depth in range(2, len(parts) + 1) if parts[0] == "unsmooth" else ():
                base = PACKAGE.joinpath(*parts[1:depth])
                found += [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
    return found
