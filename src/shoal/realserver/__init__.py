"""The real server's side of direct routing and tunnels: virtual addresses on lo, and who opens tunnels' packets."""
