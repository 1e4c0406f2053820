"""The checks of a layer: gradients against derivatives, and causality."""
