"""The numbers of the paper on guided classification: network, loss, training, table 1."""

import pytest

from experiments.findings import common, idrid, paper, sanity, table1
from segjax.errors import UserError
from segjax.recipes import findings

# Section 2.2: rates by size, and the findings before whose average a maximum is taken, which the
# paper calls hemorrhage, hard exudate, cotton wool patch, drusen and retinal pigmentary change.
RATES = {"large": (1, 2, 4, 8), "medium": (1, 2, 4), "small": (1, 2)}
POOLED = (
    "haemorrhage",
    "hard_exudate",
    "cotton_wool_patch",
    "drusen",
    "retinal_pigmentary_change",
)
# Table 1: AUROC of Inception-v3, with and without; AIR (TP) with and without; AIR (FN).
TABLE_1 = """
macular_hole 0.9592 0.9870 0.9676 0.9999 0.3156 0.9999 0.2611
hard_exudate 0.9889 0.9938 0.9910 0.8089 0.5999 0.5750 0.4614
haemorrhage 0.9760 0.9862 0.9895 0.8890 0.6388 0.4899 0.3857
membrane 0.9654 0.9831 0.9795 0.9699 0.3696 0.8446 0.2499
drusen 0.9746 0.9811 0.9786 0.8292 0.5611 0.5931 0.4012
cotton_wool_patch 0.9633 0.9792 0.9741 0.8058 0.5450 0.4672 0.4538
rnfl_defect 0.9037 0.9263 0.8870 0.7233 0.4024 0.4801 0.2838
"""


def test_rates_follow_the_size_and_small_lesions_are_pooled():
    assert findings.RATES == RATES
    for name in POOLED:
        model = findings.network(name)
        assert model.pool is True and tuple(model.rates) == RATES["small"]
    for name, size in (("membrane", "large"), ("rnfl_defect", "large"), ("macular_hole", "medium")):
        model = findings.network(name)
        assert model.pool is False and tuple(model.rates) == RATES[size]
    assert findings.size_of("glaucoma") == "medium"


def test_the_loss_is_equation_3_with_lambda_1_and_epsilon_a_thousandth():
    loss = findings.guided_loss()
    assert loss["guidance"].weight == 1.0 and loss["guidance"].epsilon == 1e-3
    assert loss["guidance"].form == "log" and loss["cross_entropy"].weight == 1.0
    assert findings.guided_loss(0.0)["guidance"].weight == 0.0


def test_both_forms_have_one_weight():
    loss = findings.guided_loss(0.3, "both")
    for form in ("log", "complement"):
        each = loss[f"guidance_{form}"]
        assert (each.form, each.weight, each.epsilon) == (form, 0.3, 1e-3)
    alone = findings.guided_loss(0.3, "complement")
    assert list(alone) == ["cross_entropy", "guidance"] and alone["guidance"].form == "complement"
    with pytest.raises(UserError, match="form='logs': takes one of log, complement, both, did you"):
        findings.guided_loss(1.0, "logs")


def test_the_training_of_section_3_1():
    config = table1.get_config("finding=membrane")
    assert tuple(config.data.image_size) == (512, 512) and config.data.batch_size == 32
    assert config.optimizer.name == "sgd" and config.optimizer.nesterov is True
    assert config.optimizer.momentum == 0.9
    assert config.schedule.name != "constant"
    assert (config.evaluate.best, config.evaluate.best_mode) == ("loss", "min")
    moved = {name for name, strength in config.data.augment.items() if strength}
    # Flip, scaling, rotation, translation, shear, and re-scaling of the intensity
    assert moved == {
        "flip_horizontal",
        "scale",
        "rotate",
        "translate",
        "shear",
        "brightness",
        "contrast",
    }


@pytest.mark.parametrize("line", TABLE_1.split("\n")[1:-1], ids=lambda line: line.split()[0])
def test_table_1(line):
    name, *numbers = line.split()
    inception, auc_with, auc_without, tp_with, tp_without, fn_with, fn_without = map(float, numbers)
    assert paper.figures(name, "inception", guided=False) == {"auroc": inception}
    assert paper.figures(name, "guided", guided=True) == {
        "auroc": auc_with,
        "air_tp": tp_with,
        "air_fn": fn_with,
    }
    assert paper.figures(name, "guided", guided=False) == {
        "auroc": auc_without,
        "air_tp": tp_without,
        "air_fn": fn_without,
    }


def test_the_sweep_of_table_1_has_its_rows():
    points = table1.sweep("seeds=2")
    assert len(points) == 7 * 3 * 2 and {point["seed"] for point in points} == {0, 1}
    config = table1.get_config("finding=drusen,model=inception")
    assert config.model.name == "InceptionV3" and config.model.auxiliary is True
    assert config.paper.to_dict() == {"auroc": 0.9746}
    assert config.loss.auxiliary.weight == 0.4
    assert config.loss.auxiliary.inputs.to_dict() == {"logits": "auxiliary_logits"}


def test_the_sanity_experiment_differs_from_the_demo_in_one_thing():
    guided = sanity.get_config()
    unguided = sanity.get_config("case=unguided")
    for config, weight in ((unguided, 0.0), (guided, 0.2)):
        weights = {config.loss[f"guidance_{form}"].weight for form in ("log", "complement")}
        assert weights == {weight}
    alone = sanity.get_config("case=paper").loss
    assert list(alone) == ["cross_entropy", "guidance"] and alone.guidance.form == "log"
    assert sanity.get_config("case=shuffled").task_options.shuffle_regions is True
    random = sanity.get_config("case=random")
    assert random.optimizer.learning_rate * random.train.steps < 1e-6
    assert len(sanity.sweep()) == 15


@pytest.mark.parametrize(
    ("make", "arg", "named"),
    [
        (table1.get_config, "finding=drusens", "drusen"),
        (table1.get_config, "model=resnet", "takes one of guided, inception"),
        (sanity.get_config, "case=shuffle", "shuffled"),
        (idrid.get_config, "hard_exudate,haemorrhage", "one finding a training"),
        (idrid.get_config, "cpu,guidance=much", "takes float"),
    ],
)
def test_words_that_are_none(make, arg, named):
    with pytest.raises(UserError, match=named):
        make(arg)


def test_idrid_at_full_size_is_the_papers_and_its_sweep_has_the_weight_of_its_size():
    full, small = idrid.get_config(), idrid.get_config("cpu")
    assert list(full.loss) == ["cross_entropy", "guidance"]
    assert full.loss.guidance.weight == 1.0 and full.loss.guidance.form == "log"
    assert small.loss.guidance_log.weight == small.loss.guidance_complement.weight == 0.2
    for arg, weight in ((None, "1"), ("cpu", "0.2")):
        assert {p["arg"] for p in idrid.sweep(arg)} == {f"guidance={weight}", "guidance=0"}


def test_a_small_network_is_narrow():
    config = common.small(table1.get_config(), 128, steps=10, learning_rate=1e-2)
    assert tuple(config.model.features) == (8, 16, 32) and config.model.branch == 32
