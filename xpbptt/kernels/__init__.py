"""The cells' maths, compiled: one kernel for all elements of a time step, forward and back.

The two functions of a cell are traced once. For NumPy's arrays they are compiled with Numba
(the extra ``fast``), or become few calls of NumPy that allocate nothing; for CuPy's they are
compiled with its own compiler. On other libraries, and wherever something cannot be traced, the
functions run as they are written. The environment variable ``XPBPTT_FUSE=0`` turns all this off.
"""

from xpbptt.kernels import cell as programs
from xpbptt.kernels import loops
from xpbptt.kernels.cell import Kind
from xpbptt.kernels.find import VARIABLE, Kernel, find, why_not
from xpbptt.kernels.program import Buffer
from xpbptt.kernels.stream import stream

__all__ = ["Buffer", "Kernel", "Kind", "VARIABLE", "find", "loops", "programs", "stream", "why_not"]
