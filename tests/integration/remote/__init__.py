"""Nodes of other people, over real HTTP."""
