"""Count the calls that Python makes, for itself and to reach the device."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = str(Path(__file__).parent)


def calls(function: Callable[[], Any]) -> Counter[str]:
    """Count the function calls of Python by name; what the simulator itself calls is left out.

    A call of CUDA or cuBLAS counts as one, and what Cython calls inside of CuPy is not seen.
    """
    found: Counter[str] = Counter()
    inside = 0  # calls within the simulator that have not returned

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal inside
        if event == "call":
            if not inside:
                found[frame.f_code.co_qualname] += 1
            if inside or frame.f_code.co_filename.startswith(HERE):
                inside += 1
        elif event == "return" and inside:
            inside -= 1
        elif event == "c_call" and not inside:
            found[argument.__qualname__] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return found
