"""The recipes of airbench have its published settings."""

from kaggle_cifar import recipes


def test_airbench_recipes_have_the_published_settings():
    sizes = [recipes.airbench94(), recipes.airbench95(), recipes.airbench96()]
    assert [recipe.epochs for recipe in sizes] == [9.9, 15, 37]
    assert [recipe.learning_rate for recipe in sizes] == [1.5, 1.304, 1.174]
    assert [recipe.sgd.weight_decay for recipe in sizes] == [1.330e-3, 1.53e-3, 1.333e-3]
    assert [recipe.augmentation.translate for recipe in sizes] == [2, 2, 4]
    assert [recipe.augmentation.cutout for recipe in sizes] == [0, 0, 12]
    assert [recipe.schedule.peak for recipe in sizes] == [0.23, 0.23, 0.1]
    assert [recipe.schedule.end for recipe in sizes] == [0.07, 0.07, 0]
    for recipe in sizes:
        assert (recipe.batch_size, recipe.label_smoothing) == (1024, 0.2)
        assert (recipe.sgd.momentum, recipe.sgd.bias_scaler) == (0.85, 64)
        assert recipe.lookahead == recipes.Lookahead(every=5, decay=0.95)
        assert (recipe.whitening_bias_epochs, recipe.schedule.start) == (3, 0.2)


def test_airbench97_has_its_settings():
    recipe = recipes.airbench97()
    assert recipe.network_options["widths"] == [192, 576, 768]
    assert (recipe.network_options["convs_per_block"], recipe.epochs) == (3, 100)
    assert (recipe.learning_rate, recipe.sgd.weight_decay) == (1.04, 1.33e-3)
    assert recipe.augmentation == recipes.Augmentation("alternating", translate=4, cutout=12)
    assert recipe.progressive_resizing == recipes.ProgressiveResizing(size=24, share=0.3)
    proxy = recipes.ProxyFiltering({"widths": [32, 64, 64]}, share=0.5, every=4)
    assert recipe.filtering == proxy
