"""The external agent: stands for nodes that are a server of somebody else's, so that nothing else differs."""
