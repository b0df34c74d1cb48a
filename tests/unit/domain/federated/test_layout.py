"""A file of weights from a machine that nobody trusts is taken as safetensors describes it, or refused by a code."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.federated.faults import Fault, UpdateRejected
from backend.domain.federated.layout import (
    ALIGNED_BYTES,
    DIMENSIONS_MAX,
    HEADER_BYTES_MAX,
    NAME_CHARS_MAX,
    TENSORS_MAX,
    DType,
    Layout,
    TensorPlace,
    read_header,
    write_header,
)
from tests.unit.domain.federated.files import entry, framed
from tests.unit.domain.refusals import refusal

TWO = {"a": entry(0, 8, [2]), "b": entry(8, 12, [])}
RIGHT = framed(TWO, bytes(12))


def fault(data: bytes) -> str:
    """By which code a file is refused."""
    error = refusal(lambda: read_header(memoryview(data)))
    assert isinstance(error, UpdateRejected)
    assert (error.field, error.fault) == ("update", error.code)
    return error.code


def test_tensors_are_known_by_name_shape_and_where_their_numbers_begin() -> None:
    header = read_header(memoryview(RIGHT))
    assert header.layout == Layout((TensorPlace("a", DType.F32, (2,)), TensorPlace("b", DType.F32, ())))
    assert header.offsets == (len(RIGHT) - 12, len(RIGHT) - 4)
    assert header.layout.size == 3


def test_tensors_are_in_order_of_their_names_wherever_the_file_has_them() -> None:
    header = read_header(memoryview(framed({"b": entry(0, 4, [1]), "a": entry(4, 6, [1], "F16")}, bytes(6))))
    assert [tensor.name for tensor in header.layout.tensors] == ["a", "b"]
    assert header.offsets[0] == header.offsets[1] + 4


def test_a_file_that_was_cut_anywhere_is_truncated() -> None:
    assert {fault(RIGHT[:size]) for size in range(len(RIGHT))} == {Fault.TRUNCATED}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(RIGHT + b"\0", Fault.INVALID_HEADER, id="a byte too many"),
        pytest.param(
            framed({"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}, bytes(12)), Fault.INVALID_HEADER, id="overlap"
        ),
        pytest.param(
            framed({"a": entry(0, 8, [2]), "b": entry(0, 8, [2])}, bytes(8)), Fault.INVALID_HEADER, id="aliases"
        ),
        pytest.param(
            framed({"a": entry(0, 8, [2]), "b": entry(12, 16, [1])}, bytes(16)), Fault.INVALID_HEADER, id="gap"
        ),
        pytest.param(framed({"a": entry(4, 8, [1])}, bytes(8)), Fault.INVALID_HEADER, id="gap before the first"),
        pytest.param(framed({"a": entry(8, 0, [-2])}, bytes(8)), Fault.INVALID_HEADER, id="backwards"),
        pytest.param(framed({"a": entry(0, 8, [3])}, bytes(8)), Fault.INVALID_HEADER, id="another size than its shape"),
        pytest.param(framed({"a": entry(0, 8, [2.0])}, bytes(8)), Fault.INVALID_HEADER, id="a fraction as dimension"),
        pytest.param(framed({"a": entry(0, 4, [True])}, bytes(4)), Fault.INVALID_HEADER, id="a truth as dimension"),
        pytest.param(framed({"a": entry(0, 4, 1)}, bytes(4)), Fault.INVALID_HEADER, id="a number as shape"),
        pytest.param(
            framed({"a": entry(0, 4, [1] * (DIMENSIONS_MAX + 1))}, bytes(4)), Fault.INVALID_HEADER, id="many dimensions"
        ),
        pytest.param(framed({"a": entry(0, 4, [10**30, 10**30])}, bytes(4)), Fault.INVALID_HEADER, id="astronomical"),
        pytest.param(
            framed({"a": entry(0, 10**400, [10**400 // 4])}), Fault.TRUNCATED, id="astronomical and consistent"
        ),
        pytest.param(framed({"a": entry(0, 8, [1], "F64")}, bytes(8)), Fault.WRONG_DTYPE, id="double precision"),
        pytest.param(framed({"a": entry(0, 2, [1], "BF16")}, bytes(2)), Fault.WRONG_DTYPE, id="brain floats"),
        pytest.param(framed({"a": entry(0, 2, [1], ["F16"])}, bytes(2)), Fault.WRONG_DTYPE, id="a list as dtype"),
        pytest.param(framed({"a": {"dtype": "F32", "shape": []}}, bytes(4)), Fault.INVALID_HEADER, id="no offsets"),
        pytest.param(
            framed({"a": entry(0, 4, []) | {"x": 1}}, bytes(4)), Fault.INVALID_HEADER, id="more than the format"
        ),
        pytest.param(framed({"a": [1]}, bytes(4)), Fault.INVALID_HEADER, id="no description"),
        pytest.param(
            framed({"a" * (NAME_CHARS_MAX + 1): entry(0, 4, [])}, bytes(4)), Fault.INVALID_HEADER, id="long name"
        ),
        pytest.param(
            framed({"__metadata__": {"a": 1}} | TWO, bytes(12)), Fault.INVALID_HEADER, id="metadata of numbers"
        ),
        pytest.param(framed({"__metadata__": "a"} | TWO, bytes(12)), Fault.INVALID_HEADER, id="metadata of text"),
        pytest.param(framed({}), Fault.WRONG_NAMES, id="no tensors"),
        pytest.param(
            framed({str(n): entry(0, 0, [0]) for n in range(TENSORS_MAX + 1)}), Fault.WRONG_NAMES, id="too many"
        ),
        pytest.param(framed([TWO], bytes(12)), Fault.INVALID_HEADER, id="a list"),
        pytest.param(framed(b" " + json.dumps(TWO).encode(), bytes(12)), Fault.INVALID_HEADER, id="a space before"),
        pytest.param(framed(b'{"a":NaN}'), Fault.INVALID_HEADER, id="no JSON"),
        pytest.param(framed(b'{"a":"\xff"}'), Fault.INVALID_HEADER, id="no UTF-8"),
        pytest.param(framed(b'{"a":' * 100_000), Fault.INVALID_HEADER, id="deep"),
        pytest.param(
            framed(b'{"a":' + b"9" * 10_000 + b"}"), Fault.INVALID_HEADER, id="a number of ten thousand digits"
        ),
        pytest.param((HEADER_BYTES_MAX + 1).to_bytes(8, "little") + b"{}", Fault.TOO_LARGE, id="a huge header"),
        pytest.param(b"\xff" * 64, Fault.TOO_LARGE, id="anything"),
    ],
)
def test_a_file_that_is_not_as_the_format_asks_is_refused_by_a_code(data: bytes, code: str) -> None:
    assert fault(data) == code


def test_a_name_twice_is_refused_although_json_would_take_the_second() -> None:
    one = json.dumps(entry(0, 4, [1]))
    assert fault(framed(f'{{"a":{one},"a":{one}}}'.encode(), bytes(4))) == Fault.INVALID_HEADER


def test_files_of_one_header_share_what_was_read_of_it_and_are_still_checked_each() -> None:
    assert read_header(memoryview(RIGHT)).layout is read_header(memoryview(bytes(RIGHT[:-1]) + b"\x01")).layout
    assert fault(RIGHT[:-4]) == Fault.TRUNCATED
    assert fault(RIGHT + bytes(4)) == Fault.INVALID_HEADER


def test_spaces_after_the_header_and_metadata_are_what_the_format_allows() -> None:
    data = framed({"__metadata__": {"format": "pt"}} | TWO, bytes(12), padding=5)
    assert read_header(memoryview(data)).layout == read_header(memoryview(RIGHT)).layout


@given(noise=st.binary(max_size=300), at=st.integers(0, len(RIGHT)))
def test_noise_is_refused_by_one_of_the_codes_and_never_fails_otherwise(noise: bytes, at: int) -> None:
    data = RIGHT[:at] + b"\xfe" + noise  # which no header has
    if at < len(RIGHT) - 12:
        assert fault(data) in list(Fault)
    elif len(data) != len(RIGHT):
        assert fault(data) in (Fault.TRUNCATED, Fault.INVALID_HEADER)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__" and name.isprintable()),
        st.lists(st.integers(0, 3), max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_a_header_that_was_written_reads_as_it_was_and_its_numbers_are_aligned(shapes: dict[str, list[int]]) -> None:
    layout = Layout(tuple(TensorPlace(name, DType.F32, tuple(shape)) for name, shape in sorted(shapes.items())))
    head = write_header(layout)
    assert read_header(memoryview(head + bytes(4 * layout.size))).layout == layout
    assert len(head) % ALIGNED_BYTES == 0


A = TensorPlace("a", DType.F32, (2, 3))


@pytest.mark.parametrize(
    ("other", "code"),
    [
        pytest.param(Layout((TensorPlace("b", DType.F32, (2, 3)),)), Fault.WRONG_NAMES, id="another name"),
        pytest.param(Layout((A, TensorPlace("b", DType.F32, ()))), Fault.WRONG_NAMES, id="one more"),
        pytest.param(Layout((TensorPlace("a", DType.F32, (3, 2)),)), Fault.WRONG_SHAPE, id="turned round"),
        pytest.param(Layout((TensorPlace("a", DType.F32, (6,)),)), Fault.WRONG_SHAPE, id="flat"),
    ],
)
def test_another_model_does_not_fit(other: Layout, code: str) -> None:
    assert refusal(lambda: Layout((A,)).check_fits(other)).code == code


def test_half_precision_fits_as_well() -> None:
    Layout((A,)).check_fits(Layout((TensorPlace("a", DType.F16, (2, 3)),)))
