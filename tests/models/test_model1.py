"""Model 1 has the student project's layers."""

from kaggle_cifar import models


def test_model1_has_the_published_layers():
    model = models.build("model1", {})
    kinds = [type(layer).__name__ for layer in model.layers]
    convolutions = ["Conv2D", "MaxPooling2D"] * 2 + ["Conv2D"]
    assert kinds == ["InputLayer", "Rescaling", *convolutions, "Flatten", "Dense", "Dense"]
    assert model.count_params() == 122_570
