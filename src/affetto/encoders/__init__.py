"""Encoders: sequences in, contextual sequences out; parts of models, trained or frozen."""
