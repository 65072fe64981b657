"""A toy study of IP and input pairs as coverage, in which samples differ in their expression."""

import numpy as np

from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.bins import BinLayout, Coverage
from ringmark.intervals import Blocks
from ringmark.peaks import PairCoverage, Thresholds, prepare_condition

GENES, LENGTH, FRAGMENT, SPACING = 100, 1200, 150, 2000
#: Spliced place of the m6A site of every second gene, which is near its stop codon.
SITE = 800
DEPTH = 40_000
#: Standard deviation of what the antibody does to each RNA, of natural logs.
AFFINITY = 0.3


def annotation():
    genes = {}
    for index in range(GENES):
        start = 500 + index * SPACING
        exons = Blocks(np.array([start]), np.array([start + LENGTH]), "+")
        transcript = Transcript(f"T{index}", exons, start + 100, start + SITE + 30)
        name = f"G{index:03d}"
        genes[name] = Gene(name, name, "x", "chr1", "+", (transcript,))
    return Annotation(genes)


LAYOUT = BinLayout.of(annotation())


def draw(weights, generator, pulled=0.0, depth=DEPTH):
    """Draw a library: fragments of genes by weight, and a share of them at the sites."""
    at_sites = generator.binomial(depth, pulled)
    genes = generator.choice(GENES, depth, p=weights / weights.sum())
    starts = generator.integers(0, LENGTH - FRAGMENT + 1, depth)
    with_site = weights * (np.arange(GENES) % 2 == 0)
    genes[:at_sites] = generator.choice(GENES, at_sites, p=with_site / with_site.sum())
    starts[:at_sites] = generator.integers(SITE - FRAGMENT + 1, SITE + 1, at_sites)
    first, last = np.zeros(LAYOUT.steps, np.int32), np.zeros(LAYOUT.steps, np.int32)
    np.add.at(first, LAYOUT.step_offsets[genes] + starts // 5, 1)
    np.add.at(last, LAYOUT.step_offsets[genes] + (starts + FRAGMENT - 1) // 5, 1)
    lengths = np.bincount(np.full(depth, FRAGMENT), minlength=1001)
    totals = np.bincount(genes, minlength=GENES)
    return Coverage(first, last, totals, lengths, depth, depth, LAYOUT.digest, "reverse")


class ToyStudy:
    """Libraries ``a1_ip``, ``a1_input``, ... of samples in one or more conditions.

    Parameters
    ----------
    conditions
        Name of each condition and its number of samples.
    difference
        Standard deviation of the natural log of expression of one gene between samples.
    outside
        The same for the library ``outside_input``, of a sample that is no part of the study.
    """

    def __init__(self, seed=1, conditions=(("a", 3),), difference=0.2, outside=0.7, depth=DEPTH):
        self.generator = generator = np.random.default_rng(seed)
        self.base = np.exp(generator.normal(0, 0.5, GENES))
        self.affinity = np.exp(generator.normal(0, AFFINITY, GENES))
        self.libraries, self.pairs = {}, []
        for condition, samples in conditions:
            for number in range(1, samples + 1):
                name = f"{condition}{number}"
                weights = self.sample(difference)
                self.libraries[f"{name}_input"] = draw(weights, generator, 0.0, depth)
                self.libraries[f"{name}_ip"] = draw(weights * self.affinity, generator, 0.3, depth)
                self.pairs.append((f"{name}_ip", f"{name}_input", name, condition))
        self.libraries["failed_ip"] = draw(weights, generator)
        self.last = f"{name}_input"
        weights = self.sample(outside)
        self.libraries["outside_input"] = draw(weights, generator)
        self.libraries["outside_ip"] = draw(weights * self.affinity, generator, 0.3)

    def sample(self, difference):
        return self.base * np.exp(self.generator.normal(0, difference, GENES))

    def with_input(self, number, library):
        """Return the pairs with another input library of one of them."""
        pairs = list(self.pairs)
        pairs[number] = (pairs[number][0], library, *pairs[number][2:])
        return pairs

    def exchanged(self, one, other):
        """Return the pairs with the inputs of two of them exchanged."""
        pairs = self.with_input(one, self.pairs[other][1])
        pairs[other] = (pairs[other][0], self.pairs[one][1], *pairs[other][2:])
        return pairs

    def conditions(self, pairs=None):
        """Return the conditions of the pairs, counted and tested."""
        pairs = self.pairs if pairs is None else pairs
        found = [
            PairCoverage(
                sample, condition, ip, control, self.libraries[ip], self.libraries[control]
            )
            for ip, control, sample, condition in pairs
        ]
        names = dict.fromkeys(pair.condition for pair in found)
        return [
            prepare_condition(
                name, [pair for pair in found if pair.condition == name], LAYOUT, Thresholds()
            )
            for name in names
        ]
