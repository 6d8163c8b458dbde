"""What the refinement of a trained pipeline costs and brings, on the photographs of a split.

    python benchmarks/refinement.py --workdir work/two_stages --strides 1 2 4 4,1 --most 0 5000

Prints two tables. Strides and bounds on patches: patches and seconds a photograph, AUC-PR
(challenge33) of the row. And where the refinement errs, at the first stride and bound: AUC-PR of
the row, and of its proposals alone, on all pixels; on those within a mask; on all but the rims, the
pixels around lesions that are none. Beside them the row with the proposal, in place of 0, outside
its mask, and the row of a refinement that is always right within the masks.
"""

import argparse
import dataclasses
import pathlib
import sys
from collections import defaultdict

import numpy as np
from tqdm import tqdm

from segjax.cli import use_compilation_cache
from segjax.data.patches.centres import around
from segjax.metrics import average_precision_from_histogram, score_histogram
from segjax.pipelines import definition, stages
from segjax.pipelines.fusion import fused
from segjax.pipelines.networks import Maps, Networks


class Refinements(Networks):
    """Networks that are given the maps of proposals."""

    given: Maps

    def _proposed(self, name: str, image, size, made: Maps, label: str) -> np.ndarray:
        return self.given.by_name[name]


class Areas:
    """AUC-PR of pooled pixels, by name."""

    def __init__(self) -> None:
        self._histograms = defaultdict(int)

    def add(self, name: object, probability, labels, where=None) -> None:
        self._histograms[name] = self._histograms[name] + score_histogram(
            probability, labels, where=where
        )

    def __getitem__(self, name: object) -> float:
        found = average_precision_from_histogram(self._histograms[name], convention="challenge33")
        return float(found)


REGIONS = ("all pixels", "within a mask", "without rims")
KINDS = ("proposals alone", "row", "row, proposals outside the masks", "row, always right")


def add_errors(areas: Areas, made, row, maps: Maps, labels: np.ndarray, rim: int) -> None:
    """Adds a photograph to the table of where the refinement errs."""
    masks = {name: maps.by_name[name] > made.threshold for name in made.proposals}
    alone = [maps.by_name[name] for name in made.proposals]
    kept, right = [], []
    for name in row.maps:
        probability, (_, at, proposal) = maps.by_name[name], name.partition(definition.AT)
        if at:
            mask = masks[proposal]
            kept.append(np.where(mask, probability, maps.by_name[proposal]))
            right.append((mask & labels).astype(np.float32))
        else:
            kept.append(probability)
            right.append(probability)
    found = [alone, [maps.by_name[name] for name in row.maps], kept, right]
    found = [fused(each, row.fusion) for each in found]
    wheres = (None, np.logical_or.reduce(list(masks.values())), ~around(labels, rim))
    for kind, probability in zip(KINDS, found, strict=True):
        for region, where in zip(REGIONS, wheres, strict=True):
            areas.add((kind, region), probability, labels, where)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True, help="a trained pipeline")
    parser.add_argument("--data_dir", help="where the data are, if not where the configs say")
    parser.add_argument("--split", default="test")
    parser.add_argument("--row", help="which is judged; else the one that the pipeline predicts")
    parser.add_argument("--strides", nargs="+", default=["1"], help="such as 4, or 4,1")
    parser.add_argument("--most", nargs="+", type=int, default=[0], help="patches a photograph")
    parser.add_argument("--rim", type=int, default=3, help="width in pixels")
    return parser.parse_args()


def main() -> None:
    """Prints the tables."""
    args = arguments()
    use_compilation_cache()
    places = {"data_dir": args.data_dir} if args.data_dir else {}
    made = definition.read(args.workdir, places)
    row = made.row(args.row or made.predicted)
    proposing, refining = made.needed([row])
    made = dataclasses.replace(made, rows=(row,), proposals=proposing, refinements=refining)
    trained = stages.open_all(made, args.workdir, (*proposing, *refining), places)
    variants = [
        dataclasses.replace(made, strides=tuple(map(int, text.split(","))), most_patches=most)
        for text in args.strides
        for most in args.most
    ]
    areas, costs = measured(made, row, trained, variants, args)
    print("| strides | most patches | patches | left out | seconds | AUC-PR |")
    print("|---|---|---|---|---|---|")
    for number, variant in enumerate(variants):
        patches, left, seconds = np.mean(costs[number], axis=0)
        strides = ", then ".join(map(str, variant.strides))
        print(
            f"| {strides} | {variant.most_patches or 'all'} | {patches:.0f} | {left:.0f} | "
            f"{seconds:.2f} | {areas[number]:.4f} |"
        )
    print(f"\n| | {' | '.join(REGIONS)} |\n|---|{'---|' * len(REGIONS)}")
    for kind in KINDS:
        cells = [f"{areas[kind, region]:.4f}" for region in REGIONS]
        print(f"| {kind} | {' | '.join(cells)} |")


def measured(made, row, trained, variants, args) -> tuple[Areas, dict[int, list]]:
    """Areas of variants by number, of regions by name; (patches, left out, seconds) of each."""
    alone = tuple(definition.Row(name, (name,), "arithmetic") for name in made.proposals)
    proposals = Networks(dataclasses.replace(made, rows=alone), trained, alone)
    networks = [Refinements(variant, trained, [row]) for variant in variants]
    opened = {
        name: one.experiment.task.open_photographs(one.experiment, args.split)
        for name, one in trained.items()
    }
    areas, costs = Areas(), defaultdict(list)
    first = opened[made.proposals[0]]
    for index, photograph in enumerate(tqdm(first, disable=not sys.stderr.isatty())):
        labels = np.asarray(photograph.stored_labels) > 0
        images = {name: np.asarray(given[index].image) for name, given in opened.items()}
        given = proposals.maps(images, labels.shape)
        for number, network in enumerate(networks):
            network.given = given
            maps = network.maps(images, labels.shape)
            areas.add(number, maps.row(made, row.name), labels)
            counts = [maps.costs[name] for name in made.refinements]
            patches, left = (sum(c.patches for c in counts), sum(c.left + c.coarse for c in counts))
            costs[number].append((patches, left, sum(maps.seconds[n] for n in made.refinements)))
            if number == 0:
                add_errors(areas, made, row, maps, labels, args.rim)
    return areas, costs


if __name__ == "__main__":
    main()
