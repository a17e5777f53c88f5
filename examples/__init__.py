"""Models and plugins to start from. A regular package, so that no other installed `examples` comes before it."""
