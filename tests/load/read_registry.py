"""Users who look models up, by name, by id, in the list and in search."""

from locust import task

from tests.load.user import MarketUser


class ReadingUser(MarketUser):
    """Mostly the model that all use."""

    @task(8)
    def by_name(self) -> None:
        """What the model is now."""
        self.ask("GET", f"/api/v1/models/{self.model}", "by name", 200)

    @task(2)
    def the_list(self) -> None:
        """A page of all of them."""
        self.ask("GET", "/api/v1/models?limit=20", "the list", 200)

    @task(1)
    def one_that_is_not_there(self) -> None:
        """Told so, which is no failure."""
        self.ask("GET", "/api/v1/models/no-such-model", "one that is not there", 404)
