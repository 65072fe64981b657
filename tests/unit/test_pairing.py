import numpy as np
import pytest
from toy_pairs import GENES, LAYOUT, ToyStudy, draw

from ringmark.pairing import (
    InputMatch,
    Profiles,
    gene_parts,
    judge,
    match_inputs,
    scatter_terms,
)

TWO = (("a", 3), ("b", 3))


def match(study, pairs=None, left_out=()):
    return match_inputs(study.conditions(pairs), LAYOUT, left_out)


def alarms(found):
    return {name for name, item in found.items() if item.foreign or item.strange}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("difference", [0.0, 0.05, 0.3])
def test_ordinary_pairs_raise_no_alarm(seed, difference):
    for conditions in ((("a", 2),), TWO):
        study = ToyStudy(seed, conditions, difference)
        assert not alarms(match(study)), conditions


def test_own_inputs_are_confirmed_where_samples_differ():
    found = match(ToyStudy(5))
    assert [item.closest for item in found.values()] == ["a1_input", "a2_input", "a3_input"]
    assert all(item.scatter < 0.1 and item.usual < 0.1 for item in found.values())


def test_samples_that_do_not_differ_cannot_be_told():
    found = match(ToyStudy(5, difference=0.0))
    assert {item.closest for item in found.values()} == {None}


@pytest.mark.parametrize("conditions", [(("a", 2),), (("a", 3),), (("a", 1), ("b", 1)), TWO])
def test_exchanged_inputs_are_told_and_the_right_one_named(conditions):
    study = ToyStudy(6, conditions)
    found = match(study, study.exchanged(0, 1))
    for pair, other in ((0, 1), (1, 0)):
        item = found[study.pairs[pair][0]]
        assert item.foreign
        assert item.closest == study.pairs[pair][1]
        assert item.scatter == pytest.approx(0.28, abs=0.12), other
    assert alarms(found) == {study.pairs[0][0], study.pairs[1][0]}


def test_an_input_from_outside_the_study():
    study = ToyStudy(7, difference=0.05)
    found = match(study, study.with_input(0, "outside_input"))
    assert alarms(found) == {"a1_ip"}
    assert found["a1_ip"].foreign
    assert found["a1_ip"].scatter == pytest.approx(0.7, abs=0.15)
    assert found["a1_ip"].closest in ("a2_input", "a3_input")


def test_an_ip_from_outside_the_study_has_no_input_that_is_closer():
    study = ToyStudy(8)
    pairs = [("outside_ip", *study.pairs[0][1:]), *study.pairs[1:]]
    found = match(study, pairs)
    assert alarms(found) == {"outside_ip"}
    assert found["outside_ip"].strange and not found["outside_ip"].foreign
    assert found["outside_ip"].closest is None


def test_of_two_pairs_none_is_blamed_for_a_library_from_outside():
    study = ToyStudy(9, (("a", 2),))
    found = match(study, study.with_input(0, "outside_input"))
    assert not alarms(found)
    assert {item.closest for item in found.values()} == {None}


def test_a_biased_input_of_a_sample_alike_is_not_foreign():
    study = ToyStudy(10, difference=0.02)
    weights = study.libraries["a1_input"].gene_totals * np.exp(
        study.generator.normal(0, 0.2, GENES)
    )
    study.libraries["a1_input"] = draw(weights, study.generator)
    assert not alarms(match(study))


def test_a_failed_ip_is_not_foreign():
    study = ToyStudy(11)
    pairs = [*study.pairs[:2], ("failed_ip", *study.pairs[2][1:])]
    found = match(study, pairs)
    assert not alarms(found)
    assert found["failed_ip"].closest == "a3_input"


def test_swapped_pairs_teach_nothing():
    study = ToyStudy(12)
    swapped = ("a1_input", "a1_ip", "a1", "a")
    found = match(study, [swapped, *study.pairs[1:]], ["a1_input"])
    assert not alarms(found)
    assert found["a1_input"] == InputMatch()


def test_a_shared_input_is_not_foreign():
    study = ToyStudy(13)
    pairs = [(ip, "a1_input", *rest) for ip, _, *rest in study.pairs[:2]] + [study.pairs[2]]
    assert not alarms(match(study, pairs))


@pytest.mark.parametrize("pairs", [[], [0]])
def test_nothing_to_compare_with(pairs):
    study = ToyStudy(14)
    found = match(study, [study.pairs[number] for number in pairs])
    assert list(found.values()) == [InputMatch()] * len(pairs)


def test_one_input_for_all_cannot_be_judged():
    study = ToyStudy(15)
    found = match(study, [(ip, "a1_input", *rest) for ip, _, *rest in study.pairs])
    assert set(found.values()) == {InputMatch()}


def test_parts_of_genes_are_apart():
    background = np.ones(LAYOUT.bins, dtype=bool)
    background[:3] = False
    first, second = gene_parts(background, LAYOUT, 6)
    assert not (first & second).any()
    bins = np.arange(LAYOUT.bins)[: LAYOUT.bin_offsets[1]]
    # 45 bins are left
    assert bins[first[: len(bins)]].tolist() == list(range(3, 23))
    assert bins[second[: len(bins)]].tolist() == list(range(29, 48))


def profiles(ip, inputs, own):
    shape = (2, -1, 4)
    both = [
        np.tile(np.array(values, dtype=float), (2, 1, 1)).reshape(shape) for values in (ip, inputs)
    ]
    names = tuple(f"input{number}" for number in range(len(inputs)))
    return Profiles(*both, names, own, np.ones(4))


def test_scatter_of_known_numbers():
    # the second sample has .2 more of two genes and .2 less of the two others
    flat, other = [0, 0, 0, 0], [0.2, 0.2, -0.2, -0.2]
    terms = scatter_terms(profiles([flat, other], [flat, other], (0, 1)))
    assert terms.mean(axis=2) == pytest.approx(np.array([[0, 0.04], [0.04, 0]]))
    turned = profiles([flat, other], [flat, other], (1, 0))
    terms = scatter_terms(turned)
    assert terms.mean(axis=2) == pytest.approx(np.array([[0, 0.04], [0.04, 0]]))
    found = judge(0, terms, turned)
    assert found.foreign and found.closest == "input0"
    assert found.scatter == pytest.approx(0.2) and found.usual == pytest.approx(0.2)


def test_what_the_antibody_does_in_all_pairs_is_no_scatter():
    flat, affinity = [0, 0, 0, 0], [0.5, -0.5, 0.5, -0.5]
    half = [value / 2 for value in affinity]
    ips = [affinity, affinity, half, flat]
    terms = scatter_terms(profiles(ips, [flat] * 4, (0, 1, 2, 3)))
    assert np.abs(terms).max() < 1e-12
