"""What trains on a node's own data: trainers, the process that they run in, and what privacy they spend."""
