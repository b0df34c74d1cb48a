"""Names in the environment by which a scenario is told what is wanted of it; without Locust, for whoever starts one."""

MODEL = "SWARMEX_LOAD_MODEL"  # that users ask for; by default the first that the market lists
RATE = "SWARMEX_LOAD_RATE_PER_S"  # at which a user sends requests
PAUSE = "SWARMEX_LOAD_PAUSE_S"  # between an answer and the next request
REPORT = "SWARMEX_LOAD_REPORT"  # the file for the milliseconds of all answers
