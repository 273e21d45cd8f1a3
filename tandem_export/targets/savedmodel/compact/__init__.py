"""Makes the SavedModel that TensorFlow wrote portable and small."""
