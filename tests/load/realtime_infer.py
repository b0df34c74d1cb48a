"""Users who send real-time inference requests over their session."""

from locust import task

from tests.load.user import MarketUser


class InferringUser(MarketUser):
    """One request after the other."""

    @task
    def infer(self) -> None:
        """A request and its answer."""
        path = f"/v2/models/{self.model}/infer"
        self.ask("POST", path, "infer", 200, json={"inputs": self.inputs}, headers={"Swarmex-Tier": self.tier})
