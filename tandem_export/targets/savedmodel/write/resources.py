"""State that lives in the server and not in the checkpoint."""

from __future__ import annotations

import tensorflow as tf

from tandem_export.graphs import Shapes


class Resident(tf.saved_model.experimental.TrackableResource):
    """One array of state: zeros when the model is loaded, never written to disk.

    A `tf.Variable` would be saved with its zeros, as large as the caches are.
    """

    def __init__(self, name: str, shape: tuple[int, ...], dtype: tf.DType) -> None:
        super().__init__()
        self._name, self._shape, self._dtype = name, shape, dtype
        # Made now: inside the first function that is traced, XLA could not compile the handle.
        _ = self.resource_handle
        self._initialize()

    def _create_resource(self) -> tf.Tensor:
        return tf.raw_ops.VarHandleOp(
            dtype=self._dtype, shape=self._shape, shared_name=self._name, container=""
        )

    def _initialize(self) -> None:
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=self._first_value())

    def _first_value(self) -> tf.Tensor:
        return tf.zeros(self._shape, self._dtype)

    def _destroy_resource(self) -> None:
        tf.raw_ops.DestroyResourceOp(resource=self.resource_handle, ignore_lookup_error=True)

    def read(self) -> tf.Tensor:
        """Reads the variable's value."""
        value = tf.raw_ops.ReadVariableOp(resource=self.resource_handle, dtype=self._dtype)
        return tf.ensure_shape(value, self._shape)

    def assign(self, value: tf.Tensor) -> None:
        """Sets it."""
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=value)


class Epoch(Resident):
    """A number that every load of the model draws anew: a caller sees by it that state was lost."""

    def _first_value(self) -> tf.Tensor:
        # Both seeds 0: drawn from the operating system's own randomness.
        return tf.raw_ops.RandomUniformInt(
            shape=tf.constant(self._shape, tf.int32),
            minval=1,
            maxval=2**31 - 1,
            seed=0,
            seed2=0,
        )


def resident_state(shapes: Shapes) -> dict[str, Resident]:
    """Makes one resource for every name of the pool."""
    return {
        name: (Epoch if name == "epoch" else Resident)(
            f"tandem_{name}", leaf.shape, tf.as_dtype(leaf.dtype)
        )
        for name, leaf in shapes.items()
    }
