"""The process that this machine's agents are forked from: it has imported what they need, so they start at once.

Chrome and Android call theirs a zygote. Agents share its pages of memory, and nothing else: it knows no secret of the
market, and each gets its environment, its output and its title by a message over a socket that only their owner can
reach.
"""
