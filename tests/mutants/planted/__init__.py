"""The mutants, a module for each part of the project."""

from . import cells, doors, ecosystem, engines, files, train

MUTANTS = [
    *engines.MUTANTS,
    *cells.MUTANTS,
    *doors.MUTANTS,
    *files.MUTANTS,
    *train.MUTANTS,
    *ecosystem.MUTANTS,
]
