import pytest

from segjax.config.sweeps import chain, point_id, product, row_label, zipped


def test_zipped_goes_side_by_side():
    assert zipped(a=[1, 2], b=[3, 4]) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    with pytest.raises(ValueError):
        zipped(a=[1, 2], b=[3])


def test_double_underscores_are_dots():
    assert zipped(data__batch_size=[8]) == [{"data.batch_size": 8}]
    assert product(optimizer__learning_rate=[1, 2]) == [
        {"optimizer.learning_rate": 1},
        {"optimizer.learning_rate": 2},
    ]


def test_product_is_every_combination_last_fastest():
    assert product(a=[1, 2], b=[3, 4]) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]
    assert len(product(zipped(a=[1, 2], b=[3, 4]), seed=range(3))) == 6
    assert product(a=[]) == []


def test_product_takes_a_dict_of_paths():
    wanted = product(optimizer__learning_rate=[1, 2], seed=[0, 1])
    assert product({"optimizer.learning_rate": [1, 2]}, seed=[0, 1]) == wanted
    assert product({"optimizer.learning_rate": [1, 2], "seed": [0, 1]}) == wanted


def test_arg_is_joined_and_other_keys_are_replaced():
    assert product(zipped(arg=["cpu"]), zipped(arg=["loss=sce", "loss=mse"])) == [
        {"arg": "cpu,loss=sce"},
        {"arg": "cpu,loss=mse"},
    ]
    assert product(zipped(a=[1]), zipped(a=[2])) == [{"a": 2}]


def test_chain_goes_one_after_the_other():
    assert chain(zipped(a=[1]), zipped(b=[2, 3])) == [{"a": 1}, {"b": 2}, {"b": 3}]
    assert chain() == []


def test_points_do_not_share_their_dicts():
    first = zipped(a=[1])
    made = chain(product(first, seed=[0, 1]), first)
    made[0]["a"] = 5
    assert made[1]["a"] == 1 and first[0]["a"] == 1


def test_ids_are_stable_and_do_not_depend_on_the_order_of_keys():
    point = {"arg": "cpu,loss=sce", "seed": 3}
    assert point_id(point) == "ca7ce57279"
    assert point_id(dict(reversed(point.items()))) == point_id(point)


def test_ids_tell_points_apart():
    points = product(arg=["a", "b"], seed=range(50), optimizer__learning_rate=[0.1, 0.01])
    assert len({point_id(point) for point in points}) == 200
    assert point_id({"a": 1}) != point_id({"a": "1"})
    assert len(point_id({})) == 10


def test_a_row_is_a_setting_without_its_seed():
    assert row_label({"arg": "loss=sce", "seed": 1, "a.b": 2}) == "loss=sce, a.b=2"
    assert row_label({"seed": 1}) == row_label({"seed": 2}) == "as written"
