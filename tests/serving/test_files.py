from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2 as log
from tensorflow_serving.config import model_server_config_pb2 as config

from tandem_export.serving.files import WARMUP, write_serving_files
from tests.serving.bundles import SLOTS, local, model_folder, rounds_only

# protobuf makes its classes when the module is loaded.
_SERVER_CONFIG: Any = getattr(config, "ModelServerConfig")  # noqa: B009
_LOG: Any = getattr(log, "PredictionLog")  # noqa: B009


def test_every_warm_up_request_is_good_and_touches_no_slot() -> None:
    """Sent one by one to the model, as a server replays them."""
    model, folder = local("rounds"), model_folder(rounds_only())
    records = tf.data.TFRecordDataset(str(folder / WARMUP)).as_numpy_iterator()
    requests = [_LOG.FromString(record).predict_log.request for record in records]
    names = [request.model_spec.signature_name for request in requests]
    assert sorted([*names, "claim", "release"]) == sorted(model.signatures)
    for request in requests:
        assert request.model_spec.name == "tandem"
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        model.call(request.model_spec.signature_name, inputs)
        assert set(inputs["slots"].tolist()) == {SLOTS}


def test_the_models_config_is_one_that_the_server_parses() -> None:
    text = (model_folder(rounds_only()).parent / "models.config").read_text()
    parsed = text_format.Parse(text, _SERVER_CONFIG())
    (only,) = parsed.model_config_list.config
    assert (only.name, only.base_path, only.model_platform) == (
        "tandem",
        "/models/tandem",
        "tensorflow",
    )


@pytest.mark.parametrize("batches", [(1, 4), ()], ids=["generate", "no-generate"])
def test_batching_allows_the_batch_buckets(tmp_path, batches) -> None:
    write_serving_files(tmp_path, 3, "m", {}, batches, scratch=0)
    assert (tmp_path / "3" / WARMUP).exists()
    path = tmp_path / "batching_parameters.txt"
    assert path.exists() == bool(batches)
    if batches:
        lines = path.read_text().splitlines()
        assert [line for line in lines if line.startswith("allowed")] == [
            "allowed_batch_sizes: 1",
            "allowed_batch_sizes: 4",
        ]
        assert "max_batch_size { value: 4 }" in lines


def test_saved_model_cli_shows_and_runs_it() -> None:
    tool = Path(sys.executable).with_name("saved_model_cli")
    where = ["--dir", str(model_folder(rounds_only())), "--tag_set", "serve"]
    shown, ran = (
        subprocess.run([tool, *command], capture_output=True, text=True, check=True).stdout
        for command in (
            ["show", *where, "--signature_def", "round_b1_g1"],
            ["run", *where, "--signature_def", "claim", "--input_exprs", "owner=[5]"],
        )
    )
    assert "inputs['slots'] tensor_info:" in shown
    assert "Result for output key slots:\n[0]" in ran
