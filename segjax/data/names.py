"""Names of files and cases: which endings they have, and by what two of them are compared."""

import unicodedata

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif")
NIFTI = (".nii", ".nii.gz")
VOLUMES = (*NIFTI, ".mha", ".mhd", ".nrrd")
_LONGEST_FIRST = sorted((*PICTURES, *VOLUMES), key=len, reverse=True)


def composed(name: str) -> str:
    """A name with composed letters: macOS may write é as two characters, tables as one."""
    return unicodedata.normalize("NFC", name)


def key(name: str) -> str:
    """What a name is compared by: its composed letters, in lower case."""
    return composed(name).lower()


def stem(name: str) -> str:
    """A name without the ending of a picture or volume; any other dot is part of the name."""
    ending = next((end for end in _LONGEST_FIRST if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)] or name
