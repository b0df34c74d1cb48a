"""The market: rules, storage, services, and the faces that people and programs use."""

import os

# ONNX Runtime reports to its makers unless told not to before it is imported; a market's machines report to nobody.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
