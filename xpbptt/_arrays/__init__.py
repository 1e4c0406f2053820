"""Arrays and trees of arrays: types, checks, namespaces, norms, initial weights and files."""
