"""Defects planted into a copy of the package, each of which the test that is named must catch.

``nox -s mutants`` runs them all; ``nox -s mutants -- mask`` those with "mask" in what they say. A
mutant is a line in `planted`: a change of the source, and the test that stands against it.
"""
