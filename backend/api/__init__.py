"""The HTTP face of the market: thin routes, wire schemas and the error table; every rule lives in the services."""
