"""From labelled photos to a model bundle: prepare, train, evaluate, export. Runs on a workstation, never on a device."""
