"""From photos to a prepared set: faces found, cut, grouped, split."""
