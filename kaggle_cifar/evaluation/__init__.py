"""What probabilities are worth: accuracies, calibration, mistakes, and the figures of them."""
