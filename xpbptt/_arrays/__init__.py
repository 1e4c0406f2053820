"""Arrays and trees of arrays: types, checks, namespaces, norms and initial weights."""
