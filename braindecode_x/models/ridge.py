"""Cross-validated ridge from brain to embeddings: the linear baseline of every table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from himalaya.backend import get_backend
from himalaya.ridge import Ridge, RidgeCV
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

from braindecode_x.clip.spaces import EmbeddingSpace
from braindecode_x.files import atomic_path, file_hash, read_json, write_json

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 3, 13))
WEIGHTS, CONFIG = "ridge.safetensors", "config.json"


class RidgeDecoder:
    """Ridge regression of embeddings on brain patterns, its strength chosen within the training data.

    Parameters
    ----------
    alphas : sequence of float
        Strengths to choose from. Brain patterns are centred and divided by one number, their root mean square norm,
        so that strengths mean the same whatever the units and the number of voxels. One strength serves all
        dimensions, so that the direction of an embedding is not bent by shrinking its dimensions unequally.
    n_folds : int
        Folds of the cross-validation within the training data (fewer when there are fewer groups).
    space : EmbeddingSpace, optional
        What is predicted; saved with the decoder.

    Notes
    -----
    With more voxels than samples, the fit runs on the samples' principal axes, which gives the same solution.
    """

    def __init__(self, alphas: Sequence[float] = ALPHAS, n_folds: int = 5, space: EmbeddingSpace | None = None):
        if not alphas or min(alphas) <= 0:
            raise ValueError(f"alphas: expected numbers above 0, found {list(alphas)}")
        if n_folds < 2:
            raise ValueError(f"n_folds: expected at least 2, found {n_folds}")
        self.alphas, self.n_folds, self.space = tuple(float(alpha) for alpha in alphas), n_folds, space
        self._alpha: float | None = None
        self._arrays: dict[str, np.ndarray] = {}

    @property
    def alpha(self) -> float:
        """The strength that `fit` chose.

        Raises
        ------
        RuntimeError
            Neither fitted nor loaded.
        """
        if self._alpha is None:
            raise RuntimeError("this RidgeDecoder has no strength yet; call fit, or load it with from_pretrained")
        return self._alpha

    @property
    def coefficients(self) -> np.ndarray:
        """The linear map, (voxels, d); a RuntimeError when neither fitted nor loaded."""
        return self._fitted()["coefficients"]

    def fit(self, brain: np.ndarray, embeddings: np.ndarray, groups: np.ndarray | None = None) -> Self:
        """Choose the strength by cross-validation and fit all training data with it.

        Parameters
        ----------
        brain : numpy.ndarray
            (n, voxels).
        embeddings : numpy.ndarray
            (n, d).
        groups : numpy.ndarray, optional
            (n,), for example the run or the stimulus of each sample; folds never divide a group. Default: folds are
            neighbouring samples.

        Returns
        -------
        RidgeDecoder
            Itself.

        Raises
        ------
        ValueError
            Shapes do not fit, values are not finite, or there are fewer than two groups.
        """
        brain, embeddings = _matrix("brain", brain), _matrix("embeddings", embeddings)
        self._check_training(brain, embeddings)
        folds = self._folds(brain, groups)
        brain_mean, scale = _centre_and_scale(brain)
        features, axes = _principal((brain - brain_mean) / scale)
        solver = {"local_alpha": False, "warn": False}
        model = RidgeCV(self.alphas, fit_intercept=True, cv=folds, solver_params=solver).fit(features, embeddings)
        to_numpy = get_backend().to_numpy
        self._alpha = float(to_numpy(model.best_alphas_)[0])
        coefficients = to_numpy(model.coef_)
        held_out = cross_val_predict(_ridge(self._alpha), features, embeddings, cv=folds)
        self._arrays = {
            "coefficients": (coefficients if axes is None else axes @ coefficients) / scale,
            "brain_mean": brain_mean,
            "intercept": to_numpy(model.intercept_),
            "target_mean": embeddings.mean(axis=0),
            "target_std": embeddings.std(axis=0),
            "prediction_mean": held_out.mean(axis=0),
            "prediction_std": held_out.std(axis=0),
        }
        return self

    def predict(self, brain: np.ndarray, rescale: bool = False) -> np.ndarray:
        """Predict embeddings.

        Parameters
        ----------
        brain : numpy.ndarray
            (n, voxels).
        rescale : bool
            Linear predictions shrink towards the mean. This gives each dimension back the mean and standard deviation
            that it has in training, measured against *cross-validated* predictions of the training data.

        Returns
        -------
        numpy.ndarray
            (n, d) of float32.

        Raises
        ------
        ValueError
            The number of voxels is not the fitted one, or values are not finite.
        RuntimeError
            Neither fitted nor loaded.
        """
        arrays = self._fitted()
        brain = _matrix("brain", brain)
        n_voxels = len(arrays["brain_mean"])
        if brain.shape[1] != n_voxels:
            raise ValueError(f"brain: expected (n, {n_voxels}), found {brain.shape}")
        predicted = (brain - arrays["brain_mean"]) @ arrays["coefficients"] + arrays["intercept"]
        if rescale:
            spread = arrays["prediction_std"]
            gain = np.divide(arrays["target_std"], spread, out=np.zeros_like(spread), where=spread > 0)
            predicted = (predicted - arrays["prediction_mean"]) * gain + arrays["target_mean"]
        return predicted

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``ridge.safetensors`` and ``config.json``, each atomically; the configuration names its weights."""
        arrays = self._fitted()
        folder = Path(folder)
        with atomic_path(folder / WEIGHTS) as temporary:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)
        config = {
            "model": type(self).__name__,
            "alphas": list(self.alphas),
            "n_folds": self.n_folds,
            "alpha": self.alpha,
            "space": None if self.space is None else self.space.to_dict(),
            "weights": file_hash(folder / WEIGHTS),
        }
        write_json(folder / CONFIG, config)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load what `save_pretrained` wrote.

        Raises
        ------
        FileNotFoundError
            A file is missing.
        ValueError
            The folder holds another model, or weights that the configuration does not name.
        """
        folder = Path(folder)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder / name}: missing; expected a folder that save_pretrained wrote")
        config = read_json(folder / CONFIG)
        if config.get("model") != cls.__name__:
            raise ValueError(f"{folder / CONFIG}: model is {config.get('model')!r}; expected {cls.__name__!r}")
        if config["weights"] != (found := file_hash(folder / WEIGHTS)):
            raise ValueError(f"{folder / WEIGHTS}: hash {found}, but {CONFIG} names {config['weights']}; save it again")
        space = None if config["space"] is None else EmbeddingSpace.from_dict(config["space"])
        decoder = cls(config["alphas"], config["n_folds"], space)
        decoder._alpha = config["alpha"]
        try:
            decoder._arrays = load_file(folder / WEIGHTS)
        except SafetensorError as error:
            raise ValueError(f"{folder / WEIGHTS}: no safetensors file ({error})") from error
        return decoder

    def _fitted(self) -> dict[str, np.ndarray]:
        if not self._arrays:
            raise RuntimeError("this RidgeDecoder holds no weights; call fit, or load it with from_pretrained")
        return self._arrays

    def _check_training(self, brain: np.ndarray, embeddings: np.ndarray) -> None:
        if len(brain) != len(embeddings):
            raise ValueError(f"embeddings: expected one a brain pattern ({len(brain)}), found {len(embeddings)}")
        if self.space is not None and embeddings.shape[1:] != self.space.shape:
            raise ValueError(f"embeddings: shape {embeddings.shape} is not (n, *{self.space.shape}) of {self.space}")

    def _folds(self, brain: np.ndarray, groups: np.ndarray | None) -> list[tuple[np.ndarray, np.ndarray]]:
        if groups is not None and np.shape(groups) != (len(brain),):
            raise ValueError(f"groups: expected one a brain pattern, shape ({len(brain)},), found {np.shape(groups)}")
        n_groups = len(brain if groups is None else np.unique(groups))
        if n_groups < 2:
            raise ValueError(f"groups: cross-validation needs at least 2, found {n_groups}")
        splitter = (KFold if groups is None else GroupKFold)(min(self.n_folds, n_groups))
        return list(splitter.split(brain, groups=groups))


def prediction_weights(train: np.ndarray, test: np.ndarray, alpha: float) -> np.ndarray:
    """Return the matrix that takes training targets to predictions: ridge is linear in its targets.

    With it, many targets for the same brain patterns (permutations, say) cost one matrix product each.

    Parameters
    ----------
    train : numpy.ndarray
        (n, voxels), training patterns.
    test : numpy.ndarray
        (m, voxels), patterns to predict for.
    alpha : float
        Strength, as `RidgeDecoder` means it.

    Returns
    -------
    numpy.ndarray
        (m, n) of float32; rows sum to 1. Times the training targets (n, d) it is what `RidgeDecoder.predict` returns
        for ``test``.
    """
    train, test = _matrix("train", train), _matrix("test", test)
    mean, scale = _centre_and_scale(train)
    features, axes = _principal((train - mean) / scale)
    test_features = (test - mean) / scale
    model = _ridge(alpha).fit(features, np.eye(len(train), dtype=np.float32))
    predicted = model.predict(test_features if axes is None else test_features @ axes)
    return get_backend().to_numpy(predicted)


def _ridge(alpha: float) -> Ridge:
    return Ridge(alpha, fit_intercept=True, solver_params={"warn": False})


def _centre_and_scale(brain: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """Return the mean pattern and the root mean square distance from it (1 where all patterns are equal)."""
    mean = brain.mean(axis=0)
    scale = np.sqrt(np.square(brain - mean).sum(axis=1).mean())
    return mean, scale if scale > 0 else np.float32(1)


def _matrix(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float32)
    if values.ndim != 2:
        raise ValueError(f"{name}: expected two dimensions, found shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: {np.sum(~np.isfinite(values))} values are not finite")
    return values


def _principal(brain: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn wide data to its principal axes: scores (n, n) and axes (voxels, n); tall data is left as it is."""
    if brain.shape[1] <= len(brain):
        return brain, None
    left, singular, axes = np.linalg.svd(brain, full_matrices=False)
    return left * singular, axes.T
