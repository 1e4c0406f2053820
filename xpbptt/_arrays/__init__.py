"""What every part of the package needs of arrays and of trees of them."""
