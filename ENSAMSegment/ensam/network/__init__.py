"""The network, one file a concept."""

from ensam.network.attention import renormalise_
from ensam.network.config import NetworkConfig
from ensam.network.model import ENSAM, ImageFeatures
from ensam.network.prompt_encoder import PromptTensors

__all__ = ["ENSAM", "ImageFeatures", "NetworkConfig", "PromptTensors", "renormalise_"]
