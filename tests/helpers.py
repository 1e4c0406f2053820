"""What tests share."""

from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from xpbptt.bptt import loop
from xpbptt.bptt.engines import compiled, compiled_back


@contextmanager
def largest_buffer(elements):
    """Have compiled passes run in chunks whose gates are at most so many elements."""
    most_steps = compiled.most_steps

    def limited(at_once, inputs):
        return most_steps(elements, inputs)

    with ExitStack() as stack:
        for module in (compiled, compiled_back):
            stack.enter_context(patch.object(module, "most_steps", limited))
        yield


def plant(monkeypatch, function, change):
    """Replace a function of the engines by ``change(engine, function, *arguments, **options)``."""
    choose = loop.choose

    def planted(*arguments, **options):
        engine = choose(*arguments, **options)
        real = getattr(engine, function)

        def changed(*arguments, **options):
            return change(engine, real, *arguments, **options)

        return engine._replace(**{function: changed})

    monkeypatch.setattr(loop, "choose", planted)
