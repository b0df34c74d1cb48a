"""Where agents run. A runtime starts, finds and stops them; it decides nothing."""
