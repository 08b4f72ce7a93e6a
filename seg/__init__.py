"""Masks from pixels: semantic segmentation, mask clean-up, mask metrics."""
