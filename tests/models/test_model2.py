"""Model 2 has the student project's layers."""

from kaggle_cifar import models


def test_model2_has_the_published_layers():
    model = models.build("model2", {})
    kinds = [type(layer).__name__ for layer in model.layers]
    convolutions = ["Conv2D", "MaxPooling2D"] * 3
    dense = ["Dense", "Dropout", "Dense", "Dense"]
    assert kinds == ["InputLayer", "Rescaling", *convolutions, "Flatten", *dense]
    assert model.layers[-3].rate == 0.5
    assert model.count_params() == 167_818
