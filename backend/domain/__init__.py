"""The rules of the market as plain functions and frozen dataclasses: no I/O, no clock, no hidden randomness."""
