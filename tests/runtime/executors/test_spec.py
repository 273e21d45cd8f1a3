"""The names of executors."""

from __future__ import annotations

import pytest

from tandem_export.errors import ConfigError
from tandem_export.parity import VerifyOptions
from tandem_export.runtime.executors import ENGINES, ExecutorSpec, executor_names
from tandem_export.runtime.executors.host import openvino


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("jax", ExecutorSpec(engine="jax")),
        ("tensorflow", ExecutorSpec(engine="tensorflow")),
        ("onnxruntime", ExecutorSpec(engine="onnxruntime")),
        ("onnxruntime:mapped", ExecutorSpec(engine="onnxruntime", mapped=True)),
        ("openvino", ExecutorSpec(engine="openvino", precision="float32")),
        ("openvino:mapped", ExecutorSpec(engine="openvino", precision="float32", mapped=True)),
        ("openvino:bfloat16", ExecutorSpec(engine="openvino", precision="bfloat16")),
        (
            "openvino:bfloat16+mapped",
            ExecutorSpec(engine="openvino", precision="bfloat16", mapped=True),
        ),
        (
            "tf-serving:grpc://localhost:8500",
            ExecutorSpec(engine="tf-serving", address="grpc://localhost:8500"),
        ),
    ],
)
def test_names_by_hand(name: str, want: ExecutorSpec) -> None:
    assert ExecutorSpec.parse(name) == want
    assert str(want) == name
    assert ExecutorSpec.parse(want) is want


def test_the_order_of_options_and_a_default_change_nothing() -> None:
    one, other = map(ExecutorSpec.parse, ("openvino:mapped+bfloat16", "openvino:bfloat16+mapped"))
    assert one == other
    assert str(ExecutorSpec.parse("openvino:float32")) == "openvino"


def test_every_name_is_the_shortest_of_its_record() -> None:
    names = [name for name in executor_names() if name != "tf-serving:"]
    assert len(names) == len(set(names)) == 8
    assert [str(ExecutorSpec.parse(name)) for name in names] == names


RULE = (
    "`executor` must be an engine, perhaps with options: jax, onnxruntime[:mapped], "
    "openvino[:float32|bfloat16+mapped], tensorflow, tf-serving:ADDRESS. Got: "
)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cuda", "'cuda' is no engine"),
        ("", "'' is no engine"),
        ("jax:nonsense", "'nonsense' is no option of jax"),
        ("onnxruntime:bfloat16", "'bfloat16' is no option of onnxruntime"),
        ("openvino:int3", "'int3' is no option of openvino"),
        ("openvino:bfloat16+", "'' is no option of openvino"),
        ("openvino:bfloat16+float32", "openvino computes in one of float32 and bfloat16"),
        ("openvino:mapped+mapped", "'mapped' is there twice"),
        ("tf-serving", "tf-serving has no address, such as grpc://localhost:8500"),
        ("tf-serving:", "tf-serving has no address, such as grpc://localhost:8500"),
    ],
)
def test_one_error_says_what_is_wrong_with_a_name(name: str, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        ExecutorSpec.parse(name)
    assert str(raised.value) == f"{RULE}{name!r}: {why}"


def test_the_error_names_the_parameter() -> None:
    with pytest.raises(ConfigError, match=r"^`reference` must be an engine.*'cuda' is no engine$"):
        VerifyOptions(reference="cuda")


def test_openvino_has_a_setting_for_each_precision() -> None:
    assert set(openvino.PRECISIONS) == set(ENGINES["openvino"].precisions)
