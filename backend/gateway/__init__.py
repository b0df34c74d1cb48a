"""Real-time inference: sessions on leased nodes and the hot path to them. No pydantic, no threads per request."""
