"""What the protocol tells about models and servers."""

from datetime import UTC, datetime

from backend.domain import serving
from backend.domain.serving import ModelStatistics
from backend.domain.tensors import DATATYPES, Signature, TensorSpec

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MODEL = Signature((TensorSpec("x", "FP32", (-1, 2)), TensorSpec("t", "BYTES", (1,))), (TensorSpec("y", "INT64", ()),))


def test_a_configuration_names_types_and_whole_dimensions() -> None:
    config = serving.model_config("m", MODEL)
    assert config["input"] == [
        {"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 2]},
        {"name": "t", "data_type": "TYPE_STRING", "dims": [1]},
    ]
    assert config["output"] == [{"name": "y", "data_type": "TYPE_INT64", "dims": []}]
    assert (config["name"], config["max_batch_size"]) == ("m", 0)
    assert len({serving.config_type(name) for name in DATATYPES}) == len(DATATYPES)


def test_metadata_lists_versions_as_texts() -> None:
    told = serving.model_metadata("m", [1, 3], MODEL)
    assert (told["name"], told["versions"]) == ("m", ["1", "3"])
    assert told["outputs"] == [{"name": "y", "datatype": "INT64", "shape": []}]
    assert serving.server_metadata("me")["name"] == "me"
    assert serving.index_entry("m", 2) == {"name": "m", "version": "2", "state": "READY", "reason": ""}
    assert serving.no_shared_memory().code == "shared_memory_not_offered"


def test_statistics_add_up_and_merge() -> None:
    one, other = ModelStatistics(), ModelStatistics()
    one.served(NOW, rows=3, queue_ns=5, infer_ns=7)
    one.served(NOW, rows=1, queue_ns=0, infer_ns=1)
    other.failed(11)
    told = one.merged(other).to_wire("m", 2)
    assert (told["name"], told["version"]) == ("m", "2")
    assert (told["inference_count"], told["execution_count"]) == (4, 2)
    assert told["last_inference"] == int(NOW.timestamp() * 1_000)
    stats = told["inference_stats"]
    assert stats["success"] == {"count": 2, "ns": 13}
    assert stats["queue"] == {"count": 2, "ns": 5}
    assert stats["compute_infer"] == {"count": 2, "ns": 8}
    assert stats["fail"] == {"count": 1, "ns": 11}
    assert stats["cache_hit"] == {"count": 0, "ns": 0}
    assert other.inferences == 0
