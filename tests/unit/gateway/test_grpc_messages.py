"""The messages of the gRPC face: made from their description as it is, and the public protocol's in every number."""

import subprocess
import sys
from pathlib import Path

import orjson
from tritonclient.grpc import service_pb2 as theirs_pb2

from backend.gateway.grpc import protocol_pb2 as pb

ROOT = Path(__file__).parents[3]
MADE = Path("backend/gateway/grpc")
# In processes of their own: each tells all that its file says.
TOLD = """
import json
from {module} import {names}
told = {{}}
def tell(message):
    for field in message.fields:
        kind = field.message_type or field.enum_type
        told[f"{{message.full_name}}.{{field.name}}"] = [
            field.number, field.type, field.is_repeated, kind.full_name if kind else None]
    for inner in message.nested_types:
        tell(inner)
for file in ({names},):
    for message in file.DESCRIPTOR.message_types_by_name.values():
        tell(message)
    for enum in file.DESCRIPTOR.enum_types_by_name.values():
        told.update({{value.name: value.number for value in enum.values}})
    for service in file.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            told[method.full_name] = [method.input_type.full_name, method.output_type.full_name]
print(json.dumps(told))
"""


def told(module: str, names: str) -> dict[str, object]:
    """Every field with its number and type, every value and every method."""
    script = TOLD.format(module=module, names=names)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT, check=True)
    found: dict[str, object] = orjson.loads(ran.stdout)
    return found


def test_the_messages_are_made_from_their_description_as_it_is(tmp_path: Path) -> None:
    subprocess.run([ROOT / "scripts/grpc-messages", "--into", tmp_path], env={"PYTHON": sys.executable}, check=True)
    for name in ("protocol_pb2.py", "protocol_pb2.pyi", "health_pb2.py", "health_pb2.pyi"):
        assert (tmp_path / MADE / name).read_text() == (ROOT / MADE / name).read_text(), "run scripts/grpc-messages"


def test_a_clients_messages_of_the_same_names_can_be_in_the_same_process() -> None:
    tensor = theirs_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    sent = theirs_pb2.ModelInferRequest(model_name="scale", inputs=[tensor])
    read = pb.ModelInferRequest.FromString(sent.SerializeToString())
    assert (read.model_name, list(read.inputs[0].shape)) == ("scale", [1, 4])
    assert theirs_pb2.ModelInferRequest.FromString(read.SerializeToString()) == sent


def test_names_and_numbers_are_those_of_the_public_protocol() -> None:
    ours = told("backend.gateway.grpc", "protocol_pb2")
    theirs = told("tritonclient.grpc", "service_pb2, model_config_pb2")
    assert len(ours) > 100
    assert ours == {name: theirs.get(name) for name in ours}
