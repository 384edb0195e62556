"""From a run to the bundle that doors load: integers, gates, card."""
