"""Models on this machine: what is installed, which is active, and the trial of a new one (docs/deploy.md)."""
