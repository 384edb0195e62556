"""From a prepared set to a float network: draws, variation, recipes, runs."""
