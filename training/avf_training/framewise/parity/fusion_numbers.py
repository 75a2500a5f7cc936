"""Late fusion, stacked forests, functionals and the kernel ELM, beside what the authors' code and equations give."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from avf_training.conversion.parity import ParityRow
from avf_training.evaluation.metrics import Floats
from avf_training.framewise.ensemble import dirichlet_fusion, forest_stacking, kernel_elm
from avf_training.framewise.metrics import score_expressions, score_valence_arousal
from avf_training.framewise.parity.rows import OracleNumbers, Pair, compare_equal, compare_pairs
from avf_training.framewise.sampling.functionals import window_functionals
from avf_training.framewise.sampling.normalization import apply_scale, fit_scale

TOLERANCE = 1e-12

COEFFICIENTS = 2e-11
"""Of 40 rows, whose matrix has a condition of up to 5e3: its solution is known to 40 * 5e3 * 1.1e-16, by any method."""

MEMBERS = ("audio", "video", "statistical")


def compare_late_fusion(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return every part of the file; forests only where scikit-learn is of the version that made the numbers."""
    config = json.loads(str(oracle["meta.config"]))
    features = oracle["func.frame_embeddings"]
    functionals: list[Pair] = [
        (
            "func.mean_min_max_fps10_2s",
            window_functionals(features, 10).values_KF,
            oracle["func.mean_min_max_fps10_2s"],
        ),
        ("minmax.out", apply_scale(features, fit_scale(features, "min_max")), oracle["minmax.out"]),
    ]
    predictions, coefficients = _kernel_elm(oracle)
    rows = [
        compare_pairs(file, "Dirichlet fusion", _dirichlet(oracle, config), TOLERANCE),
        compare_pairs(file, "expressions", _expressions(oracle, config), TOLERANCE),
        compare_pairs(file, "functionals, min-max", functionals, TOLERANCE),
        compare_pairs(file, "kernel ELM", predictions, TOLERANCE),
        compare_pairs(file, "kernel ELM coefficients", coefficients, COEFFICIENTS),
    ]
    import sklearn

    if sklearn.__version__ == config["sklearn"]:
        scores, equal = _forests(oracle, config)
        rows += [
            compare_pairs(file, "random forests", scores, TOLERANCE),
            compare_equal(file, "forests chosen", equal),
        ]
    return rows


def _mean_ccc(truth: Floats) -> Callable[[Floats], float]:
    return lambda predicted: float(score_valence_arousal(truth, predicted).mean.value or 0.0)


def _dirichlet(oracle: OracleNumbers, config: dict[str, Any]) -> list[Pair]:
    pairs: list[Pair] = []
    for models in (2, 3):
        name, truth = f"dwf{models}", oracle["va.labels"]
        predictions = np.stack([oracle[f"va.{member}"] for member in MEMBERS[:models]])
        matrices = config[name]["num_generations"]
        fused = dirichlet_fusion.fit_dirichlet_fusion(predictions, _mean_ccc(truth), matrices=matrices)
        drawn = dirichlet_fusion.draw_weights(models, 2, matrices=matrices, seed=0)[:5]
        score = score_valence_arousal(truth, dirichlet_fusion.fuse_models(predictions, fused.weights_MD))
        pairs += [
            (f"{name}.first5_matrices", drawn, oracle[f"{name}.first5_matrices"]),
            (f"{name}.best_weights", fused.weights_MD, oracle[f"{name}.best_weights"]),
            (f"{name}: best", fused.score, config[name]["best"]),
            (f"{name}: valence", np.float64(score.valence.value or 0), config[name]["valence"]),
            (f"{name}: arousal", np.float64(score.arousal.value or 0), config[name]["arousal"]),
        ]
    return pairs


def _macro_f1(labels: Any) -> Callable[[Floats], float]:
    return lambda scores: float(score_expressions(labels, scores.argmax(1).astype(np.int64)).mean.value or 0.0)


