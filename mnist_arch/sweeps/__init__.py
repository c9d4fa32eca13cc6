"""Sweeps: many experiments, compared so that the comparison holds up."""
