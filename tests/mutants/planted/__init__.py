"""The mutants, a module for each part of the project."""

from . import engines

MUTANTS = [*engines.MUTANTS]
