"""MRML adapters of the trainer: cases out of scenes, the training process, results in the views. No Qt."""
