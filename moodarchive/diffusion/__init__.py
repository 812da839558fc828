"""Diffusion models as training and the editor read them: parts of a folder, text states, emotions as conditions."""
