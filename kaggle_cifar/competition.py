"""The facts of the competition. This module imports nothing."""

SLUG = "cifar-10"
PAGE = f"https://www.kaggle.com/competitions/{SLUG}"
RULES_PAGE = f"{PAGE}/rules"

# In the order of the labels 0 to 9, spelled as in Kaggle's files.
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

IMAGE_SIZE = 32  # pixels, height and width
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)

TRAIN_COUNT = 50_000
TEST_COUNT = 300_000
SCORED_COUNT = 10_000  # the others are fillers that prevent labelling by hand

TRAIN_ARCHIVE = "train.7z"
TEST_ARCHIVE = "test.7z"
TRAIN_LABELS = "trainLabels.csv"
SAMPLE_SUBMISSION = "sampleSubmission.csv"
FILES = (TRAIN_LABELS, SAMPLE_SUBMISSION, TRAIN_ARCHIVE, TEST_ARCHIVE)
