"""The minutes from a bare folder to predictions and a report, with the files that `new` writes.

Folders as somebody else would have them are made of official downloads: 40 photographs of IDRiD
with a table of fovea points, the 20 training photographs of DRIVE with masks, the ACDC volumes of
10 patients in nnU-Net's layout. Each goes through the four commands of docs/own_data.md, unchanged.

    python benchmarks/own_folders.py --downloads DIR --work DIR

DIR of the downloads holds `idrid`, `DRIVE` and `ACDC`. Prints a table of seconds.
"""

import argparse
import csv
import json
import pathlib
import shutil
import subprocess
import sys
import time

from PIL import Image

STEPS = ("prepare", "new", "train", "predict")


def main() -> None:
    """Makes the folders, runs the commands, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--downloads", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="a new folder")
    parser.add_argument("--only", nargs="*", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    args.work.mkdir(parents=True)
    print(f"| folder | {' | '.join(STEPS)} |\n|---|{'---|' * len(STEPS)}", flush=True)
    for name in args.only:
        source, new = WAYS[name](args.downloads.resolve(), args.work)
        commands = {
            "prepare": f"data prepare {source} --name {name}",
            "new": f"new {name}.py --data {name}",
            "train": f"train --config {name}.py --workdir work/{name}",
            "predict": f"predict --workdir work/{name} --input {new} --output found/{name}",
        }
        took = [f"{timed(command, args.work):.0f} s" for command in commands.values()]
        print(f"| {name} | {' | '.join(took)} |", flush=True)


def timed(command: str, work: pathlib.Path) -> float:
    """Runs a command of segjax; the seconds that it took."""
    began = time.perf_counter()
    with (work / "log.txt").open("a") as log:
        words = [sys.executable, "-m", "segjax.cli", *command.split()]
        subprocess.run(words, cwd=work, check=True, stdout=log, stderr=log)
    return time.perf_counter() - began


def fovea(downloads: pathlib.Path, work: pathlib.Path) -> tuple[str, str]:
    """Photographs as they are, under other names, and a table of points in pixels."""
    source = downloads / "idrid" / "C. Localization"
    images = sorted((source / "1. Original Images" / "a. Training Set").glob("*.jpg"))[:40]
    truth = next((source / "2. Groundtruths" / "2. Fovea Center Location").glob("*.csv"))
    with truth.open() as file:
        places = {row[0]: row[1:3] for row in csv.reader(file)}
    (work / "photos").mkdir()
    with (work / "clicks.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "x", "y"])
        for number, path in enumerate(images):
            shutil.copy(path, work / "photos" / f"eye{number:02d}.jpg")
            writer.writerow([f"eye{number:02d}.jpg", *places[path.stem]])
    return "folder --images photos --points clicks.csv", "photos"


def vessels(downloads: pathlib.Path, work: pathlib.Path) -> tuple[str, str]:
    """Photographs and masks as they are, under other names."""
    source = downloads / "DRIVE" / "training"
    for folder in ("eyes", "drawn"):
        (work / folder).mkdir()
    for path in sorted((source / "images").iterdir()):
        number = path.stem.partition("_")[0]
        with Image.open(path) as picture:
            picture.convert("RGB").save(work / "eyes" / f"{number}.png")
        with Image.open(source / "1st_manual" / f"{number}_manual1.gif") as picture:
            picture.convert("L").save(work / "drawn" / f"{number}_vessels.png")
    return "folder --images eyes --masks drawn", "eyes"


def heart(downloads: pathlib.Path, work: pathlib.Path) -> tuple[str, str]:
    """Volumes of ten patients, two phases each, in nnU-Net's layout."""
    database = downloads / "ACDC" / "database" / "training"
    patients = sorted(path for path in database.iterdir() if path.is_dir())[:10]
    for folder in ("imagesTr", "labelsTr"):
        (work / "hearts" / folder).mkdir(parents=True)
    truths = [path for patient in patients for path in sorted(patient.glob("*_gt.nii*"))]
    for path in truths:
        case, ending = path.name.split("_gt", 1)
        shutil.copy(path, work / "hearts" / "labelsTr" / f"{case}{ending}")
        image = path.with_name(f"{case}{ending}")
        shutil.copy(image, work / "hearts" / "imagesTr" / f"{case}_0000{ending}")
    described = {
        "channel_names": {"0": "cine MRI"},
        "labels": {"background": 0, "RV": 1, "myocardium": 2, "LV": 3},
        "numTraining": len(truths),
        "file_ending": ending,
    }
    (work / "hearts" / "dataset.json").write_text(json.dumps(described))
    return "nnunet --manual_dir hearts --group patient{group}_*", "hearts/imagesTr"


WAYS = {"fovea": fovea, "vessels": vessels, "heart": heart}

if __name__ == "__main__":
    main()
