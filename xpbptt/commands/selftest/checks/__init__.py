"""Values and gradients, each kind of check in its own file."""
