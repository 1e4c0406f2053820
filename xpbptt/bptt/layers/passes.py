"""Passes that stop where they have a loop over time run, so that two may be run at once.

A pass is a generator: it yields each `Call` and goes on once that has been run. Run alone, calls
are run as they come. Of two passes side by side, as the directions of a layer are, the target runs
two calls at once where it can.
"""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from xpbptt.kernels.target import Call

ResultT = TypeVar("ResultT")
Steps = Generator[Call, None, ResultT]


class Pass(NamedTuple):
    """A pass of a layer that can be called like any other, and run beside another.

    Attributes
    ----------
    steps : callable
        Returns the generator, given what the pass takes.
    """

    steps: Callable[..., Steps[Any]]

    def __call__(self, *given: Any, **options: Any) -> Any:
        """Run the pass alone."""
        return alone(self.steps(*given, **options))


def steps(function: Callable[..., Any]) -> Callable[..., Steps[Any]]:
    """Return the generator of a pass; that of any other function yields nothing."""
    if isinstance(function, Pass):
        return function.steps

    def generator(*given: Any, **options: Any) -> Steps[Any]:
        yield from ()
        return function(*given, **options)

    return generator


def alone(generator: Steps[ResultT]) -> ResultT:
    """Run a pass to its end and return what it returns."""
    while True:
        try:
            call = next(generator)
        except StopIteration as end:
            result: ResultT = end.value
            return result
        call.run(*call.given)
        del call  # or its arrays are still there when the next ones are made


def together(one: Steps[Any], other: Steps[Any]) -> tuple[Any, Any]:
    """Run two passes to their ends, two calls at once where the target can."""
    first = _Running(one)
    pair = first.pair
    if pair is None:
        return first.end(), alone(other)
    second = _Running(other)
    while first.call is not None and second.call is not None:
        if pair(first.call, second.call):
            first.go_on()
            second.go_on()
        else:
            first.run()
            second.run()
    return first.end(), second.end()


class _Running:
    """A pass under way, up to a call that has not been run; at its end there is none."""

    call: Call | None
    result: Any

    def __init__(self, generator: Steps[Any]) -> None:
        self.generator = generator
        self.go_on()

    @property
    def pair(self) -> Callable[[Call, Call], bool] | None:
        """What runs two calls at once; None where there is nothing to run, or nothing that can."""
        return None if self.call is None else self.call.pair

    def go_on(self) -> None:
        """Go on to the next call."""
        self.call = None  # or its arrays are still there when the next ones are made
        try:
            self.call = next(self.generator)
        except StopIteration as end:
            self.result = end.value

    def run(self) -> None:
        """Run the call, and go on."""
        if self.call is not None:
            self.call.run(*self.call.given)
        self.go_on()

    def end(self) -> Any:
        """Run what is left, and return what the pass returns."""
        while self.call is not None:
            self.run()
        return self.result
