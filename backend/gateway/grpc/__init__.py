"""The gRPC face of the gateway, in a process of its own.

Nothing else imports it: its messages and those of a client of the protocol have the same names, and one process can
hold only one of them.
"""
