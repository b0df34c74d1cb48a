"""The market: rules, storage, services, and the faces that people and programs use."""

import gc
import os
import sys

# ONNX Runtime reports to its makers unless told not to before it is imported; a market's machines report to nobody.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# New objects between two collections, instead of Python's 700. Imports make some hundred thousand objects and batches
# of a thousand orders 50,000, none of it in cycles: collections took a sixth of every start, and a quarter of settling.
gc.set_threshold(50_000, 20, 20)

# redis-py imports OpenTelemetry's metrics for figures of its own that nobody asks for: forty modules of every start.
sys.modules.setdefault("opentelemetry.sdk.metrics", None)  # type: ignore[arg-type]  # as if it was not installed