def _expressions(oracle: OracleNumbers, config: dict[str, Any]) -> list[Pair]:
    filtered = dirichlet_fusion.zero_uncertain_rows(oracle["expr.audio"])
    predictions, score = np.stack([filtered, oracle["expr.video"]]), _macro_f1(oracle["expr.labels"])
    fused = dirichlet_fusion.fit_dirichlet_fusion(predictions, score, matrices=200)
    pairs: list[Pair] = [
        ("expr.audio_filtered", filtered, oracle["expr.audio_filtered"]),
        ("expr filtered rows", int((filtered == 0).all(1).sum()), config["expr filtered rows"]),
        ("expr.dwf_best_weights", fused.weights_MD, oracle["expr.dwf_best_weights"]),
        ("expr dwf (seed 0, 200 generations)", fused.score, config["expr dwf (seed 0, 200 generations)"]),
    ]
    for share, (most_nats, theirs) in config["expr entropy"].items():
        audio = dirichlet_fusion.zero_uncertain_rows(oracle["expr.audio"], most_nats=most_nats)
        mixed = float(share) * audio + (1 - float(share)) * oracle["expr.video"]
        pairs.append((f"expr entropy {share}", score(mixed), theirs))
    return pairs


def _kernel_elm(oracle: OracleNumbers) -> tuple[list[Pair], list[Pair]]:
    """Return predictions, and coefficients."""
    features, targets, others = (oracle[f"kelm.{name}"] for name in ("X", "T", "Z"))
    pairs: list[Pair] = []
    coefficients: list[Pair] = []
    for kernel in ("linear", "rbf"):
        for penalty in (0.01, 1.0, 100.0):
            machine = kernel_elm.fit_kernel_elm(
                features,
                targets,
                kernel_elm.ElmSettings(penalty=penalty, kernel="rbf" if kernel == "rbf" else "linear", gamma=0.1),
            )
            name = f"kelm.{kernel}.C{penalty}"
            coefficients.append((f"{name}.beta", machine.beta_LT, oracle[f"{name}.beta"]))
            pairs += [
                (f"{name}.pred", kernel_elm.predict_kernel_elm(machine, others), oracle[f"{name}.pred"]),
                (f"{name}.pred_train", kernel_elm.predict_kernel_elm(machine, features), oracle[f"{name}.pred_train"]),
            ]
    labels = oracle["kelm.weighted.labels"]
    weighted = kernel_elm.fit_kernel_elm(
        features,
        kernel_elm.one_hot(labels, int(labels.max()) + 1),
        kernel_elm.ElmSettings(penalty=10, gamma=0.1),
        row_weights_N=kernel_elm.inverse_class_sizes(labels),
    )
    coefficients.append(("kelm.weighted.beta", weighted.beta_LT, oracle["kelm.weighted.beta"]))
    return pairs, coefficients


def _forests(oracle: OracleNumbers, config: dict[str, Any]) -> tuple[list[Pair], list[tuple[str, object, object]]]:
    members = np.stack([oracle[f"va.{member}"] for member in MEMBERS], 1)
    per_output = [members[:, :, output] for output in (0, 1)]
    videos = ["video"] * len(members)
    # The code tries friedman_mse beside squared_error, which this version takes for the same: each is fitted twice.
    affect = forest_stacking.stack_regressors(
        per_output, oracle["va.labels"], videos, criteria=("squared_error", "squared_error")
    )
    probabilities = np.concatenate([oracle[f"expr.{member}"] for member in MEMBERS], 1)
    expressions = forest_stacking.stack_classifier(probabilities, oracle["expr.labels"], videos)
    predicted = forest_stacking.predict_stacked(affect, per_output)[:9, 0]
    pairs: list[Pair] = [
        (
            "rf VA: out-of-bag scores",
            [each for _, _, scores in affect.tried for each in scores],
            _logged(config["rf VA"]),
        ),
        ("rf VA: best", affect.out_of_bag, [config["rf VA"]["valence"], config["rf VA"]["arousal"]]),
        ("rf.va.pred_valence_first9", predicted, oracle["rf.va.pred_valence_first9"]),
        (
            "rf EXPR: out-of-bag scores",
            [each for _, _, scores in expressions.tried for each in scores],
            _logged(config["rf EXPR"]),
        ),
    ]
    equal: list[tuple[str, object, object]] = [
        (name, (forest.trees, forest.criterion), (config[name]["n_estimators"], config[name]["criterion"]))
        for name, forest in (("rf VA", affect), ("rf EXPR", expressions))
    ]
    return pairs, equal


def _logged(config: dict[str, Any]) -> list[float]:
    return [float(line.partition(": ")[2]) for line in config["log"] if line.startswith("OOB")]
