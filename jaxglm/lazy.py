"""Names and modules that are imported when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


class Part:
    """Stands for a module until one of its names is read."""

    def __init__(self, name: str):
        self.__name__ = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self.__name__), attribute)


def parts(package: str, *names: str) -> list[Part]:
    """Modules of a package, to be imported when one of their names is read."""
    return [Part(f"{package}.{name}") for name in names]


def attach(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package (PEP 562) whose rarer names are imported when they are first asked for.

    Parameters
    ----------
    package : str
    modules : dict from name to the module that has it; a module that is the name itself is meant as a whole
    """

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(modules[name])
        found = module if modules[name] == f"{package}.{name}" else getattr(module, name)
        vars(import_module(package))[name] = found
        return found

    return find
