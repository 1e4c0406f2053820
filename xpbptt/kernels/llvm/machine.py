"""The processor of this machine: what it can do, and functions in its own code."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm

LEVEL = 2  # of optimisation

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


@cache
def features() -> frozenset[str]:
    """Return the names of the processor's features that LLVM knows."""
    return frozenset(name for name, there in llvm.get_host_cpu_features().items() if there)


@cache
def processor() -> str:
    """Return the name of the processor, of its features and of the compiler."""
    version = ".".join(map(str, llvm.llvm_version_info))
    name, having = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    return f"{llvm.get_process_triple()} {name} {having} LLVM {version}"


def compiled(text: str) -> bytes:
    """Compile a module in LLVM's assembly language to an object file."""
    machine = _machine()
    context = llvm.create_context()  # all that is made of the text goes with it
    module = llvm.parse_assembly(text, context)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(LEVEL)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    code = bytes(machine.emit_object(module))
    module.close()
    return code


class Library:
    """The functions of an object file, in memory for as long as this object lives.

    Parameters
    ----------
    code : bytes
        The object file.
    """

    def __init__(self, code: bytes) -> None:
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def function(self, name: str, *arguments: Any) -> Callable[..., None]:
        """Return a function without a result; a call releases the GIL."""
        kind: Any = ctypes.CFUNCTYPE(None, *(arguments or (ctypes.c_void_p,)))
        function = kind(self._engine.get_function_address(name))
        function.library = self  # or its code would be gone
        return function  # type: ignore[no-any-return]


def _machine() -> Any:
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=LEVEL,
        codemodel="jitdefault",
        jit=True,
    )
