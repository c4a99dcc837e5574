"""Slow twins: a feature map pooled to a grid of regions, patch tokens put back on their grid."""

import math

import numpy as np


def pooled(features: np.ndarray, side: int) -> np.ndarray:
    """(D, h, w) -> (side * side, D): cell i covers rows from floor(i h / side) to ceil((i + 1) h / side)."""
    _, height, width = features.shape
    regions = []
    for i in range(side):
        for j in range(side):
            top, bottom = math.floor(i * height / side), math.ceil((i + 1) * height / side)
            left, right = math.floor(j * width / side), math.ceil((j + 1) * width / side)
            regions.append(features[:, top:bottom, left:right].mean(axis=(1, 2)))
    return np.stack(regions)


def token_map(tokens: np.ndarray, side: int) -> np.ndarray:
    """The last side * side of (tokens, D) on their grid, (D, side, side)."""
    placed = np.zeros((tokens.shape[1], side, side), dtype=tokens.dtype)
    first = len(tokens) - side * side
    for row in range(side):
        for column in range(side):
            placed[:, row, column] = tokens[first + row * side + column]
    return placed
