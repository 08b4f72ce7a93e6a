"""The bundles that ship with the package, and how a bundle is read and written."""
