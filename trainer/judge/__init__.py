"""How good a model is, and on which faces it fails."""
