"""The flags of `segjax data`."""

import os

from segjax.cli import data
from segjax.cli.flags import Parser, a_path

PREPARE = """An official download is named by its set: `segjax data prepare idrid --manual_dir DIR`.
A folder of your own becomes a set with the name that you give it:

  segjax data prepare folder --images DIR --masks DIR --name my_vessels
  segjax data prepare folder --images DIR --points TABLE.csv --name foveas
  segjax data prepare folder --images DIR --findings TABLE.csv --name findings
  segjax data prepare nnunet --manual_dir DIR --name livers     # imagesTr, labelsTr, dataset.json

It prints what it understood and draws a contact sheet before anything is stored; the folder itself
is only read. `--config.data.name=my_vessels` then trains on it.

Run again, it holds the set to the files that it was made of, by name, size and time, and by content
where only the time differs: so a download may be moved. Where they have changed, or a file of the
set is damaged, it names them and leaves the set as it is; --overwrite prepares it anew, unless
another process uses it, such as a training.
"""
LIST = """\
Of a prepared set: how many cases each split has, its size on disk, that of its caches (volumes that
were preprocessed), and its folder in DATA_DIR. Caches of no prepared set are listed as such.
"""
REMOVE = """\
  segjax data remove idrid/grading     # one configuration; `idrid` will do where no other is there
  segjax data remove my_vessels        # its contact sheet too; the folder it was made of stays
  segjax data remove acdc --caches     # only what is preprocessed, which training makes again

Nothing is asked. A generated set is made again when it is used; a download is needed once more.
Where no set of the name lies, what a refused, killed or dry run has left is removed.
Plans, experiment files and runs stay; the plans of the set in DATA_DIR/plans are named.
"""


def add_data(verbs) -> None:
    """The verbs prepare, show, list and remove."""
    parser = verbs.add_parser("data", help="Prepare, show, list and remove data sets.")
    inner = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_prepare(inner)
    show = _verb(
        inner, "show", data.show, "Write a contact sheet of a prepared set, annotations drawn in."
    )
    _add_name(show)
    _add_data_dir(show)
    show.add_argument("--split", default="train", help="default: train")
    show.add_argument("--count", type=int, default=12, help="images on the sheet; default: 12")
    show.add_argument("--output", type=a_path, metavar="FILE", help="default: NAME.png")
    about = "List the data sets, which are prepared, where, how large."
    listing = _verb(inner, "list", data.listing, about, LIST)
    about = "Remove a prepared set and what is preprocessed from it."
    remove = _verb(inner, "remove", data.remove, about, REMOVE)
    _add_name(remove)
    for verb in (listing, remove):
        _add_data_dir(verb)
        verb.add_argument(
            "--cache_dir",
            type=os.path.expanduser,
            metavar="DIR",
            help="the folder of preprocessed volumes; default: DATA_DIR/preprocessed",
        )
    remove.add_argument(
        "--caches", action="store_true", help="only what is preprocessed; the set stays"
    )


def _add_prepare(inner) -> None:
    about = "Read an official download or a folder of your own, check it, and store it once."
    parser = _verb(inner, "prepare", data.prepare, about, PREPARE)
    _add_name(parser, "; or folder, nnunet")
    parser.add_argument(
        "--manual_dir",
        type=os.path.expanduser,
        metavar="DIR",
        help="the folder of the official download, or in nnU-Net's layout",
    )
    parser.add_argument(
        "--fovea",
        type=os.path.expanduser,
        metavar="RUN",
        help="idrid/findings: a trained work folder that predicts the fovea where it is not "
        "annotated",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="prepare it anew where its source has changed, or it is damaged; the old set stays "
        "until then",
    )
    _add_data_dir(parser)
    _add_folder(parser)


def _add_name(parser: Parser, more: str = "") -> None:
    about = f"data set, or data set/config: idrid/grading{more}"
    parser.add_argument("name", metavar="NAME", help=about)


def _add_data_dir(parser: Parser) -> None:
    parser.add_argument(
        "--data_dir", type=os.path.expanduser, default="data", metavar="DIR", help="default: data"
    )


def _verb(inner, name: str, run, help_text: str, more: str = "") -> Parser:
    parser = inner.add_parser(name, help=help_text, description=f"{help_text}\n\n{more}".strip())
    parser.set_defaults(run=run, parser=parser)
    return parser


def _add_folder(parser: Parser) -> None:
    group = parser.add_argument_group("a folder of your own (NAME is folder or nnunet)")
    group.add_argument("--name", dest="set_name", metavar="NAME", help="what to call the set")
    paths = {
        "--images": ("DIR", "photographs, also in folders below it"),
        "--masks": ("DIR", "masks: 0 and one value, indices of classes, or a folder a class"),
        "--colours": ("TABLE", "of masks in colours: columns class, red, green, blue; or value"),
        "--points": ("TABLE", "columns name, x, y; or name, fovea_x, fovea_y, disc_x, …"),
        "--labels": ("TABLE", "columns name, and one for each kind of label"),
        "--findings": (
            "TABLE",
            "a row an image, annotator and finding: columns image, annotator, finding, regions, "
            "disc_x, disc_y, fovea_x, fovea_y",
        ),
        "--split": ("TABLE", "columns name and split, instead of drawing it"),
    }
    for flag, (metavar, text) in paths.items():
        group.add_argument(flag, type=a_path, metavar=metavar, help=text)
    group.add_argument(
        "--mask_pattern",
        metavar="PATTERN",
        help="of mask files, where it is not found out: '{name}_mask.png', '{class}/{name}.*'",
    )
    group.add_argument(
        "--classes", metavar="A,B", help="names of the classes, in the order of their values"
    )
    group.add_argument(
        "--units", choices=("pixels", "fractions"), help="of points; default: by their size"
    )
    group.add_argument(
        "--needed",
        type=int,
        metavar="N",
        help="annotators who make a finding present; default: two thirds, and at least two",
    )
    group.add_argument(
        "--partial",
        action="store_true",
        default=None,
        help="leave out images of which the table of findings has no row",
    )
    group.add_argument(
        "--group",
        metavar="COLUMN",
        help="images of one group (a patient) stay together: a column, or a pattern of file names "
        "such as 'p{group}_*', or of paths such as 'p{group}/*'",
    )
    group.add_argument(
        "--validation", type=float, metavar="SHARE", help="of the images; default: 0.2"
    )
    group.add_argument("--test", type=float, metavar="SHARE", help="of the images; default: 0")
    group.add_argument("--seed", type=int, help="of the split; default: 0")
    group.add_argument(
        "--dry_run", action="store_true", help="only say and show what is understood"
    )
