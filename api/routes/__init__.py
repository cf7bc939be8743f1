"""The paths, one file per resource."""
