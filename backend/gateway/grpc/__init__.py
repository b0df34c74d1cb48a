"""The gRPC face of the gateway, in a process of its own.

Nothing else imports it, so that whoever has no use for gRPC does not load it. Its messages have the same names as those
of a client of the protocol; each file of them has a pool of its own, and both can be in one process.
"""
