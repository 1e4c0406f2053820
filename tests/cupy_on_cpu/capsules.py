"""Replace the C functions that one Cython module of CuPy exports to the others.

Cython keeps pointers to them in capsules, in the dictionary ``__pyx_capi__`` of the module, each
named by its C signature; another module reads them when it is imported. So before CuPy is
imported, each pointer is replaced by that of a small C++ function which calls a Python function
and, unlike a callback of ctypes, lets an exception through. The C++ is written here from the
signatures.
"""

import ctypes
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from .build import shared_object
from .misfit import misfit

# The types of arguments: how C passes one, and the letter for PyObject_CallFunction.
ARGUMENTS = {
    "int": ("int", "i"),
    "CUdevice": ("int", "i"),
    "cudaMemcpyKind": ("int", "i"),
    "unsigned int": ("unsigned", "I"),
    "intptr_t": ("long", "l"),
    "size_t": ("unsigned long", "k"),
    "uintmax_t": ("unsigned long", "k"),
    "PyObject *": ("void*", "O"),
}
# The types of results: how C returns one, how it is taken from Python, and what tells Cython to
# look for an exception.
RESULTS = {
    "int": ("int", "PyLong_AsLong", "-1"),
    "unsigned int": ("unsigned", "PyLong_AsLong", "0"),
    "intptr_t": ("long", "PyLong_AsLong", "0"),
    "size_t": ("unsigned long", "PyLong_AsUnsignedLong", "-1"),
    "uintmax_t": ("unsigned long", "PyLong_AsUnsignedLong", "0"),
    "float": ("float", "PyFloat_AsDouble", "0"),
}
KEPT = {"_getCUDAMajorVersion", "check_status", "get_build_version"}  # they need no driver
EXCEPTIONS = {"streamGetPriority": "0", "funcGetAttribute": "-2"}  # to the last column

DECLARATIONS = """
extern "C" {
void* PyObject_CallFunction(void*, const char*, ...);
void* PyErr_Occurred();
void Py_DecRef(void*);
void Py_IncRef(void*);
long PyLong_AsLong(void*);
unsigned long PyLong_AsUnsignedLong(void*);
double PyFloat_AsDouble(void*);
__attribute__((weak)) int Py_IsFinalizing();   // from Python 3.13 on
__attribute__((weak)) int _Py_IsFinalizing();  // before
extern char _Py_NoneStruct;
extern void* handlers[];
}
static bool finalizing() {
  return Py_IsFinalizing ? Py_IsFinalizing() : _Py_IsFinalizing && _Py_IsFinalizing();
}
static void* none() {  // arrays that live to the end are freed when nothing can be called
  Py_IncRef(&_Py_NoneStruct);
  return &_Py_NoneStruct;
}
void* handlers[%d];
"""

_api = ctypes.pythonapi
_api.Py_IncRef.argtypes = [ctypes.py_object]
_api.PyCapsule_GetName.argtypes = [ctypes.py_object]
_api.PyCapsule_GetName.restype = ctypes.c_char_p
_api.PyCapsule_SetPointer.argtypes = [ctypes.py_object, ctypes.c_void_p]


class Signature(NamedTuple):
    """The C signature of an exported function."""

    result: str
    arguments: tuple[str, ...]


def signatures(module: ModuleType) -> dict[str, Signature]:
    """Return what a Cython module exports and needs a GPU, without functions of structures."""
    found = {}
    for name, capsule in module.__pyx_capi__.items():
        text = _api.PyCapsule_GetName(capsule).decode()
        if match := re.fullmatch(r"(.*?) ?\((.*)\)", text):
            result, arguments = match[1].strip(), match[2].split(", ")
            is_object = result.endswith("*")
            if name not in KEPT and (is_object or result in RESULTS):
                found[name] = Signature("PyObject *" if is_object else result, (*arguments,))
    return found


def replace(module: ModuleType, functions: Mapping[str, Callable[..., Any]]) -> None:
    """Replace what a module exports: by `functions`, the rest by a refusal that names it.

    Parameters
    ----------
    module : module
        A Cython module that no other one was imported with.
    functions : mapping of str to callable
        What to call instead, with the arguments of the C function, optional ones left out.
    """
    if not hasattr(module, "__pyx_capi__"):
        misfit(f"{module.__name__} exports no C functions")
    exported = signatures(module)
    if missing := sorted(functions.keys() - exported.keys()):
        misfit(f"{module.__name__} does not export {', '.join(missing)}")
    handlers = {name: functions.get(name) or _refusal(module, name) for name in exported}
    code = "\n".join(
        [DECLARATIONS % len(exported)]
        + [_trampoline(i, name, exported[name]) for i, name in enumerate(handlers)]
    )
    library = ctypes.PyDLL(str(shared_object(code, name=module.__name__.rpartition(".")[2])))
    slots = (ctypes.py_object * len(handlers)).in_dll(library, "handlers")
    for i, (name, handler) in enumerate(handlers.items()):
        _api.Py_IncRef(handler)  # CuPy calls it until the very end
        slots[i] = handler
        pointer = ctypes.cast(getattr(library, f"call_{name}"), ctypes.c_void_p)
        _api.PyCapsule_SetPointer(module.__pyx_capi__[name], pointer)
        setattr(module, name, handler)


def _refusal(module: ModuleType, name: str) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> None:
        message = f"{module.__name__}.{name} is not in the simulator of tests/cupy_on_cpu"
        raise NotImplementedError(message)

    refuse.__name__ = name
    return refuse


def _trampoline(index: int, name: str, signature: Signature) -> str:
    """Write the C++ function that calls the Python function."""
    parameters, letters, passed = [], "", ""
    counts = True
    for i, text in enumerate(signature.arguments):
        if text == "void":
            break
        counts = counts and not text.endswith("__pyx_skip_dispatch")  # what follows is optional
        c_type, letter = _argument(name, text.removesuffix(" __pyx_skip_dispatch"))
        parameters.append(f"{c_type} a{i}")
        if counts:
            letters += letter
            passed += f", a{i}"
    call = f'PyObject_CallFunction(handlers[{index}], "({letters})"{passed})'
    if signature.result == "PyObject *":
        body = f"return finalizing() ? none() : {call};"
        c_type = "void*"
    else:
        c_type, convert, error = RESULTS[signature.result]
        error = EXCEPTIONS.get(name, error)
        body = (
            f"void* result = {call};\n"
            f"  if (!result) return ({c_type}){error};\n"
            f"  auto value = {convert}(result);\n"
            "  Py_DecRef(result);\n"
            f"  return PyErr_Occurred() ? ({c_type}){error} : ({c_type})value;"
        )
    return f'extern "C" {c_type} call_{name}({", ".join(parameters)}) {{\n  {body}\n}}'


def _argument(name: str, text: str) -> tuple[str, str]:
    kind = "PyObject *" if text.startswith("struct") else text
    if kind not in ARGUMENTS:
        misfit(f"{name} takes a {text!r}, a type that capsules.py does not know")
    return ARGUMENTS[kind]
