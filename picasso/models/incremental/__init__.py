"""Occlusion on a layer graph: what a hidden window does not change is computed once. For worker processes only."""
