"""Everything that touches Redis: wake-up events and queues of work. Losing all of it loses nothing."""
