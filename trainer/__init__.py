"""From labelled photos to a model bundle: prepare, train, evaluate, export. Runs on a workstation, not on a device."""
