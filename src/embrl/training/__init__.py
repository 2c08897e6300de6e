"""Training: pure functions of one seed, and the loop that saves, reports and resumes them."""
