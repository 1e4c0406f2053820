"""The calls of a net, one concept a file, each a class that `Net` is put together from."""
