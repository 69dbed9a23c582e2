"""Tests; a package, since a dependency ships one of the same name."""
