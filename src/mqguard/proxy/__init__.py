"""The guard in front of a cluster that already runs."""
