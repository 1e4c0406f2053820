"""The cells' maths, compiled: for a whole sequence or a time step, forward and back.

The two functions of a cell are traced once, and compiled: for NumPy's arrays by LLVM,
through llvmlite, for CuPy's with its own compiler. On other libraries, where llvmlite is missing,
and where a cell cannot be traced, the functions run eagerly. The environment variable
``XPBPTT_FUSE=0`` turns all this off.

Threads: any number of them may use a net, also for the first time. A program is compiled once, by
the first thread that needs it; the others wait.

Fork: on NumPy a process may fork while its threads compile and train. The fork waits until no
thread traces or compiles, which takes seconds at most, and then the child may do anything.
That covers the locks and threads of this package; a BLAS of several threads and other libraries
have their own rules. A process that has used CUDA must not fork and then use CUDA in the child:
start it by ``spawn`` there.
"""

from xpbptt.kernels.find import TARGETS, VARIABLE, Compiled, find, target_of
from xpbptt.kernels.form import PLAIN, Form
from xpbptt.kernels.program import Buffer
from xpbptt.kernels.programs import Kind

__all__ = [
    "Buffer",
    "Compiled",
    "Form",
    "Kind",
    "PLAIN",
    "TARGETS",
    "VARIABLE",
    "find",
    "target_of",
]
