"""Trained policies for use elsewhere: as ONNX, as plain NumPy, and on files of observations."""
