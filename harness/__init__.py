"""CRCL Harness: reproduce, compare and extend methods for noisy correspondence in image-text matching."""

__version__ = "0.2.0"
