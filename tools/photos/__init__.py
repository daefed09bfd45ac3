"""Labelled photos in any of the usual layouts, checked before anything is trained on them."""

from tools.photos.checks import check_photos
from tools.photos.photo import Mark, Photo
from tools.photos.reading import add_arguments, check_good, options_of, read_photos

__all__ = [
    "Mark",
    "Photo",
    "add_arguments",
    "check_good",
    "check_photos",
    "options_of",
    "read_photos",
]
