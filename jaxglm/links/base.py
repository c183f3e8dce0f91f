"""What a link function is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxglm import numerics


class Link(ABC):
    """Map between the mean mu and the linear predictor eta = link(mu).

    Subclasses are frozen dataclasses registered as pytrees, made of elementwise JAX
    functions. Only :meth:`link` and :meth:`inverse` must be written; the others are
    written too where the plain formula loses digits in a tail, because likelihoods
    are evaluated on the scale of eta and mu is never clipped.

    Attributes
    ----------
    name : str
        The lower-case name by which ``link=`` accepts it.
    range : "real", "positive" or "unit"
        The set that contains every value of :meth:`inverse`.
    valid_eta : "real", "positive" or "nonzero"
        Where :meth:`inverse` may be evaluated.
    recedes : tuple of bool
        Whether mu reaches the lower (0), the upper (1 or infinity) end of its range only as eta goes to
        minus, plus infinity; such ends make infinite estimates possible (separation).
    multiplicative : bool
        Whether adding to eta multiplies mu.
    on_host : bool
        Whether :meth:`link` computes with NumPy on arrays of the host, so that a single mean needs no compiled code.
    """

    name: ClassVar[str]
    range: ClassVar[str] = "real"
    valid_eta: ClassVar[str] = "real"
    recedes: ClassVar[tuple[bool, bool]] = (False, False)
    multiplicative: ClassVar[bool] = False
    on_host: ClassVar[bool] = False

    @abstractmethod
    def link(self, mu: jax.Array) -> jax.Array:
        """eta = g(mu)."""

    @abstractmethod
    def inverse(self, eta: jax.Array) -> jax.Array:
        """mu, the inverse of :meth:`link`."""

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        """log(mu)."""
        return jnp.log(self.inverse(eta))

    def complement(self, eta: jax.Array) -> jax.Array:
        """1 - mu."""
        return 1.0 - self.inverse(eta)

    def log_complement(self, eta: jax.Array) -> jax.Array:
        """log(1 - mu)."""
        return jnp.log(self.complement(eta))

    def loss(self, y: jax.Array, eta: jax.Array) -> jax.Array:
        """-(y log(mu) + (1 - y) log(1 - mu)), without touching the log that has weight zero."""
        frozen = jax.lax.stop_gradient(eta)
        success = numerics.times(y, self.log_inverse(jnp.where(y == 0, frozen, eta)))
        failure = numerics.times(1.0 - y, self.log_complement(jnp.where(y == 1, frozen, eta)))
        return -(success + failure)

    @staticmethod
    def from_inverse(fn: Callable[[Any], Any], complement: Callable[[Any], Any] | None = None) -> Link:
        """A link of your own, from its inverse alone.

        Parameters
        ----------
        fn : callable
            The mean for a scalar eta, strictly monotone and finite for every real eta, made of ``jax.numpy``
            functions. Its derivatives come from autodiff; the link itself, which only starting values need,
            from bisection.
        complement : callable, optional
            ``1 - fn(eta)`` without cancellation, for a mean that comes close to 1.

        Returns
        -------
        Link
            Compiled code is kept for `fn` by its identity: define it once, fit often.

        Raises
        ------
        InputError
            fn is not finite, not monotone, not smooth, or complement is not 1 - fn.
        InputTypeError
            Not callable.

        Examples
        --------
        A test with four answers, one of which is guessed right:

        >>> import jax
        >>> import jaxglm as jg
        >>> guess = jg.Link.from_inverse(lambda eta: 0.25 + 0.75 * jax.nn.sigmoid(eta))
        >>> float(guess.inverse(0.0)), guess.range
        (0.625, 'unit')
        """
        from jaxglm.links.custom import from_inverse

        return from_inverse(fn, complement)

    def __str__(self) -> str:
        return self.name
