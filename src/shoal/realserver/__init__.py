"""The real server's side of direct routing: the virtual addresses on lo, and silence about them."""
