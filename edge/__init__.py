"""mask-edge on the device: frames in, one decision per person out."""

__version__ = "0.1.0"
