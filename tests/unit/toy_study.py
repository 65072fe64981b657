"""Studies of a few samples and counts drawn for them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ringmark.study import Contrast, Library, Pair, Study


def make_study(resistant=3, sensitive=3, ip=False, batches=None, covariates=()):
    """Libraries r0_in, r0_ip, ..., s0_in, ...; batches is one letter a sample."""
    libraries, pairs = [], []
    samples = [(f"r{i}", "resistant") for i in range(resistant)]
    samples += [(f"s{i}", "sensitive") for i in range(sensitive)]
    for number, (sample, condition) in enumerate(samples):
        facts = {"batch": batches[number]} if batches else {}
        own = Library(f"{sample}_in", sample, condition, "input", covariates=facts)
        libraries.append(own)
        if ip:
            libraries.append(Library(f"{sample}_ip", sample, condition, "ip", covariates=facts))
            pairs.append(Pair(libraries[-1], own))
    contrast = Contrast("condition", "resistant", "sensitive", tuple(covariates))
    return Study(tuple(libraries), tuple(pairs), contrast)


def inputs(study):
    return [library.name for library in study.inputs]


def frame(values, columns, prefix="f"):
    values = np.asarray(values).reshape(-1, len(columns))
    ids = pd.Index([f"{prefix}{i}" for i in range(len(values))], name="id")
    return pd.DataFrame(values, index=ids, columns=columns).astype("int64")


def negative_binomial(rng, mean, dispersion, shape):
    return rng.poisson(rng.gamma(1 / dispersion, dispersion * np.broadcast_to(mean, shape)))


def background_of(study, ratio=0.0):
    rows = [(pair.ip.name, pair.input.name, ratio) for pair in study.pairs]
    return pd.DataFrame(rows, columns=["ip_library", "input_library", "log_ratio"])


def circular(rng, share, depth, dispersion):
    """Back-splice counts of a matrix of shares at one depth."""
    scale = (1 - dispersion) / dispersion
    return rng.binomial(depth, rng.beta(share * scale, (1 - share) * scale))
