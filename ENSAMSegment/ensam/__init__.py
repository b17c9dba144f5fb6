"""ENSAM: interactive segmentation of 3D medical images from a box and clicks.

Begin with `ensam.session.InteractiveSession`, which answers prompts on an image: `ensam.volume` reads images
and writes masks, `ensam.prompts` has the box, the points and their JSON.
"""

__version__ = "0.1.0"
