"""The manager: makes the fleet that runs equal to the fleet that is wanted."""
