"""Attributes per instance: crops, network, colour, evaluation, predictor."""
