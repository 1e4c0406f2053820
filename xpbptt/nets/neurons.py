"""Nets of units with a time of their own: leaky ones, neurons that fire, continuous time."""

from numbers import Real
from typing import Unpack

from xpbptt.cells import cfc, leaky_esn, lif
from xpbptt.nets.net import Net
from xpbptt.nets.options import Noise, Size


def LeakyESN(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    leak: float = 0.3,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of leaky echo-state units [1]_.

    The equation is in `xpbptt.cells.leaky_esn`.

    Parameters
    ----------
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    leak : float
        The leaking rate, above 0 and at most 1.
    bidirectional : bool
        Whether every layer also runs from the last step to the first.
    **noise
        `dropout`, `recurrent_dropout` and `zoneout`, as for `Net`.

    Returns
    -------
    net : Net
        The net.

    Raises
    ------
    TypeError, ValueError
        Where a size is not an int or is below 1, or `leak` is no such number.

    References
    ----------
    .. [1] H. Jaeger et al., "Optimization and applications of echo state networks with
       leaky-integrator neurons", Neural Networks 20, 2007.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.LeakyESN(12, 64)
    LeakyESN(12, 64)
    """
    return Net(
        leaky_esn.make_leaky_esn(_share("leak", leak)),
        input_size,
        hidden_size,
        num_layers,
        bidirectional=bidirectional,
        **noise,
    )


def LIF(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    beta: float = 0.9,
    threshold: float = 1.0,
    slope: float = 25.0,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of leaky integrate-and-fire neurons with a surrogate gradient [1]_.

    The equations are in `xpbptt.cells.lif`. The outputs are spikes, 0 or 1.

    Parameters
    ----------
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    beta : float
        The decay of the potential in a step, above 0 and at most 1.
    threshold : float
        The potential above which a neuron fires.
    slope : float
        How narrow the surrogate is, at least 0.
    bidirectional : bool
        Whether every layer also runs from the last step to the first.
    **noise
        `dropout`, `recurrent_dropout` and `zoneout`, as for `Net`.

    Returns
    -------
    net : Net
        The net.

    Raises
    ------
    TypeError, ValueError
        Where a size is not an int or is below 1, or another argument is no such number.

    References
    ----------
    .. [1] F. Zenke and S. Ganguli, "SuperSpike: supervised learning in multilayer spiking neural
       networks", Neural Computation 30, 2018.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.LIF(12, 64)
    LIF(12, 64)
    """
    neuron = lif.make_lif(
        _share("beta", beta), _number("threshold", threshold), _number("slope", slope)
    )
    return Net(neuron, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise)


def CfC(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of closed-form continuous-time cells [1]_.

    The equations are in `xpbptt.cells.cfc`. Calls take the time since the step before, ``dt=``.

    Parameters
    ----------
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    bidirectional : bool
        Whether every layer also runs from the last step to the first.
    **noise
        `dropout`, `recurrent_dropout` and `zoneout`, as for `Net`.

    Returns
    -------
    net : Net
        The net.

    Raises
    ------
    TypeError, ValueError
        Where a size is not an int or is below 1.

    References
    ----------
    .. [1] R. Hasani et al., "Closed-form continuous-time neural networks", Nature Machine
       Intelligence 4, 2022.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.CfC(12, 64)
    CfC(12, 64)
    """
    return Net(cfc.CFC, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise)


def _number(name: str, value: object) -> float:
    """Refuse anything but a finite number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, Real):
        message = f"`{name}` must be a number, got {value!r}"
        raise TypeError(message)
    if not 0 <= float(value) < float("inf"):
        message = f"`{name}` must be finite and at least 0, got {value}"
        raise ValueError(message)
    return float(value)


def _share(name: str, value: object) -> float:
    """Refuse anything but a number above 0 and at most 1."""
    number = _number(name, value)
    if not 0 < number <= 1:
        message = f"`{name}` must be above 0 and at most 1, got {value}"
        raise ValueError(message)
    return number
