"""ENSAM: interactive segmentation of 3D medical images from a box and clicks."""

__version__ = "0.1.0"
