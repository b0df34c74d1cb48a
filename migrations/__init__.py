"""The schema's history; `swarmex init` brings a database to its head."""
