"""Many runs to one end: sweeps and reproductions."""
