"""The daemon for a hundred thousand frames, with a fault every few thousand: does it stay as it was on the first day?

``make test-soak`` (three minutes) and ``make soak`` (all of it).
"""
