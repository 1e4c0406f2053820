"""A net as data, and what follows from it: checks of arguments, memory and cost, draws, streams."""
