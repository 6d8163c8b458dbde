"""The flags of `segjax data`."""

import os

from segjax.cli import data
from segjax.cli.flags import Parser, a_path

PREPARE = """An official download is named by its set: `segjax data prepare idrid --manual_dir DIR`.
A folder of your own becomes a set with the name that you give it:

  segjax data prepare folder --images DIR --masks DIR --name my_vessels
  segjax data prepare folder --images DIR --points TABLE.csv --name foveas
  segjax data prepare nnunet --manual_dir DIR --name livers     # imagesTr, labelsTr, dataset.json

It prints what it understood and draws a contact sheet before anything is stored; the folder itself
is only read. `--config.data.name=my_vessels` then trains on it.
"""


def add_data(verbs) -> None:
    """The verbs prepare, show and list."""
    parser = verbs.add_parser("data", help="Prepare, show and list data sets.")
    inner = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    prepare = _verb(
        inner,
        "prepare",
        data.prepare,
        "Read an official download or a folder of your own, check it, and store it once.",
        PREPARE,
    )
    show = _verb(
        inner, "show", data.show, "Write a contact sheet of a prepared set, annotations drawn in."
    )
    listing = _verb(inner, "list", data.listing, "List the data sets and which are prepared.")
    prepare.add_argument(
        "name",
        metavar="NAME",
        help="data set, or data set/config: idrid/grading; or folder, nnunet",
    )
    show.add_argument("name", metavar="NAME", help="data set, or data set/config: idrid/grading")
    prepare.add_argument(
        "--manual_dir",
        type=os.path.expanduser,
        metavar="DIR",
        help="the folder of the official download, or in nnU-Net's layout",
    )
    for verb in (prepare, show, listing):
        verb.add_argument(
            "--data_dir",
            type=os.path.expanduser,
            default="data",
            metavar="DIR",
            help="default: data",
        )
    _add_folder(prepare)
    show.add_argument("--split", default="train", help="default: train")
    show.add_argument("--count", type=int, default=12, help="images on the sheet; default: 12")
    show.add_argument("--output", type=a_path, metavar="FILE", help="default: NAME.png")


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
        "--group",
        metavar="COLUMN",
        help="images of one group (a patient) stay together: a column, or a pattern of file names "
        "such as 'p{group}_*'",
    )
    group.add_argument(
        "--validation", type=float, metavar="SHARE", help="of the images; default: 0.2"
    )
    group.add_argument("--test", type=float, metavar="SHARE", help="of the images; default: 0")
    group.add_argument("--seed", type=int, help="of the split; default: 0")
    group.add_argument(
        "--overwrite", action="store_true", help="prepare it again where the source has changed"
    )
    group.add_argument(
        "--dry_run", action="store_true", help="only say and show what is understood"
    )
