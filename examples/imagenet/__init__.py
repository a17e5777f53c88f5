"""The default model: EfficientNet-Lite0 on ImageNet, converted from a PyPI package."""
