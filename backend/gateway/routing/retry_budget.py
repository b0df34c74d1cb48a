"""How many requests may be tried again: a share of all, so that a sick fleet is not asked twice as much."""

from backend.gateway.limits import RETRIES_PER_S_MIN, RETRY_BUDGET_S, RETRY_SHARE


class RetryBudget:
    """Counts requests and retries of the last `window_s` seconds, in as many buckets of a second.

    So many retries are left as `per_s_min` a second and `share` of the requests allow, less those that were made. As
    Finagle's `RetryBudget` and the retry budgets of Envoy's clusters do.
    """

    def __init__(
        self, share: float = RETRY_SHARE, per_s_min: float = RETRIES_PER_S_MIN, window_s: int = RETRY_BUDGET_S
    ) -> None:
        self._share = share
        self._reserve = per_s_min * window_s
        self._requests = [0] * window_s
        self._retries = [0] * window_s
        self._second = 0

    def request(self, now_s: float) -> None:
        """A request came."""
        self._requests[self._bucket(now_s)] += 1

    def retry(self, now_s: float) -> bool:
        """Whether one more retry is within the budget; then it is taken from it."""
        bucket = self._bucket(now_s)
        if sum(self._retries) + 1 > self._reserve + self._share * sum(self._requests):
            return False
        self._retries[bucket] += 1
        return True

    def _bucket(self, now_s: float) -> int:
        """The place of this second, after those that have passed since the last look were emptied."""
        second, size = int(now_s), len(self._requests)
        for passed in range(max(self._second + 1, second - size + 1), second + 1):
            self._requests[passed % size] = self._retries[passed % size] = 0
        self._second = max(self._second, second)
        return self._second % size
