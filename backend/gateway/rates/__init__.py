"""How much each key may ask for: limits shared by all gateways, at a trip to Redis per block of requests."""
