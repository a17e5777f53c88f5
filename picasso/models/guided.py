"""Guided backpropagation: what a ReLU hands back is cut off below zero, and why some networks have none.

Backward of a ReLU y is g * (g > 0) * (y > 0). The second factor is that of the ReLU itself, so that cutting off what
comes back to its output is all that it takes.

Source: Springenberg, Dosovitskiy, Brox & Riedmiller 2014, "Striving for Simplicity: The All Convolutional Net",
section 3.4.
"""

from __future__ import annotations

PRODUCTS = {  # layers of Keras, functions of keras.ops, operations of TensorFlow
    *("Multiply", "Mul", "Divide", "TrueDivide", "RealDiv", "Dot", "Matmul", "MatMul", "Einsum", "Tensordot"),
    *("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"),
}
RULE = "Guided backpropagation is defined for networks of ReLUs"


def other_activation(path: str, activation: str) -> str:
    """Why there is none: an activation that is no ReLU."""
    return f"{RULE}, and the activation of {path} is another one: {activation}. Choose another method."


def cannot_see(path: str, kind: str) -> str:
    """Why there is none: a layer that may have activations inside."""
    return f"{RULE}, and Picasso cannot see which activations {path} ({kind}) has. Choose another method."
