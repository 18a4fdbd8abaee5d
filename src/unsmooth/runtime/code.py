"""Fingerprints of the functions, classes and constants that a script reaches.

An edit therefore counts where it can change a result. A new loss in a module of losses, or in a registry, does not.
Modules that decide no result never count: see `INFRASTRUCTURE`.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from unsmooth.runtime.definitions import ON_IMPORT, Definitions, digest, parsed

PACKAGE = Path(__file__).parents[1]
SCRIPTS = "workflow/scripts"
INFRASTRUCTURE = ("runtime", "config", "registry", "atomic_files.py")


@cache
def code_hash(*entries: str | Path) -> str:
    """Return one fingerprint of all `definitions` of the entries, 16 hexadecimal digits of a SHA-256."""
    digests = [each for found in definitions(*entries).values() for each in found.values()]
    return digest("".join(sorted(digests)))


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
            pending += [(entry, name) for name in _module(entry).names]
    reached: set[tuple[Path, str]] = set()
    while pending:
        definition = pending.pop()
        if definition not in reached:
            reached.add(definition)
            path, name = definition
            pending += [(path, ON_IMPORT), *_used(path, name)]
    digests: dict[str, dict[str, str]] = defaultdict(dict)
    for path, name in sorted(reached):
        if (found := definition_digest(path, name)) is not None:
            in_package = path.is_relative_to(PACKAGE)
            file = path.relative_to(PACKAGE.parent).as_posix() if in_package else f"{SCRIPTS}/{path.name}"
            digests[file][name] = found
    return dict(digests)


def definition_digest(path: Path, name: str) -> str | None:
    """Return the fingerprint of the definition of `name` in a file; None where there is none."""
    return _module(path).digest(name) if path.is_file() else None


def is_defined(target: str) -> bool:
    """Return whether "module:name" names a definition, without importing it; other packages are not read."""
    module, _, name = target.partition(":")
    if not (name and module.startswith(f"{PACKAGE.name}.")):
        return bool(name)
    return any(definition_digest(path, each) is not None for path, each in _found(module, name))


def decisive_files() -> list[Path]:
    """Return the scripts of the checkout and the modules of this package that can decide a result."""
    modules = (file for file in PACKAGE.rglob("*.py") if file.relative_to(PACKAGE).parts[0] not in INFRASTRUCTURE)
    return [*modules, *source_file(SCRIPTS).glob("*.py")]


def source_file(name: str) -> Path:
    return (PACKAGE.parents[1] if name.startswith(SCRIPTS) else PACKAGE.parent) / name


@cache
def _module(path: Path) -> Definitions:
    return parsed(path.read_text(encoding="utf-8"))


@cache
def _used(path: Path, name: str) -> list[tuple[Path, str]]:
    """Return the definitions of this package that a definition names."""
    module, used = _module(path), list[tuple[Path, str]]()
    imported, references = module.used(name)
    imports = module.imports | imported
    for local, attribute in references:
        if local in imports:
            dotted = ".".join(imports[local])
            if attribute is not None and _file(dotted):  # of an imported module one name is used
                used += _found(dotted, attribute)
            else:
                used += _found(*imports[local])
        elif local in module.names:
            used.append((path, local))
    return used


def _found(dotted: str, name: str) -> Iterator[tuple[Path, str]]:
    """Yield the definition of a name, followed through re-exports; of a module, all its definitions."""
    submodule, path = _file(f"{dotted}.{name}"), _file(dotted)
    if path is None or (submodule or path).relative_to(PACKAGE).parts[0] in INFRASTRUCTURE:
        return
    module = _module(submodule or path)
    if submodule is not None:
        yield from ((submodule, each) for each in module.names)
    elif name in module.imports:
        yield from _found(*module.imports[name])
    else:
        yield path, name


def _file(dotted: str) -> Path | None:
    base = PACKAGE.joinpath(*dotted.split(".")[1:])
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)
