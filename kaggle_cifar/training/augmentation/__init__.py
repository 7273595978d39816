"""Random changes of the training images, as functions of numbers that were drawn before.

Takes a batch of pixels and each image's draws, gives the changed pixels, leaves nothing on disk.
`augmenter` has all changes of a recipe. The other modules have the single ones.
"""
