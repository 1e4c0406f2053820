"""Random nets, sizes, masks, strategies, layouts and cells: compiled runs against eager ones.

``nox -s fuzz`` runs it, for a minute and with a fresh seed that it prints. A failure is one line
that says how to have it again, with the simplest case found that fails in the same way:

    nox -s fuzz -- --seconds 600                 # for longer
    nox -s fuzz -- --seed 123 --case 45          # one case again, with its traceback

A new constant that says how much is done at once belongs into `constants`; a new argument of a net
into `case`, `draw` and `passes`.
"""
